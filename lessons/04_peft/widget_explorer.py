"""The rank explorer: how much of a full fine-tuning update lies in its first directions, beside what was recorded.

A weight that full fine-tuning moved by ΔW is a sum of directions, ΔW = Σ σ_i u_i v_iᵀ (its singular value
decomposition). The r largest of them are the best update of rank r (Eckart and Young 1936), and keep the share
Σ_{i ≤ r} σ_i² / Σ σ_i² of its energy. LoRA learns an update of rank r, though not this one: so its recorded score
stands beside.
"""

import ipywidgets
import numpy as np
import pandas as pd

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.compare import interval

NEEDED = ("rank", "seed")
FULL = 0  # the rank under which runs of full fine-tuning stand
FIRST = 8  # the rank that is shown first, so that the figure has kept directions and others


class RankExplorer(Panel):
    """`matrix`, `rank`: the controls; `figure`: the one live figure; `words`: its text; `spectrum`: what is drawn."""

    def __init__(self, updates: dict[str, np.ndarray], runs: pd.DataFrame, metric: str):
        missing = [name for name in (*NEEDED, metric) if name not in runs]
        if missing or runs.empty:
            raise ValueError(
                f"the rank explorer needs runs with the columns {', '.join((*NEEDED, metric))}: {missing} lack"
            )
        self.shapes = {name: _checked(name, np.asarray(update)).shape for name, update in updates.items()}
        if not self.shapes:
            raise ValueError("the rank explorer needs at least one matrix, {name: its update}")
        self.spectra = {name: np.linalg.svd(np.asarray(u), compute_uv=False) for name, u in updates.items()}
        self.metric = metric
        self.recorded = {int(rank): some[metric].to_numpy() for rank, some in runs.groupby("rank")}
        ranks = _ranks(max(min(shape) for shape in self.shapes.values()), self.recorded)
        self.matrix = ipywidgets.Dropdown(
            options=list(self.spectra), description="Matrix", style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="auto"),
        )  # fmt: skip
        self.rank = ipywidgets.ToggleButtons(
            options=[(str(r), r) for r in ranks], value=FIRST if FIRST in ranks else ranks[0], description="Rank",
            style={"description_width": "initial", "button_width": "auto"},
        )  # fmt: skip
        self.figure = live(_empty(ranks))
        self.words = status_line()
        self.show()
        for control in (self.matrix, self.rank):
            control.observe(self.show, names="value")
        super().__init__(
            [self.matrix, self.rank, self.figure, self.words], lambda: self.alt, lambda: self.still().png()
        )

    @property
    def spectrum(self) -> list[float]:
        """The singular values of the chosen matrix's update, the largest first."""
        return self.spectra[self.matrix.value].tolist()

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return plots.Figure(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        name, sigma = self.matrix.value, self.spectra[self.matrix.value]
        rank = min(self.rank.value, len(sigma))
        index, relative, kept = np.arange(1, len(sigma) + 1), sigma / sigma[0], energy(sigma)
        rows, columns = self.shapes[name]
        low, whole = rank * (rows + columns), rows * columns
        everywhere = [energy(s)[min(rank, len(s)) - 1] * (s**2).sum() for s in self.spectra.values()]
        share = sum(everywhere) / sum((s**2).sum() for s in self.spectra.values())
        more = f" Of all {len(self.spectra)} matrices together: {100 * share:.0f} %." if len(self.spectra) > 1 else ""
        beyond = f", since {name} has no more than {rank}" if rank < self.rank.value else ""
        self.alt = (
            f"{name}, {rows} × {columns}, rank {rank}{beyond}: the first {rank} of {len(sigma)} directions keep "
            f"{100 * kept[rank - 1]:.0f} % of the update's energy. Parameters: {low:,} in place of {whole:,}, "
            f"{100 * low / whole:.1f} %.{more} {self._scores()}"
        )
        self.figure.plotly_update(
            restyle_data={
                "x": [index[:rank].tolist(), index[rank - 1 :].tolist(), index.tolist()],
                "y": [relative[:rank].tolist(), relative[rank - 1 :].tolist(), kept.tolist()],
            },
            relayout_data={
                "title.text": f"{name}: rank {rank} keeps {100 * kept[rank - 1]:.0f} %",
                "meta": {"alt": self.alt},
            },
        )
        set_status(self.words, self.alt)

    def _scores(self) -> str:
        """What was recorded of LoRA with the nearest rank, and of full fine-tuning."""
        split, _, metric = self.metric.partition(".")
        ranks = [rank for rank in self.recorded if rank != FULL]
        parts = []
        if ranks:
            nearest = min(ranks, key=lambda r: abs(np.log2(r / self.rank.value)))
            other = "" if nearest == self.rank.value else " (the nearest)"
            parts.append(f"LoRA of rank {nearest}{other} {_said(self.recorded[nearest])}")
        if FULL in self.recorded:
            parts.append(f"full fine-tuning {_said(self.recorded[FULL])}")
        return f"Recorded {metric.replace('_', ' ')} on {split}: {'; '.join(parts)}."


def rank_explorer(updates: dict[str, np.ndarray], runs: pd.DataFrame, metric: str) -> RankExplorer:
    """The spectrum of full fine-tuning's updates, rank by rank, beside recorded scores of LoRA.

    updates: {name: ΔW (d_out, d_in)}, the weights after full fine-tuning minus those before. runs: a row a run with
    "rank" (0 is full fine-tuning), "seed" and the metric, such as "test.macro_f1".
    """
    return RankExplorer(updates, runs, metric)


def energy(sigma) -> np.ndarray:
    """The share of Σ σ² that the first 1, 2, … singular values keep."""
    squares = np.asarray(sigma, dtype=float) ** 2
    return np.cumsum(squares) / squares.sum()


def _checked(name: str, update: np.ndarray) -> np.ndarray:
    if update.ndim != 2 or not np.isfinite(update).all() or not update.any():
        raise ValueError(
            f"the update of {name} must be a matrix of finite numbers that are not all 0, but it has the shape "
            f"{update.shape}: subtract the weights before training from those after it"
        )
    return update


def _ranks(most: int, recorded) -> list[int]:
    """Powers of two up to the whole matrix, and what was recorded."""
    powers = {2**i for i in range(most.bit_length()) if 2**i <= most}
    return sorted(powers | {most} | {rank for rank in recorded if FULL < rank <= most})


def _said(values: np.ndarray) -> str:
    mean, low, high = interval(values)
    return f"{mean:.3f} {plots.spread(low, high)}" + (f", {len(values)} seeds" if len(values) > 1 else "")


def _empty(ranks: list[int]) -> plots.Figure:
    fig = plots.figure("", "direction, the largest first", "share", "")
    names = ("size, kept (largest is 1)", "size, left out", "energy kept so far")
    for i, name in enumerate(names):
        fig.add_scatter(
            x=[1], y=[1], name=name, mode="lines+markers" if i == 0 else "lines",
            line={"color": plots.COLOURS[i], "dash": plots.DASHES[i], "width": 2.5},
            marker={"symbol": plots.MARKERS[i], "size": 6},
        )  # fmt: skip
    ticks = {"tickvals": ranks, "ticktext": [str(rank) for rank in ranks]}
    fig.update_xaxes(type="log", **ticks)
    return fig.update_yaxes(range=[0, 1.05])
