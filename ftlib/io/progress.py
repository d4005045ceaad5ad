"""How far a long piece of work is: tqdm's bar in a terminal, and in a notebook one line that goes away at the end.

tqdm writes its bar to stderr, and a notebook keeps a coloured band for stderr, empty or with a bar that stands still.
"""

import html
import sys

from tqdm import tqdm


class NotebookBar(tqdm):
    """A bar of a notebook: one display that is updated. Closing it leaves nothing behind."""

    def __init__(self, *args, **kwargs):
        self._shown = None
        super().__init__(*args, **{"mininterval": 0.5} | kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the bar, or update it. tqdm calls this."""
        from IPython.display import DisplayHandle

        data = _bar(self.n, self.total, str(self) if msg is None else msg)
        if self._shown is None:
            self._shown = DisplayHandle()
            self._shown.display(data, raw=True)
        else:
            self._shown.update(data, raw=True)

    def clear(self, nolock: bool = False) -> None:
        """Nothing has to make room for other text. tqdm calls this."""

    def close(self) -> None:
        """End the bar and take its display away."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
            if self._shown is not None:
                self._shown.update({}, raw=True)  # an output without any form has no height


def progress(items=None, **how) -> tqdm:
    """A bar over `items`, or one that is moved with `update`; `how` are tqdm's own settings."""
    return (NotebookBar if in_notebook() else tqdm)(items, **how)


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _bar(done: float, total: float | None, words: str) -> dict[str, str]:
    """The bar as HTML and as text."""
    label = html.escape(words.split("|")[-1].strip() if "|" in words else words)
    part = f'<progress value="{done:g}" max="{total:g}" aria-label="progress"></progress> ' if total else ""
    return {"text/html": f"{part}<span>{label}</span>", "text/plain": words}
