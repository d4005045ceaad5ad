"""diagram(): a picture of a mechanism, kept as SVG in the lesson's folder, with its text alternative below it.

Its words are those of the SVG's own <desc>, so a picture and its alternative are one file. The background is drawn, so
it can be read in the light and in the dark theme.
"""

import base64
import html
import re
from pathlib import Path

from ftlib.io import places
from ftlib.io.refusals import nearest


class Diagram:
    """A picture of a mechanism. A notebook shows the picture, and print() shows its words.

    Parameters
    ----------
    svg : str
        The picture. Its <title> and <desc> say in words what it shows.

    Attributes
    ----------
    alt : str
        What it shows, in words.

    Examples
    --------
    >>> picture = Diagram("<svg><title>Two boxes</title><desc>A box on the left, one on the right.</desc></svg>")
    >>> picture.alt
    'Two boxes. A box on the left, one on the right.'
    """

    def __init__(self, svg: str):
        said = [re.search(rf"<{tag}>(.*?)</{tag}>", svg, re.S) for tag in ("title", "desc")]
        if not all(said):
            raise ValueError("a diagram needs a <title> and a <desc> that say in words what it shows: add them")
        title, desc = (html.unescape(" ".join(found[1].split())) for found in said)
        self.svg, self.alt = svg, f"{title}. {desc}"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.svg.encode()).decode()
        words = html.escape(self.alt)
        return (
            f'<img src="data:image/svg+xml;base64,{data}" alt="{words}" style="max-width:100%">'
            f"<details><summary>In words</summary>{words}</details>"
        )

    def __repr__(self) -> str:
        return self.alt


def diagram(lesson: str, name: str) -> Diagram:
    """Show a diagram of a lesson.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".
    name : str
        Name of the diagram, lessons/<lesson>/diagrams/<name>.svg.

    Returns
    -------
    Diagram

    Raises
    ------
    FileNotFoundError
        If there is no such lesson or diagram. The sentence names those that there are.

    Examples
    --------
    >>> ftlib.teach.diagram("00_start_here", "fine_tuning").alt.partition(".")[0]
    'Fine-tuning keeps the stages of a pretrained network and trains on with a fresh head'
    """
    there: dict[str, Path] = {file.stem: file for file in (places.lesson(lesson) / "diagrams").glob("*.svg")}
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        raise FileNotFoundError(f"{lesson} has no diagram {name!r}: there are {known}{nearest(name, there)}")
    return Diagram(there[name].read_text(encoding="utf-8"))
