"""The feature space: where source and target lie before, during and after a domain adaptation.

Features of D numbers are drawn in the plane of their two directions of largest variance (principal components, Pearson
1901), found once over all steps and methods, so that the axes stay still and only the points move. The first step stays
on the left, and the chosen one is on the right. At first that is the last step of the last method. A plane shows a part
of the variance only, so what the words say is measured in all D features, too:

- how far the domains are apart, ‖μ_S - μ_T‖ / s, with the pooled variance
  s² = (Σ_{x in S} ‖x - μ_S‖² + Σ_{x in T} ‖x - μ_T‖²) / (N - 2): the distance of the means, in units of how far an
  example typically is from the mean of its own domain;
- what the source knows of the target: each target example gets the class of the source's nearest class mean, and the
  accuracy is the mean over the target's classes, each counted alike.

The first can shrink to 0 while the second falls: domains that lie on each other need not agree on their classes.
"""

import base64
import html
import io
import math
import textwrap
from collections.abc import Sequence

import ipywidgets
import numpy as np
from PIL import Image

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line

SHAPES = (plots.MARKERS[0], plots.MARKERS[5])  # circle and x: of two, the ones that are told apart best
GREY = "#555555"  # in the legend, for what a shape says
LINES, WIDTH = (8, 60)  # of a sentence beside the mouse: more would cover the figure; the words below hold all of it
SIDE = 160  # pixels on the screen, for images of any size


class FeatureSpace(Panel):
    """`method`, `step`, `by`, `example`: the controls; `figure`: the one live figure; `picture`: the example's.

    `words` tell the figure and `about` the example; `apart` and `accuracy` hold the measures of all D features,
    {method: {step: number}}, and `plane` what is drawn, {method: {step: (N, 2)}}.
    """

    def __init__(self, progress: dict[str, dict[int, np.ndarray]], domains: list, classes: list, shown: Sequence):
        self.domains, self.classes = ([str(name) for name in domains], [str(name) for name in classes])
        self.shown, features = list(shown), _features(progress, len(domains))
        _check_lists(self.domains, self.classes, self.shown)
        self.names, self.labels = list(dict.fromkeys(self.domains)), sorted(set(self.classes))
        self.texts = isinstance(self.shown[0], str)
        self.plane, self.explained = _planes(features)
        is_source, labels = np.array(self.domains) == self.names[0], np.array(self.classes)
        self.features = next(x.shape[1] for steps in features.values() for x in steps.values())
        self.apart = _each(features, lambda x: distance(x, is_source))
        self.accuracy = _each(features, lambda x: nearest_mean(x, is_source, labels))
        self._drawn_apart = _each(self.plane, lambda x: distance(x, is_source))
        groups = [(d, k, np.flatnonzero((np.array(self.domains) == name) & (labels == label)))
                  for d, name in enumerate(self.names) for k, label in enumerate(self.labels)]  # fmt: skip
        self.groups = [group for group in groups if len(group[2])]  # a trace each; a class may lack in the target

        def buttons(name: str, options: list) -> ipywidgets.ToggleButtons:
            style = {"description_width": "initial", "button_width": "auto"}
            return ipywidgets.ToggleButtons(options=options, description=name, style=style)

        self.method = buttons("Method", list(features))
        self.method.value = list(features)[-1]
        self.step = buttons("Step", [(str(step), step) for step in features[self.method.value]])
        self.step.value = list(features[self.method.value])[-1]
        self.first = next(iter(features[self.method.value]))
        self.by = buttons("Colour", ["class", "domain"])
        self.by.value = "domain"
        self.example = ipywidgets.Dropdown(
            options=[(f"{i + 1}: {self._kind(i)}", i) for i in range(len(self.domains))], description="Example",
            style={"description_width": "initial"}, layout=ipywidgets.Layout(width="auto"),
        )  # fmt: skip
        self.figure = live(self._empty())
        self.picture, self.words, self.about = ipywidgets.HTML(), status_line(), status_line()
        for trace in self.figure.data[: len(self.groups)]:
            trace.on_hover(self._point)
            trace.on_click(self._point)
        self.show()
        for control in (self.method, self.step, self.by):
            control.observe(self.show, names="value")
        self.example.observe(self._choose, names="value")
        controls = [self.method, self.step, self.by, self.example][len(features) == 1 :]
        drawn = self.figure if self.texts else ipywidgets.HBox([self.figure, self.picture])
        super().__init__([*controls, drawn, self.about, self.words], lambda: self.alt, lambda: self.still().png())

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        fig = plots.Figure(self.figure)
        fig.data[-1].update(marker={"symbol": "circle"}, opacity=0.4)
        (left, right), (low, high) = fig.layout.xaxis.range, fig.layout.yaxis.range
        ends = {"x": [left, right + 0.25 * (right - left)], "y": [low, high]}  # the axes stand; room for the legend
        return fig.add_scatter(**ends, mode="none", showlegend=False)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        method, step = self.method.value, self.step.value
        drawn, mark = ([self.plane[method][step][rows] for _, _, rows in self.groups], self._mark())
        drawn += [self.plane[method][self.first][rows] - [self._aside, 0] for _, _, rows in self.groups]
        keys = [(None, k) for k in range(len(self.labels))] + [(d, None) for d in range(2)]
        looks = [self._look(d, k) for d, k in [group[:2] for group in self.groups] * 2 + keys]
        nowhere, heads = [[None]] * len(keys), [f"before: step {self.first}", f"{method}: step {step}"]
        self._of_figure = self._measured(method, step)
        self.alt = f"{self._of_figure} {self._example()}"
        # One message with every trace in full, as on the board.
        self.figure.plotly_update(
            restyle_data={
                "x": [xy[:, 0].tolist() for xy in drawn] + nowhere + [self._heads[0]] + mark["x"],
                "y": [xy[:, 1].tolist() for xy in drawn] + nowhere + [self._heads[1]] + mark["y"],
                "text": [None] * len(looks) + [[_plain(head) for head in heads]] + mark["text"],
                "mode": [mode for mode, _, _ in looks] + ["text", "markers+text"],
                "marker.color": [colour for _, colour, _ in looks] + ["#000000"] * 2,
                "marker.symbol": [symbol for _, _, symbol in looks] + ["circle", "circle-open"],
            },
            relayout_data={"title.text": _plain(self._title(method, step)), "meta": {"alt": self.alt}},
        )
        set_status(self.words, self._of_figure)
        self._tell()

    def _title(self, method: str, step: int) -> str:
        far = self.apart[method]
        return f"{method}: domains {far[self.first]:.2f} apart before, {far[step]:.2f} at step {step}"

    def _choose(self, _) -> None:
        """Another example: only its mark moves, so that it can follow the mouse."""
        self.alt = f"{self._of_figure} {self._example()}"
        last = [len(self.figure.data) - 1]
        self.figure.plotly_update(
            restyle_data=self._mark(), relayout_data={"meta": {"alt": self.alt}}, trace_indexes=last
        )
        self._tell()

    def _point(self, trace, points, _) -> None:
        """The mouse is over a point, or has clicked it: plotly asks every trace, most of them have none."""
        if points.point_inds:
            self.example.value = int(self.groups[points.trace_index][2][points.point_inds[0]])

    def _tell(self) -> None:
        set_status(self.about, self._example())
        if not self.texts:
            out = io.BytesIO()
            Image.fromarray(self.shown[self.example.value]).save(out, format="png")
            alt = html.escape(f"Example {self.example.value + 1}: {self._kind(self.example.value)}")
            self.picture.value = (
                f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}" '
                f'style="width: {SIDE}px; margin: 60px 10px; image-rendering: pixelated">'
            )

    def _kind(self, i: int) -> str:
        return f"{self.domains[i]}, {self.classes[i]}"

    def _example(self) -> str:
        """The chosen example in words."""
        i = self.example.value
        if self.texts:
            what = "“" + " ".join(self.shown[i].replace("**", "* *").replace("`", "'").split()) + "”"
        else:
            what = "an image of {} × {} pixels".format(*self.shown[i].shape)
        return f"Example {i + 1}: {self._kind(i)}, {what}."

    def _mark(self) -> dict:
        x, y = self.plane[self.method.value][self.step.value][self.example.value].tolist()
        return {"x": [[x]], "y": [[y]], "text": [[f"example {self.example.value + 1}"]]}

    def _look(self, domain: int | None, label: int | None) -> tuple[str, str, str]:
        """Mode, colour and symbol of a trace, or of a line of the legend, which stands for one of the two only."""
        coloured, shaped = (label, domain) if self.by.value == "class" else (domain, label)
        symbols = SHAPES if self.by.value == "class" else plots.MARKERS
        colour = GREY if coloured is None else plots.COLOURS[coloured]
        return ("lines", colour, "circle") if shaped is None else ("markers", colour, symbols[shaped])

    def _measured(self, method: str, step: int) -> str:
        """What the figure shows, how far the domains are apart, and what the source knows of the target."""
        source, target = self.names
        first, explained = self.first, [f"{100 * share:.0f} %" for share in self.explained]
        far, drawn, right = self.apart[method], self._drawn_apart[method], self.accuracy[method]
        other = "domain" if self.by.value == "class" else "class"
        return (
            f"{method}, step {step}: the means of the domains are {far[step]:.2f} pooled standard deviations apart in "
            f"all {self.features} features (at step {first}: {far[first]:.2f}). The nearest class mean of {source} is "
            f"right for {100 * right[step]:.0f} % of {target} (at step {first}: {100 * right[first]:.0f} %). Two "
            f"scatter plots of {self.domains.count(source)} examples of {source} and {self.domains.count(target)} of "
            f"{target}, step {first} on the left and step {step} on the right, {self.by.value} by colour, {other} by "
            f"shape. They show the two directions in which the features vary most over all steps and methods, with "
            f"{100 * sum(self.explained):.0f} % of the variance ({' and '.join(explained)}). There the means are "
            f"{drawn[step]:.2f} apart (at step {first}: {drawn[first]:.2f})."
        )

    def _hover(self, i: int) -> str:
        """What stands beside the mouse; plotly reads tags in it."""
        rows = textwrap.wrap(self.shown[i], WIDTH, max_lines=LINES, placeholder=" …") if self.texts else []
        return "<br>".join(_plain(row) for row in [f"example {i + 1}: {self._kind(i)}", *rows])

    def _empty(self) -> plots.Figure:
        axes = [f"direction {i + 1} ({100 * share:.0f} % of the variance)" for i, share in enumerate(self.explained)]
        fig = plots.figure("", *axes, "")
        every = np.concatenate([xy for steps in self.plane.values() for xy in steps.values()])
        low, high = every.min(0), every.max(0)
        room = 0.08 * (high - low).max()  # of the wider direction: the other may have no width at all
        (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
        top += room  # for the words above the points
        self._aside, middle = right - left, (left + right) / 2  # the first step is drawn that far to the left
        self._heads = [middle - self._aside, middle], [top - room / 2] * 2
        fig.update_xaxes(range=[left - self._aside, right], showticklabels=False)
        # a distance is one in every direction
        fig.update_yaxes(range=[bottom, top], scaleanchor="x", showticklabels=False)
        fig.add_vline(left, line={"color": "#777777", "width": 1})
        fig.update_layout(width=860, height=440, legend={"itemclick": False, "itemdoubleclick": False})
        fig.update_layout(hoverlabel={"bgcolor": "white", "font": {"color": "black"}})
        edge = {"size": 8, "line": {"width": 0.6, "color": "#333333"}}
        for d, k, rows in self.groups:
            fig.add_scatter(name=_plain(f"{self.names[d]}, {self.labels[k]}"), marker=edge, opacity=0.8,
                            showlegend=False, hoverinfo="text", hovertext=[self._hover(i) for i in rows])  # fmt: skip
        for _ in self.groups:  # the same at the first step
            fig.add_scatter(marker=edge, opacity=0.8, showlegend=False, hoverinfo="skip")
        for group, names in (("class", self.labels), ("domain", self.names)):
            for name in names:
                fig.add_scatter(name=_plain(name), marker={"size": 9}, line={"width": 7}, hoverinfo="skip",
                                legendgroup=group, legendgrouptitle={"text": group}, showlegend=True)  # fmt: skip
        fig.add_scatter(showlegend=False, hoverinfo="skip")  # what is on the left and on the right
        return fig.add_scatter(name="example", marker={"size": 20, "line": {"width": 3}}, textposition="top center",
                               showlegend=False, hoverinfo="skip")  # fmt: skip


def feature_space(
    progress: dict[str, dict[int, np.ndarray]], domains: list, classes: list, shown: Sequence
) -> FeatureSpace:
    """The features of N examples at recorded moments of a training, in one plane.

    progress: {method: {step: features (N, D)}}, the same steps for every method. domains: N names, of two domains; the
    first one is the source. classes: N names, of at most ten classes. shown: N sentences, or N grey images of bytes
    (H, W), for the example that the mouse or the keyboard chooses.
    """
    return FeatureSpace(progress, domains, classes, shown)


def distance(features: np.ndarray, source: np.ndarray) -> float:
    """‖μ_S - μ_T‖ / s of features (N, D); source (N,) is true where an example is of the source."""
    parts = features[source], features[~source]
    gap = np.linalg.norm(parts[0].mean(0) - parts[1].mean(0))
    pooled = math.sqrt(sum(((part - part.mean(0)) ** 2).sum() for part in parts) / (len(features) - 2))
    return float(gap / pooled) if pooled else math.inf if gap else 0.0


def nearest_mean(features: np.ndarray, source: np.ndarray, classes: np.ndarray) -> float:
    """How well the source's nearest class mean tells the target's classes: accuracy, mean over classes."""
    names = np.unique(classes[source])
    means = np.stack([features[source & (classes == name)].mean(0) for name in names])  # (K, D)
    far = np.stack([((features[~source] - mean) ** 2).sum(1) for mean in means])  # (K, M)
    right, truth = names[far.argmin(0)] == classes[~source], classes[~source]
    return float(np.mean([right[truth == name].mean() for name in np.unique(truth)]))


def _each(features: dict, measure) -> dict:
    return {method: {step: measure(x) for step, x in steps.items()} for method, steps in features.items()}


def _planes(features: dict) -> tuple[dict, list[float]]:
    """All features in the plane of their two principal components, and the share of the variance of each."""
    every = np.concatenate([x for steps in features.values() for x in steps.values()])
    mean = every.mean(0)
    _, sigma, directions = np.linalg.svd(every - mean, full_matrices=False)
    if not sigma[0]:
        raise ValueError("all features are the same number, which has no plane: record them from a network that works")
    two = directions[:2].T  # (D, 2); of the two signs, the one whose largest entry is positive
    two = two * np.sign(two[abs(two).argmax(0), [0, 1]])
    return _each(features, lambda x: (x - mean) @ two), (sigma[:2] ** 2 / (sigma**2).sum()).tolist()


def _features(progress: dict, n: int) -> dict[str, dict[int, np.ndarray]]:
    """The features as float64, the steps in order; or one sentence that says what is wrong with them."""
    if not progress or not all(progress.values()):
        raise ValueError("the feature space needs at least one method with one step: {method: {step: features (N, D)}}")
    features = {m: {step: np.asarray(steps[step], float) for step in sorted(steps)} for m, steps in progress.items()}
    (first, steps), *others = features.items()
    for method, other in others:
        if list(other) != list(steps):
            raise ValueError(
                f"the methods must have the same steps, but {first} has {list(steps)} and {method} has {list(other)}: "
                "record all of them at the same steps"
            )
    width = next(iter(steps.values())).shape[1:]
    for method, step, x in ((m, s, x) for m, steps in features.items() for s, x in steps.items()):
        if x.ndim != 2 or len(x) != n or x.shape[1:] != width or x.shape[1] < 2:
            raise ValueError(
                f"the features of {method} at step {step} must have the shape ({n}, D), a row for each of {n} domains "
                f"and the same D of at least 2 everywhere, but they have {x.shape}: give the same examples at each step"
            )
        if not np.isfinite(x).all():
            raise ValueError(
                f"the features of {method} at step {step} must be finite numbers, but {(~np.isfinite(x)).sum()} are "
                "not: lower the learning rate, or leave this step out"
            )
    return features


def _check_lists(domains: list[str], classes: list[str], shown: list) -> None:
    if not len(domains) == len(classes) == len(shown):
        raise ValueError(
            f"domains, classes and shown must have one entry an example, but they have {len(domains)}, {len(classes)} "
            f"and {len(shown)}: give them for the same examples, in the order of the features"
        )
    names = list(dict.fromkeys(domains))
    if len(names) != 2 or min(map(domains.count, names)) < 2:
        raise ValueError(
            "domains must name two domains, the source first, with two examples of each or more, but they are "
            f"{ {name: domains.count(name) for name in names} }: mix examples of the source and of the target"
        )
    found = [{c for c, d in zip(classes, domains) if d == name} for name in names]
    if found[1] - found[0] or len(found[0]) > len(plots.COLOURS):
        raise ValueError(
            f"classes must be at most {len(plots.COLOURS)}, all of them in the source, but it has {len(found[0])} and "
            f"lacks {sorted(found[1] - found[0])} of the target's: leave the others out"
        )
    grey = [isinstance(one, np.ndarray) and one.ndim == 2 and one.dtype == np.uint8 for one in shown]
    if not all(grey) and not all(isinstance(one, str) for one in shown):
        kinds = sorted({f"{one.dtype} {one.shape}" if isinstance(one, np.ndarray) else type(one).__name__
                        for one, good in zip(shown, grey) if not good})  # fmt: skip
        raise ValueError(
            f"shown must be sentences, or grey images as arrays of uint8 (H, W), but it also has {', '.join(kinds)}: "
            "choose one of the two; (255 * image).astype('uint8') makes bytes of pixels in 0..1"
        )


def _plain(text: str) -> str:
    """A text without what plotly would read as a tag; it leaves quotation marks as they are."""
    return html.escape(text, quote=False)
