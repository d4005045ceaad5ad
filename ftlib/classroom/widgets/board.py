"""The comparison board: the scores of all arms, with intervals, for a task, a training-set size and a measure."""

import ipywidgets
import pandas as pd

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.compare import table

MEASURES = {
    "balanced accuracy": "test.balanced_accuracy",
    "macro-F1": "test.macro_f1",
    "accuracy": "test.accuracy",
    "NLL in nats (lower is better)": "test.nll",
    "calibration error (lower is better)": "test.ece",
}
EMPTY = "No run of {task} with {n} training examples was recorded: choose another size."


class Board(Panel):
    """A panel that compares the arms of a recorded grid. `board` makes one.

    The attributes `task`, `size` and `measure` are the controls. `figure` is the live figure, and `words` is its text
    alternative.

    Parameters
    ----------
    runs : pandas.DataFrame
        Recorded runs, from `ftlib.load_runs`.
    measures : dict
        {label: column of `runs`}. Columns that `runs` doesn't have are left out.
    baseline : str
        The arm that the others are compared with.

    Raises
    ------
    ValueError
        If no run is left, or if `runs` has neither the baseline nor any of the columns.

    Examples
    --------
    >>> board = ftlib.widgets.Board(runs, {"accuracy": "test.accuracy"}, baseline="full")
    >>> board.task.options, [label for label, n in board.size.options]
    (('elpv', 'sentiment/amazon'), ['200'])
    """

    def __init__(self, runs: pd.DataFrame, measures: dict[str, str], baseline: str):
        self.runs = _measured(runs)
        self.baseline, self.arms = baseline, list(self.runs.arm.unique())
        measures = {label: column for label, column in measures.items() if column in self.runs}
        if baseline not in self.arms:
            raise ValueError(f"the baseline must be one of the arms {', '.join(self.arms)}, but it is {baseline!r}")
        if not measures:
            raise ValueError("the runs have none of the columns that measures names: they start with test.")
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}
        sizes = sorted(self.runs.n.unique(), key=lambda n: (n == "all", n))
        self.task = ipywidgets.Dropdown(options=list(self.runs.task.unique()), description="Task", **wide)
        self.size = ipywidgets.ToggleButtons(
            options=[(str(n), n) for n in sizes], description="Training examples", style=wide["style"]
        )
        self.measure = ipywidgets.Dropdown(options=list(measures.items()), description="Measure", **wide)
        self.figure = live(plots.scores(self.runs, self.measure.value))  # two traces an arm
        self.figure.update_yaxes(categoryorder="array", categoryarray=self.arms)
        self.words = status_line()
        self.show()
        controls = [self.task, self.size, self.measure]
        for control in controls:
            control.observe(self.show, names="value")
        super().__init__([*controls, self.figure, self.words], lambda: self.alt, lambda: self.still().png())

    @property
    def picked(self) -> pd.DataFrame:
        """The runs in the figure."""
        return self.runs[(self.runs.task == self.task.value) & (self.runs.n == self.size.value)]

    def still(self) -> plots.Figure:
        """The current figure without its widget."""
        fig = plots.Figure(self.figure)
        for trace in fig.data:
            trace.y = trace.y[: len(trace.x)]
        return fig

    def show(self, _=None) -> None:
        """Draw the figure for the current values of the controls, in place."""
        runs, label, column = self.picked, self.measure.label, self.measure.value
        title = f"{self.task.value}, {self.size.value} training examples"
        new = plots.scores(runs, column, title, f"{label} on test") if len(runs) else None
        self.alt = (
            f"{new.alt} {self._differences(runs)}" if new else EMPTY.format(task=self.task.value, n=self.size.value)
        )
        drawn = {(trace.name, i % 2): trace for i, trace in enumerate(new.data if new else ())}
        values = self.runs[self.runs.task == self.task.value][column]  # one scale for all sizes
        room = 0.1 * (values.max() - values.min()) or 0.05
        fresh = [drawn.get((trace.name, i % 2)) for i, trace in enumerate(self.figure.data)]
        bars = [trace if i % 2 else None for i, trace in enumerate(fresh)]
        # One message with every trace in full: with batch_update, those that stay the same come out wrong.
        self.figure.plotly_update(
            restyle_data={
                "x": [list(trace.x) if trace else [] for trace in fresh],
                "error_x.array": [list(bar.error_x.array) if bar else None for bar in bars],
                "error_x.arrayminus": [list(bar.error_x.arrayminus) if bar else None for bar in bars],
            },
            relayout_data={
                "title.text": title,
                "xaxis.title.text": f"{label} on test",
                "xaxis.range": [values.min() - room, values.max() + room],
                "meta": {"alt": self.alt},
            },
        )
        set_status(self.words, self.alt)

    def _differences(self, runs: pd.DataFrame) -> str:
        arms = [arm for arm in self.arms if arm != self.baseline and arm in set(runs.arm)]
        if self.baseline not in set(runs.arm) or not arms:
            return "There is nothing to compare here."
        found = table(runs, self.measure.value, self.baseline).loc[arms]
        return f"Against {self.baseline}, paired by seed{plots.corrected(found)}: {plots.compared(found)}."


def board(runs: pd.DataFrame, measures: dict[str, str] | None = None, baseline: str = "full") -> Board:
    """Compare the arms of a recorded grid in an interactive figure.

    Parameters
    ----------
    runs : pandas.DataFrame
        Recorded runs, from `ftlib.load_runs`. Runs that were used to choose a learning rate are left out.
    measures : dict, optional
        {label: column of `runs`}. The default is balanced accuracy, macro-F1, accuracy, NLL and calibration error on
        the test set.
    baseline : str, default "full"
        The arm that the others are compared with.

    Returns
    -------
    Board

    Raises
    ------
    ValueError
        If no run is left, or if `runs` has neither the baseline nor any of the columns.

    Examples
    --------
    Screen readers get a description of the figure.

    >>> ftlib.widgets.board(runs).alt
    'Dot plot of balanced accuracy on test, mean and 95 % interval over seeds: scratch ...'
    """
    return Board(runs, measures or MEASURES, baseline)


def _measured(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs without those that chose a learning rate. A missing n means all of the data."""
    if "purpose" in runs:
        runs = runs[runs.purpose == "measure"]
    if runs.empty:
        raise ValueError("there is no run to show: the board needs runs whose purpose is 'measure'")
    sizes = runs.n if "n" in runs else pd.Series(index=runs.index, dtype=float)
    return runs.assign(n=[("all" if pd.isna(n) else int(n)) for n in sizes])
