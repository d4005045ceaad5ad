"""A widget whose saved output can be seen and read without a kernel."""

import base64
import html
import re
from collections.abc import Callable

import anywidget
import ipywidgets


class Keys(anywidget.AnyWidget):
    """Makes the keyboard work in the panel around it.

    Without it, JupyterLab uses the arrow keys to move between notebook cells. It also makes the radio buttons of a
    question one group, so that the arrow keys move between them.
    """

    _esm = """
    const own = ({ target }) => {
      if (target.matches("textarea")) return;  // ipywidgets keeps its keys from JupyterLab, see `save`
      target.setAttribute("data-lm-suppress-shortcuts", "true");
      const box = target.closest(".widget-radio-box");
      if (!box) return;
      box.dataset.group ||= "ftlib" + Math.random();
      box.querySelectorAll("input").forEach(radio => { radio.name = box.dataset.group; });
    };
    const save = event => {  // Ctrl+S in a text area: told to JupyterLab again, from the panel
      const { key, code, keyCode, ctrlKey, metaKey, target, currentTarget } = event;
      if (!target.matches("textarea") || !(ctrlKey || metaKey) || key !== "s") return;
      event.preventDefault();  // the browser would save the page
      const again = { key, code, keyCode, ctrlKey, metaKey, bubbles: true, cancelable: true };
      currentTarget.dispatchEvent(new KeyboardEvent("keydown", again));
    };
    export default { render({ el }) {
      el.style.display = "none";
      const settle = tries => {
        const panel = el.closest(".ftlib-panel");
        if (panel) {
          panel.addEventListener("focusin", own);
          panel.addEventListener("keydown", save, true);
        } else if (tries) requestAnimationFrame(() => settle(tries - 1));
      };
      settle(600);
    } };
    """


class Panel(ipywidgets.VBox):
    """A column of widgets with a text and an image for viewers without a kernel, such as GitHub.

    Parameters
    ----------
    children : list of ipywidgets.Widget
        The widgets, from top to bottom.
    words : callable
        Returns the text, for the current state of the widgets.
    png : callable, optional
        Returns the image as the bytes of a PNG file.

    Examples
    --------
    >>> import ipywidgets
    >>> panel = ftlib.widgets.Panel([ipywidgets.Label("Accuracy 0.9")], words=lambda: "The accuracy is 0.9.")
    >>> saved, _ = panel._repr_mimebundle_()
    >>> saved["text/plain"]
    'The accuracy is 0.9.'
    """

    def __init__(self, children: list, words: Callable[[], str], png: Callable[[], bytes] | None = None):
        super().__init__([*children, Keys()])
        self.add_class("ftlib-panel")
        self._words, self._png = words, png

    def _repr_mimebundle_(self, **kwargs):
        out = super()._repr_mimebundle_(**kwargs)
        data, metadata = out if isinstance(out, tuple) else (out, {})
        still = {"image/png": base64.b64encode(self._png()).decode()} if self._png else {}
        return {**data, **still, "text/plain": self._words()}, metadata


def status_line(text: str = "") -> ipywidgets.HTML:
    """A line of text that a screen reader speaks when it changes (see `set_status`)."""
    line = ipywidgets.HTML()
    set_status(line, text)
    return line


def set_status(line: ipywidgets.HTML, text: str) -> None:
    """Set the text of a line. It may have Markdown's `**bold**` and backticks, and the rest is shown as it is."""
    words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))
    words = re.sub(r"`(.+?)`", r"<code>\1</code>", words)
    line.value = f'<p role="status" style="line-height: 1.5">{words}</p>'
