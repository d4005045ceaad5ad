"""A page of boxes, words and arrows, written as SVG and as PDF. Both are drawn from one list of items.

All lengths are points, and y grows downwards. Words are measured in DejaVu Sans, which comes with matplotlib, so that a
page looks alike on every computer. The PDF holds that font. The SVG names it first, and then fonts that are no wider.
"""

import html
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.patches import FancyBboxPatch, Polygon

ABOVE, BELOW, LEADING = 0.76, 0.24, 1.2  # of a line of words, in its size: above and below its base line, to the next
FAMILY = "'DejaVu Sans', Verdana, Geneva, sans-serif"
COLOURS = {  # name -> in the light, in the dark: printed in grey all of them can be told apart from their ground
    "paper": ("#ffffff", "#12181f"),
    "ink": ("#16202a", "#e9eef3"),
    "soft": ("#4c5965", "#b4c0cb"),
    "blue": ("#00568a", "#8cc8f0"),
    "pale": ("#e6f0f7", "#1d2f3e"),
    "line": ("#7a8792", "#74828f"),
}
DASHES = {"solid": "", "dashed": "5 3", "dotted": "1.2 2.6", "dashdot": "8 2.4 1.2 2.4"}
FILL, STROKE = "sheet-", "sheet-edge-"  # how the classes of the SVG begin
HEAD = 5.0  # the length of an arrow's head


@dataclass(frozen=True)
class Words:
    """One line of words. (x, y) is the left end of its base line."""

    text: str
    x: float
    y: float
    size: float
    bold: bool = False
    colour: str = "ink"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        right = self.x + width(self.text, self.size, self.bold)
        return self.x, self.y - ABOVE * self.size, right, self.y + BELOW * self.size


@dataclass(frozen=True)
class Box:
    """A box with round corners, in a colour of its ground and one of its edge."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str
    round: float = 3.0

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True)
class Arrow:
    """A straight arrow, solid, dashed or dotted."""

    x: float
    y: float
    to_x: float
    to_y: float
    dash: str = "solid"

    @property
    def head(self) -> list[tuple[float, float]]:
        """The three corners of its head."""
        far = max(abs(self.to_x - self.x), abs(self.to_y - self.y)) or 1.0
        along = ((self.to_x - self.x) / far, (self.to_y - self.y) / far)
        back = (self.to_x - HEAD * along[0], self.to_y - HEAD * along[1])
        side = (-along[1] * HEAD / 2.4, along[0] * HEAD / 2.4)
        return [(self.to_x, self.to_y), (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])]

    @property
    def end(self) -> tuple[float, float]:
        """Where its line ends, in the middle of the head."""
        tip, left, right = self.head
        return (tip[0] + left[0] + right[0]) / 3, (tip[1] + left[1] + right[1]) / 3


@cache
def _font(bold: bool) -> FT2Font:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return FT2Font(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name)


@cache
def _advance(letter: str, bold: bool) -> float:
    """The width of a letter of size 1."""
    font = _font(bold)
    return font.load_char(ord(letter), LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM


def width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of words."""
    return size * sum(_advance(letter, bold) for letter in text)


def wrap(text: str, size: float, room: float) -> list[list[tuple[str, bool]]]:
    """The lines of a text that fit into a width, each in runs of (words, bold). Parts in ** are bold.

    A word that is too long for a line is cut.
    """
    words = [
        (piece, at % 2 == 1)
        for at, part in enumerate(text.split("**"))
        for word in part.split(" ")
        if word
        for piece in _pieces(word, size, room, at % 2 == 1)
    ]
    lines: list[list[tuple[str, bool]]] = [[]]
    used = 0.0
    for word, bold in words:
        if lines[-1] and used + width(word, size, bold) > room:
            lines.append([])
            used = 0.0
        used += width(f"{word} ", size, bold)
        if lines[-1] and lines[-1][-1][1] == bold:
            lines[-1][-1] = (f"{lines[-1][-1][0]} {word}", bold)
        else:
            lines[-1].append((word, bold))
    return lines


def _pieces(word: str, size: float, room: float, bold: bool) -> list[str]:
    """A word, cut where it is too long for a line."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and width(pieces[-1] + letter, size, bold) > room:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def svg(items: list, size: tuple[float, float], title: str, desc: str) -> str:
    """The page as SVG, for a light and for a dark screen."""
    styles = [
        "\n".join(
            f".{FILL}{name} {{ fill: {shades[i]} }} .{STROKE}{name} {{ stroke: {shades[i]} }}"
            for name, shades in COLOURS.items()
        )
        for i in range(2)
    ]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}" '
        f'width="{size[0] * 1.6:g}" height="{size[1] * 1.6:g}" role="img" font-family="{FAMILY}">',
        f"<title>{html.escape(title)}</title>",
        f"<desc>{html.escape(desc)}</desc>",
        f"<style>\n{styles[0]}\n@media screen and (prefers-color-scheme: dark) {{\n{styles[1]}\n}}\n</style>",
        f'<rect width="{size[0]:g}" height="{size[1]:g}" class="{FILL}paper"/>',
        *map(_as_svg, items),
        "</svg>\n",
    ]
    return "\n".join(lines)


def _as_svg(item) -> str:
    if isinstance(item, Words):
        weight = ' font-weight="700"' if item.bold else ""
        words = html.escape(item.text, quote=False)
        place = f'x="{item.x:.1f}" y="{item.y:.1f}" font-size="{item.size:.2f}"{weight}'
        return f'<text {place} class="{FILL}{item.colour}">{words}</text>'
    if isinstance(item, Box):
        return (
            f'<rect x="{item.x:.1f}" y="{item.y:.1f}" width="{item.width:.1f}" height="{item.height:.1f}" '
            f'rx="{item.round:g}" class="{FILL}{item.fill} {STROKE}{item.edge}" stroke-width="0.8"/>'
        )
    dash = f' stroke-dasharray="{DASHES[item.dash]}"' if DASHES[item.dash] else ""
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in item.head)
    return (
        f'<line x1="{item.x:.1f}" y1="{item.y:.1f}" x2="{item.end[0]:.1f}" y2="{item.end[1]:.1f}" class="{STROKE}ink" '
        f'stroke-width="1.1"{dash}/><polygon points="{head}" class="{FILL}ink"/>'
    )


def pdf(items: list, size: tuple[float, float], title: str, subject: str) -> bytes:
    """The page as PDF, with words that can be searched. The same items give the same bytes."""
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure = Figure(figsize=(size[0] / 72, size[1] / 72))
        FigureCanvasPdf(figure)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
        axes.axis("off")
        for at, item in enumerate(items):
            _onto(axes, item, at)
        out = io.BytesIO()
        about = {"Title": title, "Subject": subject, "CreationDate": None, "Creator": None, "Producer": None}
        figure.savefig(out, format="pdf", metadata=about)
    return out.getvalue()


def _onto(axes, item, at: int) -> None:
    light = {name: shades[0] for name, shades in COLOURS.items()}
    if isinstance(item, Words):
        font = FontProperties(family="DejaVu Sans", size=item.size, weight="bold" if item.bold else "normal")
        words = item.text.replace("$", r"\$")
        axes.text(item.x, item.y, words, fontproperties=font, color=light[item.colour], va="baseline", zorder=at)
        return
    if isinstance(item, Box):
        corners = f"round,pad=0,rounding_size={item.round}" if item.round else "square,pad=0"
        look = {"facecolor": light[item.fill], "edgecolor": light[item.edge], "linewidth": 0.8}
        shape = FancyBboxPatch((item.x, item.y), item.width, item.height, boxstyle=corners, zorder=at, **look)
        axes.add_patch(shape)
        return
    dashes = [float(part) / 1.1 for part in DASHES[item.dash].split()]  # matplotlib counts in widths of the line
    look = {"color": light["ink"], "linewidth": 1.1, "linestyle": (0, dashes) if dashes else "solid", "zorder": at}
    axes.plot([item.x, item.end[0]], [item.y, item.end[1]], **look)
    axes.add_patch(Polygon(item.head, facecolor=light["ink"], edgecolor="none", zorder=at))
