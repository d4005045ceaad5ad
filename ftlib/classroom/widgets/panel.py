"""A widget whose saved output can still be seen and read when no kernel runs."""

import base64
import html
import re
from collections.abc import Callable

import anywidget
import ipywidgets


class Keys(anywidget.AnyWidget):
    """Gives the controls of the panel around it their keys: JupyterLab would take the arrows, to move between cells.
    Radio buttons of one question become one group, through which the arrows move."""

    _esm = """
    const own = ({ target }) => {
      target.setAttribute("data-lm-suppress-shortcuts", "true");
      const box = target.closest(".widget-radio-box");
      if (!box) return;
      box.dataset.group ||= "ftlib" + Math.random();
      box.querySelectorAll("input").forEach(radio => { radio.name = box.dataset.group; });
    };
    export default { render({ el }) {
      el.style.display = "none";
      const settle = tries => {
        const panel = el.closest(".ftlib-panel");
        if (panel) panel.addEventListener("focusin", own);
        else if (tries) requestAnimationFrame(() => settle(tries - 1));
      };
      settle(600);
    } };
    """


class Panel(ipywidgets.VBox):
    """Widgets below each other, with words and, if there is something to draw, a PNG for viewers without a kernel."""

    def __init__(self, children: list, words: Callable[[], str], png: Callable[[], bytes] | None = None):
        super().__init__([*children, Keys()])
        self.add_class("ftlib-panel")
        self._words, self._png = words, png

    def _repr_mimebundle_(self, **kwargs):
        out = super()._repr_mimebundle_(**kwargs)
        data, metadata = out if isinstance(out, tuple) else (out, {})
        still = {"image/png": base64.b64encode(self._png()).decode()} if self._png else {}
        return {**data, **still, "text/plain": self._words()}, metadata


def said(text: str = "") -> ipywidgets.HTML:
    """A line of text that a screen reader speaks when it changes (see `say`)."""
    line = ipywidgets.HTML()
    say(line, text)
    return line


def say(line: ipywidgets.HTML, text: str) -> None:
    """Set the text of a line; `**bold**` and backticks are Markdown's, everything else is shown as it stands."""
    words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))
    words = re.sub(r"`(.+?)`", r"<code>\1</code>", words)
    line.value = f'<p role="status" style="line-height: 1.5">{words}</p>'
