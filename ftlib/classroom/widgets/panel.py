"""A widget whose saved output can be seen and read without a kernel."""

import base64
import html
import re
from collections.abc import Callable

import anywidget
import ipywidgets

from ftlib.classroom.text import edge


class Keys(anywidget.AnyWidget):
    """Makes the keyboard work in the panel around it, and says its state to screen readers.

    Without it, JupyterLab takes the arrow keys, space, letters and Enter of a control for commands of the notebook. It
    still gets Escape, and every key with Ctrl, Alt or Cmd, and Shift+Enter, which runs the cell. The radio buttons of a
    question become one group, which the arrow keys move in and which has the question as its name. A toggle button
    says whether it is pressed. `next_cell()` moves the focus on, for Shift+Enter.
    """

    _esm = """
    const OWN = /^(.|Arrow.*|Enter|Home|End|PageUp|PageDown|Backspace|Delete)$/u;
    const mark = event => {  // before JupyterLab looks: windows come first
      const { target } = event;
      if (!target.closest?.(".ftlib-panel") || target.matches("textarea")) return;  // JupyterLab leaves texts alone
      const command = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
      target.toggleAttribute("data-lm-suppress-shortcuts", OWN.test(event.key) && !command);
    };
    const name = panel => {
      for (const box of panel.querySelectorAll(".widget-radio-box")) {
        const asked = box.closest(".ftlib-panel").querySelector(".ftlib-question");
        box.dataset.group ||= "ftlib" + Math.random();
        box.querySelectorAll("input").forEach(radio => { radio.name = box.dataset.group; });
        box.setAttribute("role", "radiogroup");
        if (asked) box.setAttribute("aria-label", asked.textContent.trim());
      }
      for (const button of panel.querySelectorAll(".widget-toggle-buttons button")) {
        const pressed = String(button.classList.contains("mod-active"));
        if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      }
    };
    const nextCell = el => {
      const cell = el.closest(".jp-Cell")?.nextElementSibling;
      if (!cell?.matches(".jp-Cell")) return;
      if (!cell.hasAttribute("tabindex")) cell.tabIndex = -1;
      cell.focus();
    };
    const save = event => {  // Ctrl+S in a text area: told to JupyterLab again, from the panel
      const { key, code, keyCode, ctrlKey, metaKey, target, currentTarget } = event;
      if (!target.matches("textarea") || !(ctrlKey || metaKey) || key !== "s") return;
      event.preventDefault();  // the browser would save the page
      const again = { key, code, keyCode, ctrlKey, metaKey, bubbles: true, cancelable: true };
      currentTarget.dispatchEvent(new KeyboardEvent("keydown", again));
    };
    export default { render({ model, el }) {
      el.style.display = "none";
      if (!window.ftlibKeys) window.addEventListener("keydown", mark, true);
      window.ftlibKeys = true;
      const watch = new MutationObserver(() => el.isConnected && name(el.closest(".ftlib-panel")));
      const settle = tries => {
        const panel = el.closest(".ftlib-panel");
        if (panel) {
          name(panel);
          panel.addEventListener("keydown", save, true);
          watch.observe(panel, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
        } else if (tries) requestAnimationFrame(() => settle(tries - 1));
      };
      settle(600);
      const move = () => nextCell(el);
      model.on("msg:custom", move);
      return () => { watch.disconnect(); model.off("msg:custom", move); };
    } };
    """
    # Controls stand in a row, so that a figure and its words fit on one screen. The pressed button has a frame in the
    # colour of the text, at least 3:1 in the light and in the dark theme.
    _css = """
    .ftlib-panel .widget-toggle-buttons button.mod-active {
      font-weight: 700; background: #0b5cad; color: #fff;
      box-shadow: inset 0 0 0 2px var(--jp-ui-font-color0, #000);
    }
    .ftlib-panel.jupyter-widgets.widget-vbox { flex-flow: row wrap; align-items: center; column-gap: 16px; }
    .ftlib-panel > :not(.widget-dropdown, .widget-toggle-buttons, .widget-button, .widget-text) { flex: 0 0 100%; }
    """

    def next_cell(self) -> None:
        """Give the focus to the notebook cell below."""
        self.send({"focus": "next cell"})


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
        self.keyboard = Keys()
        super().__init__([*children, self.keyboard])
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


def set_status(line: ipywidgets.HTML, text: str, right: bool | None = None) -> None:
    """Set the text of a line. It may have Markdown's `**bold**` and backticks, and the rest is shown as it is.

    right gives it the edge of a right or of a wrong answer.
    """
    style = "line-height: 1.5" if right is None else f"line-height: 1.5; {edge(right)}"
    line.value = f'<p role="status" style="{style}">{_marked_up(text)}</p>'


def paragraph(text: str, kind: str) -> ipywidgets.HTML:
    """A text that stays, of one kind (a CSS class), with the same markup as `set_status`."""
    return ipywidgets.HTML(f'<p class="{kind}" style="line-height: 1.5">{_marked_up(text)}</p>')


def _marked_up(text: str) -> str:
    words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", words)
