"""The comparison board: all recorded runs of all lessons, and the learner's own beside them.

A task, a size and a group of runs are chosen, then a score and a cost. Four views show the same runs: score against cost
with the Pareto front, differences from a baseline, two methods seed by seed, and curves. Below are the words, a table
of all methods, and the recipe of the chosen one as code. Only runs of one group are ever compared, by one rule, that of
`ftlib.table`.
"""

import html
from functools import cache

import ipywidgets
import pandas as pd

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line

FIGURE, RECORDED = part("09_compare", "figure_board"), part("09_compare", "shared_recorded")
RECIPE, WORDS = part("09_compare", "shared_recipe"), part("09_compare", "shared_words")
VIEWS = part("09_compare", "shared_views")
BASELINES = ("full", "none", "source", "naive", "joint", "constant")  # what a lesson compares with, if it is there


class Board(Panel):
    """`task`, `size`, `group`, `measure`, `view`, `cost`, `method`, `baseline`: the controls; `figure`: the live figure.

    `words` says what is seen, `rows` is the table, and `recipe` shows `code`, the recipe of the chosen method.
    """

    def __init__(self, groups: list, start: tuple = ()):
        if not groups:
            raise ValueError("there is no run to show: the board needs runs whose purpose is 'measure'")
        self.groups, self._offering = groups, True
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto", max_width="440px")}

        def menu(name: str) -> ipywidgets.Dropdown:
            return ipywidgets.Dropdown(description=name, **wide)

        self.task, self.size, self.group = menu("Task"), menu("Training examples"), menu("Runs")
        self.measure, self.cost = menu("Score"), menu("Cost")
        self.method, self.baseline = menu("Method"), menu("Baseline")
        self.view = ipywidgets.ToggleButtons(
            options=list(VIEWS.VIEWS), description="Show", layout=ipywidgets.Layout(width="max-content"),
            style={"description_width": "initial", "button_width": "auto"},
        )  # fmt: skip
        self.figure, self.words = live(FIGURE.empty()), status_line()
        self.rows, self.recipe = ipywidgets.HTML(), ipywidgets.HTML()
        self.task.options = list({group.task: (group.name, group.task) for group in groups}.values())
        first = next((g for g in groups if (g.task, g.size, g.grid) == tuple(start)), groups[0])
        self.task.value = first.task
        self._offer_sizes(first.size)
        self._offer_groups(first)
        self._offer_rest()
        self._offering = False
        self.show()
        for control, follow in ((self.task, self._task), (self.size, self._size), (self.group, self._group)):
            control.observe(follow, names="value")
        for control in (self.measure, self.view, self.cost, self.method, self.baseline):
            control.observe(self.show, names="value")
        controls = [self.task, self.size, self.group, self.view, self.measure, self.cost, self.method, self.baseline]
        shown = [*controls, self.figure, self.words, self.rows, self.recipe]
        super().__init__(shown, lambda: self.alt, lambda: self.still().png())

    # ---- the controls, of which each offers what the one before leaves

    def _task(self, _=None) -> None:
        self._follow(lambda: (self._offer_sizes(), self._offer_groups(), self._offer_rest()))

    def _size(self, _=None) -> None:
        self._follow(lambda: (self._offer_groups(), self._offer_rest()))

    def _group(self, _=None) -> None:
        self._follow(self._offer_rest)

    def _follow(self, offer) -> None:
        """Change the later controls without drawing in between."""
        if self._offering:
            return
        self._offering = True
        offer()
        self._offering = False
        self.show()

    def _offer_sizes(self, wanted=None) -> None:
        sizes = sorted({g.size for g in self.groups if g.task == self.task.value}, key=lambda n: (n == "all", n))
        _offer(self.size, [(str(n), n) for n in sizes], wanted if wanted is not None else self.size.value)

    def _offer_groups(self, wanted=None) -> None:
        here = [g for g in self.groups if (g.task, g.size) == (self.task.value, self.size.value)]
        _offer(self.group, [(g.label, g) for g in here], wanted or max(here, key=lambda g: len(g.arms)))

    def _offer_rest(self) -> None:
        group, was, paid = self.group.value, self.measure.label, self.cost.label
        methods, measures, costs = group.arms, group.measures, group.costs
        _offer(self.measure, [(m.label, m) for m in measures], next((m for m in measures if m.label == was), None))
        _offer(self.cost, [(m.label, m) for m in costs], next((m for m in costs if m.label == paid), None))
        usual = next((arm for arm in BASELINES if arm in methods), methods[0])
        base = self.baseline.value if self.baseline.value in methods else usual
        _offer(self.baseline, methods, base)
        means = group.means(self.measure.value)
        others = means.drop(index=base, errors="ignore")
        best = others.sort_values(ascending=not self.measure.value.higher).index[:1].tolist() or [base]
        _offer(self.method, methods, self.method.value if self.method.value in methods else best[0])

    # ---- what is shown

    @property
    def code(self) -> str:
        """The recipe of the chosen method, to copy and run; "" for own runs that were given as a table."""
        spec, seeds = self._spec()
        return RECIPE.exact(spec, seeds) if seeds else ""

    @property
    def code_by_hand(self) -> str:
        """The same run in plain calls, where it is a simple one."""
        spec, seeds = self._spec()
        return RECIPE.by_hand(spec) if seeds else ""

    def _spec(self) -> tuple[dict, list[int]]:
        """(the Spec of the chosen method's first seed, all its seeds)."""
        records, arm = self.group.value.records, self.method.value
        seeds = sorted(seed for name, seed in records if name == arm)
        return (records[arm, seeds[0]]["spec"] if seeds else {}), seeds

    @property
    def front(self) -> list[str]:
        """The methods on the Pareto front of the chosen score and cost."""
        group, measure, cost = self.group.value, self.measure.value, self.cost.value
        return RECORDED.front(group.means(cost), group.means(measure), not cost.higher, measure.higher)

    @property
    def compared(self) -> pd.DataFrame:
        """The comparison with the baseline, a row per method, as `ftlib.table` gives it, in the unit of the board."""
        return self.group.value.compared(self.measure.value, self.baseline.value)[0]

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return FIGURE.Drawn(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        if self._offering:
            return
        at, out = self._picked()
        self.cost.disabled = self.view.value != "score and cost"
        title, seen, scene = VIEWS.VIEWS[self.view.value](at)
        reading = WORDS.readings(at, out)
        said = " ".join(word for word in (WORDS.where(at.group), seen, reading, self._beside(at)) if word)
        self.alt = f"{said} {WORDS.every(at.group, at.measure, at.cost)}"
        scene.title, scene.alt = title, self.alt
        self.figure.plotly_update(**FIGURE.message(scene))
        set_status(self.words, said)
        self.rows.value = WORDS.rows(at, out)
        self.recipe.value = self._code_shown()

    def _picked(self) -> tuple:
        """(what the controls say, {method: why it isn't compared})."""
        group, measure, base = self.group.value, self.measure.value, self.baseline.value
        found, out = group.compared(measure, base)
        picked = VIEWS.Picked(
            group, measure, self.cost.value, self.method.value, base, found, self.front, self._own(group)
        )
        return picked, out

    def _beside(self, at) -> str:
        """What is said of own runs that are drawn beside recorded ones."""
        if self.view.value != "score and cost" or not at.own:
            return ""
        each = (f"{arm} ({at.cost.said(x)}; {at.measure.said(y)})" for arm, x, y in at.own)
        return (f"Your runs, as stars: {WORDS.listed(each)}. They were made at another time, so they are shown and not "
                "compared.")  # fmt: skip

    def _own(self, group) -> list[tuple]:
        """(method, cost, score) of own runs of the same task, model, steps and options."""
        found, columns = [], {self.measure.value.column, self.cost.value.column}
        for own in self.groups if not group.own else ():
            if own.own and own.like == group.like and columns <= set(own.runs):
                x, y = own.means(self.cost.value), own.means(self.measure.value)
                found += [(arm, float(x[arm]), float(y[arm])) for arm in own.arms if arm in x.index and arm in y.index]
        return found

    def _code_shown(self) -> str:
        """Both recipes as HTML."""
        if not self.code:
            return "<p>The recipe of your own runs is the cell that made them.</p>"
        style = (
            'style="font: 12px/1.45 monospace; margin: 0 0 8px; white-space: pre; overflow-x: auto; user-select: all"'
        )
        parts = [("which makes the recorded run again", self.code), ("the same run, step by step", self.code_by_hand)]
        blocks = "".join(
            f'<p style="margin: 2px 0">{html.escape(what)}</p><pre tabindex="0" role="group" aria-label="code, {what}" '
            f"{style}>{html.escape(text)}</pre>"
            for what, text in parts
            if text
        )
        return f"<details><summary>The recipe of {html.escape(self.method.value)}, to copy and run</summary>{blocks}</details>"


def board(records: list[dict] | None = None, own=None, start: tuple = ("sentiment/amazon", 200, "01_full")) -> Board:
    """Compare recorded methods, and own ones beside them.

    records: as `ftlib.load_records` gives them; by default those of all recorded grids. own: the learner's runs, a table
    of `ftlib.compare_strategies` or a list of records; the board then opens with them. start: (task, size, grid) of the
    first state.
    """
    mine = RECORDED.own_groups(own)
    groups = _everything() if records is None else RECORDED.read(records)
    start = (mine[0].task, mine[0].size, mine[0].grid) if mine else start
    return Board([*groups, *mine], start)


@cache
def _everything() -> list:
    """The groups of all recorded runs, read once per kernel."""
    return RECORDED.read(RECORDED.everything())


def _offer(control: ipywidgets.Dropdown, options: list, wanted) -> None:
    """New options, and of them the wanted one, if it is there."""
    control.options = options
    values = [one[1] if isinstance(one, tuple) else one for one in options]
    control.value = next((value for value in values if value is wanted or value == wanted), values[0])
