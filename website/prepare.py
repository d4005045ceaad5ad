"""What Sphinx reads: pages and notebooks of the kit in one folder, laid out as here, so that their links hold.

Nothing is executed. A link to a file that the site has no page for (code, a teacher's page) becomes plain text.
"""

import json
import re
import shutil
from pathlib import Path

from website import figures, reference

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/*.md", "data/README.md", "data/cards/*.md")
PICTURES = ("docs/*.png", "docs/*.svg")
LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
CHART = re.compile(r"```mermaid\n(.*?)```", re.S)
NODE = r"(\w+)(?:\(\[(.+?)\]\)|\[(.+?)\]|\{(.+?)\})?"
ARROW = re.compile(rf"{NODE} --(?: \"?(.+?)\"? --)?> {NODE}$")
LESSON = re.compile(r"(\d\d) \S")
TOCTREE = "\n```{toctree}\n:hidden:\n\n%s\n```\n"
FIRST = ["Lessons <docs/lessons>", "Board <board>", "Claims <docs/claims>", "Glossary <docs/glossary>",
         "Library <reference/index>", "docs/verdicts", "docs/cheat_sheet", "docs/tools", "docs/install"]  # fmt: skip


def prepare(folder: Path) -> None:
    """Write all sources of the site into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    files = [file for pattern in PAGES for file in sorted(ROOT.glob(pattern))]
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    known = {str(file.relative_to(ROOT)) for file in [*files, *notebooks]}
    for file in [*files, *notebooks]:
        name = str(file.relative_to(ROOT)).replace("\\", "/")
        text = file.read_text(encoding="utf-8")
        text = notebook(text, name, known) if file.suffix == ".ipynb" else links(text, name, known)
        text += TOCTREE % "\n".join(below) if (below := children(name, known)) else ""
        write(folder / ("index.md" if name == "README.md" else name), text)
    for file in (file for pattern in PICTURES for file in ROOT.glob(pattern)):
        (folder / "docs").mkdir(exist_ok=True)
        shutil.copy(file, folder / "docs")
    here = Path(__file__).parent
    fragment = (here / "board.html").read_text(encoding="utf-8")
    words = (here / "board.md").read_text(encoding="utf-8")
    write(folder / "board.md", f"{words}\n```{{raw}} html\n{fragment}```\n")
    for name, text in reference.pages().items():
        write(folder / "reference" / name, text)


def write(file: Path, text: str) -> None:
    """Write a page, and its folder where there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def children(name: str, known: set[str]) -> list[str]:
    """The pages below a page in the table of contents, those that readers look for first."""
    pages = sorted(place.rpartition(".")[0] for place in known)
    if name == "docs/lessons.md":
        return [f"/{page}" for page in pages if page.startswith("notebooks/")]
    if name == "data/README.md":
        return [f"/{page}" for page in pages if page.startswith("data/cards/")]
    if name != "README.md":
        return []
    first = {re.sub(r".*<|>", "", entry): entry for entry in FIRST}
    there = [entry for page, entry in first.items() if page in pages or not page.startswith("docs/")]
    return there + [page for page in pages if page.startswith("docs/") and page not in first] + ["data/README"]


def links(text: str, name: str, known: set[str]) -> str:
    """Turn each link to a file without a page into its words, and a flow chart into questions."""

    def kept(found: re.Match) -> str:
        words, target = found[1], found[2]
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        place = (ROOT / name).parent.joinpath(target).resolve()
        place = str(place.relative_to(ROOT)).replace("\\", "/") if place.is_relative_to(ROOT) else ""
        if place == "README.md":
            return f"[{words}]({'../' * name.count('/')}index.md)"
        return found[0] if place in known or place.endswith((".png", ".svg")) else words

    up = "../" * name.count("/")
    return CHART.sub(lambda found: as_questions(found[1], known, up), LINK.sub(kept, text))


def as_questions(chart: str, known: set[str], up: str) -> str:
    """A flow chart of mermaid as a list of questions, which needs no script and can be read aloud."""
    names, steps = {}, []
    for line in chart.splitlines():
        if found := ARROW.match(line.strip()):
            groups = [text and re.sub(r"\s*<br>\s*", " ", text) for text in found.groups()]
            for node, *texts in (groups[:4], groups[5:]):
                names[node] = next(filter(None, texts), names.get(node, node))
            steps.append((groups[0], groups[4] or "", groups[5]))
    lines = []
    for node in dict.fromkeys(node for node, _, _ in steps):
        lines.append(f"- **{names[node]}**")
        for start, answer, end in steps:
            if start == node:
                lines.append(f"  - {answer + ' → ' if answer else 'next: '}{lesson_link(names[end], known, up)}")
    return "\n".join(lines) + "\n"


def lesson_link(words: str, known: set[str], up: str) -> str:
    """ "04 LoRA and adapters" as a link to lesson 04."""
    number = LESSON.match(words)
    places = sorted(name for name in known if number and name.startswith(f"notebooks/{number[1]}_"))
    return f"[{words}]({up}{places[0]})" if places else words


def notebook(text: str, name: str, known: set[str]) -> str:
    """An executed notebook as a page: no cells that only guard the text, and outputs that need no kernel."""
    made = json.loads(text)
    made["cells"] = [cell for cell in made["cells"] if "guard" not in cell["metadata"].get("tags", [])]
    for cell in made["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = links("".join(cell["source"]), name, known)
        for output in cell.get("outputs", []):
            if "data" in output:
                output["data"] = figures.without_kernel(output["data"])
    return json.dumps(made, ensure_ascii=False)
