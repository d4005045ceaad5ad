"""Text that a notebook shows as Markdown and print() shows without markup."""

import re


class Text:
    """Text that a notebook renders as Markdown. Printed, it has no markup.

    Parameters
    ----------
    markdown : str
        Markdown with bold, italics, code and tables. A notebook folds the parts in <details>, and print() shows them.

    Examples
    --------
    >>> ftlib.teach.Text("The **verdict** of `Z1`")
    The verdict of Z1
    """

    def __init__(self, markdown: str):
        self.markdown = markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __str__(self) -> str:
        return re.sub(r"[*`]+|</?(?:details|summary)>", "", self.markdown)

    __repr__ = __str__


class Outcome(Text):
    """Text with an icon and a coloured edge, so that right and wrong differ at a glance and not by colour alone.

    Parameters
    ----------
    right : bool
        Whether the answer is right.
    said : str
        The first words, which are shown in bold.
    markdown : str, default ""
        The rest.

    Examples
    --------
    >>> ftlib.classroom.text.Outcome(True, "Passed.")
    ✔ Passed.
    """

    def __init__(self, right: bool, said: str, markdown: str = ""):
        super().__init__(f"**{ICONS[right]} {said}** {markdown}".rstrip())
        self.right = right

    def _repr_markdown_(self) -> str:
        return f'<div style="{edge(self.right)}">\n\n{self.markdown}\n\n</div>'


ICONS = {True: "✔", False: "✘"}


def edge(right: bool) -> str:
    """The style of the edge: green or orange, at least 3:1 on white and on JupyterLab's dark grey."""
    return f"border-left: 6px solid {'#1a8f3c' if right else '#d9480f'}; padding-left: 12px"
