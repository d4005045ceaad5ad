"""The generation comparer: one prompt, several models, their answers side by side.

It knows nothing of models: it is handed functions, prompt → text. What a function has said is kept, so nobody is asked
twice; call `forget()` after a model has changed.
"""

import html
import time
from collections.abc import Callable

import ipywidgets

from ftlib.classroom.widgets.panel import Panel, set_status, status_line

EMPTY = "Write something into the prompt first, then press Enter."


class Comparer(Panel):
    """`prompt`, `example`, `ask`: the controls; `columns`: the answers, one column per model; `words`: who agrees.

    `answers` is {name: text} of the prompt shown.
    """

    def __init__(self, models: dict[str, Callable[[str], str]], examples: list[str], title: str = ""):
        if not models or not examples:
            raise ValueError("the comparer needs at least one model, {name: function}, and one example of a prompt")
        self.models, self.title, self._known = models, title, {}
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}
        self.example = ipywidgets.Dropdown(options=list(examples), description="Example", **wide)
        self.prompt = ipywidgets.Text(value=examples[0], description="Prompt", continuous_update=False, **wide)
        self.ask = ipywidgets.Button(description="Ask")
        self.columns, self.words = ipywidgets.HTML(), status_line()
        self.show()
        self.example.observe(self._take, names="value")
        self.prompt.observe(self.show, names="value")
        self.ask.on_click(self.show)
        children = [self.example, self.prompt, self.ask, self.words, self.columns]
        super().__init__(children, lambda: self.alt)

    @property
    def answers(self) -> dict[str, str]:
        """What each model says to the prompt."""
        return {name: text for name, (text, _) in self._known.get(self.prompt.value, {}).items()}

    def show(self, _=None) -> None:
        """Ask every model that has not answered this prompt yet, and show all answers.

        Leaving the field and pressing the button come as two events: the second finds all answers there.
        """
        prompt = self.prompt.value
        if not prompt.strip():
            self.alt, self.columns.value = EMPTY, ""
            return set_status(self.words, EMPTY)
        known = self._known.setdefault(prompt, {})
        if left := [name for name in self.models if name not in known]:
            self._ask(prompt, left, known)
        to = f"{self.title + ': ' if self.title else ''}to “{_plain(prompt)}”: "
        said_by = "; ".join(f"{name} “{_plain(text)}” ({s:.1f} s)" for name, (text, s) in known.items())
        self.alt = f"{to}{said_by}. {self._agreeing()}"
        self.columns.value = _columns(known)
        set_status(self.words, f"Answers to “{_plain(prompt)}”. {self._agreeing()}")

    def _ask(self, prompt: str, names: list[str], known: dict) -> None:
        """Let the models answer, one after the other; until then the button is off and the words say so."""
        self.ask.disabled = True
        try:
            for i, name in enumerate(names):
                set_status(self.words, f"{name} is answering ({i + 1} of {len(names)}) …")
                began = time.perf_counter()
                text = self.models[name](prompt)
                known[name] = (text, time.perf_counter() - began)
        except BaseException:
            set_status(self.words, "A model stopped with an error.")
            raise
        finally:
            self.ask.disabled = False

    def forget(self) -> None:
        """Drop what was answered so far: a model has changed."""
        self._known.clear()
        self.show()

    def _take(self, change) -> None:
        self.prompt.value = change.new

    def _agreeing(self) -> str:
        """Who says the same, in words."""
        if len(self.answers) == 1:
            return ""
        groups: dict[str, list[str]] = {}
        for name, text in self.answers.items():
            groups.setdefault(text, []).append(name)
        if len(groups) == 1:
            return "All say the same."
        same = [" and ".join(names) for names in groups.values() if len(names) > 1]
        return f"The same: {'; '.join(same)}." if same else "No two say the same."


def comparer(models: dict[str, Callable[[str], str]], examples: list[str], title: str = "") -> Comparer:
    """Compare what several models say to one prompt.

    models: {name: function of a prompt that gives a text}, for example {"base": ask(base), "LoRA": ask(tuned)}; greedy
    and short, since all of them answer at each change. examples: prompts to choose from; the first is asked at once.
    """
    return Comparer(models, examples, title)


def _plain(text: str) -> str:
    """A text in one line, without what would be read as Markdown."""
    return " ".join(text.replace("**", "* *").replace("`", "'").split())


def _columns(known: dict[str, tuple[str, float]]) -> str:
    """One column per model: its name, its answer, the seconds."""
    cards = "".join(
        f'<div style="flex: 1 1 160px; border: 1px solid #767676; padding: 4px 12px; line-height: 1.5">'
        f"<b>{html.escape(name)}</b><br>{html.escape(text)}<br><small>{seconds:.1f} s</small></div>"
        for name, (text, seconds) in known.items()
    )
    return f'<div style="display: flex; flex-wrap: wrap; gap: 8px">{cards}</div>'
