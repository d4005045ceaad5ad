"""The augmentation playground: six pictures as training would see them, their labels, and what a network says of them.

An augmentation helps only where the picture still shows what its label says. It opens with the pictures as they are,
labels shown, so that everybody has seen what a class looks like. Then turn the strength up until you, or the network,
can no longer tell. A button hides the labels, and what the network says. The network's lead over guessing, on all
pictures, is told with them: one fixed draw of a small sample, so it shows a tendency and no more. Where labels are
mixed, as the pictures are, right and wrong have no meaning and no lead is given.

Strategies come in as functions of a strength, so this file knows none of them. Draws come from a generator that is put
back: the same controls show the same pictures, and the notebook's own random numbers do not move.

Letters: B examples, C channels, H x W pixels, K classes.
"""

import base64
import io
from collections.abc import Callable

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line

STRENGTHS = tuple(i / 10 for i in range(11))
UNTOUCHED = ("", 0.0)  # under which the lead on the pictures as they are is kept, for all kinds
SHOWN = 6
REVEAL, HIDE = "Show labels", "Hide labels"
HIDDEN = f"Their labels are hidden. Judge them yourself, then press “{REVEAL}”."


class Samples(Panel):
    """`kind`, `strength`, `again`, `reveal`: the controls; `figure`: the one live figure; `words`: its text.

    `drawn` holds the pictures shown (6, C, H, W), `became` what their labels have become, `opinions` the judge's
    probabilities of class 1 (empty without a judge), `rows` which of all pictures they are.
    """

    def __init__(self, pictures: Tensor, labels: Tensor, classes: list[str], kinds: dict, judge=None, seed: int = 0):
        self.classes, self.kinds, self.judge, self.seed = (list(classes), dict(kinds), judge, seed)
        self.pictures, self.labels = _checked(pictures, labels, self.classes, judge)
        self.roles = {name: _role(name, make) for name, make in self.kinds.items()}
        if not self.roles:
            raise ValueError("the samples need at least one kind, {name: function of a strength that gives a strategy}")
        self.rows, self.draw, self._leads = _in_turns(self.labels), 1, {}
        self.kind = ipywidgets.Dropdown(
            options=list(self.kinds), description="What", style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="auto"),
        )  # fmt: skip
        self.strength = ipywidgets.ToggleButtons(
            options=[(f"{s:g}", s) for s in STRENGTHS], description="Strength",
            style={"description_width": "initial", "button_width": "auto"},
        )  # fmt: skip
        self.again = ipywidgets.Button(description="Draw again")
        self.reveal, self.revealed = ipywidgets.Button(description=HIDE), True
        self.figure = live(_empty())
        self.words = status_line()
        self.show()
        for control in (self.kind, self.strength):
            control.observe(self.show, names="value")
        self.again.on_click(self._redraw)
        self.reveal.on_click(self._reveal)
        children = [self.kind, self.strength, self.again, self.reveal, self.figure, self.words]
        super().__init__(children, lambda: self.alt, lambda: self.still().png)

    @property
    def leads(self) -> dict[str, dict[float, float]]:
        """The judge's balanced accuracy on all pictures minus ½, by kind and strength; kinds that mix have none."""
        kinds = [name for name, role in self.roles.items() if role == "augment" and self.judge]
        return {name: {strength: self._lead(name, strength) for strength in STRENGTHS} for name in kinds}

    @property
    def title(self) -> str:
        """What is shown, in a few words."""
        if not self.strength.value:
            return f"{self.kind.value}, strength 0: untouched"
        return f"{self.kind.value}, strength {self.strength.label}, draw {self.draw}"

    def still(self) -> plots.Picture:
        """The figure as it is now, without a widget."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(7.2, 3.0), dpi=100, layout="constrained")
        canvas.suptitle(self.title)
        for axes, pixels, above, below in zip(canvas.subplots(1, SHOWN), _bytes(self.drawn), *self._captions("\n")):
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
            axes.set_title(above, fontsize=8)
            axes.set_xlabel(below, fontsize=8)
            axes.set(xticks=[], yticks=[])
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return plots.Picture(out.getvalue(), self.alt)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        kind, strength = self.kind.value, self.strength.value
        self.again.disabled = not strength  # untouched pictures are the same at each draw
        self.drawn, labels = self._changed(self.rows, kind, strength, self.seed + self.draw - 1)
        self.became = [_named(label, self.classes) for label in labels]
        self.opinions = self._asked(self.drawn).tolist() if self.judge else []
        each = [
            name + (f" (network: {100 * self.opinions[i]:.0f} % {self.classes[1]})" if self.judge else "")
            for i, name in enumerate(self.became)
        ]
        named = f"From left to right: {'; '.join(each)}.{self._told()}" if self.revealed else HIDDEN
        self.alt = f"{SHOWN} images, {self.title}. {named}"
        above, below = self._captions("<br>")
        self.figure.plotly_update(
            restyle_data={"source": [_source(pixels) for pixels in _bytes(self.drawn)]},
            relayout_data={
                "title.text": self.title,
                "meta": {"alt": self.alt},
                **{f"annotations[{i}].text": text for i, text in enumerate(above + below)},
            },
        )
        set_status(self.words, self.alt)

    def _redraw(self, _) -> None:
        self.draw += 1
        self.show()

    def _reveal(self, _) -> None:
        self.revealed = not self.revealed
        self.reveal.description = HIDE if self.revealed else REVEAL
        self.show()

    def _captions(self, newline: str) -> tuple[list[str], list[str]]:
        """What stands above and below each picture: its number, or its label and what the network says."""
        if not self.revealed:
            return [f"image {i + 1}" for i in range(SHOWN)], [""] * SHOWN
        above = [name.replace(" + ", f"{newline}+ ") for name in self.became]
        below = [f"network:{newline}{100 * p:.0f} % {self.classes[1]}" for p in self.opinions]
        return above, below or [""] * SHOWN

    def _changed(self, rows: list[int], kind: str, strength: float, seed: int) -> tuple[Tensor, Tensor]:
        """Pictures (B, C, H, W) and labels, (B,) or mixed (B, K), as they come out of the chosen kind."""
        batch = {"pixels": self.pictures[rows], "labels": self.labels[rows]}
        if strength:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.default_generator.manual_seed(seed)  # the CPU's alone, from which augmentations draw
                batch = self.kinds[kind](strength).transform(batch)
        return batch["pixels"], batch["labels"]

    def _asked(self, pixels: Tensor) -> Tensor:
        """(B,), what the judge says."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            p = torch.as_tensor(self.judge(pixels)).detach().float().cpu()
        if p.shape != (len(pixels),) or not ((p >= 0) & (p <= 1)).all():
            raise ValueError(
                f"judge must give one probability of {self.classes[1]} a picture, shape ({len(pixels)},), but it gave "
                f"shape {tuple(p.shape)}, from {p.min():.3g} to {p.max():.3g}: take softmax(logits, 1)[:, 1]"
            )
        return p

    def _lead(self, kind: str, strength: float) -> float:
        key = (kind, strength) if strength else UNTOUCHED
        if key not in self._leads:
            pixels, _ = self._changed(list(range(len(self.labels))), kind, strength, self.seed)
            chosen = self._asked(pixels) > 0.5
            recalls = [(chosen == bool(label))[self.labels == label].float().mean() for label in (0, 1)]
            self._leads[key] = float(sum(recalls) / 2 - 0.5)
        return self._leads[key]

    def _told(self) -> str:
        """The judge's lead on all pictures, in words."""
        kind, strength = self.kind.value, self.strength.value
        if not self.judge or self.roles[kind] != "augment":
            return ""
        here, untouched = self._lead(kind, strength) + 0.0, self._lead(*UNTOUCHED)
        lead = f"{here:.2f} at this strength, {untouched:.2f} untouched" if strength else f"{untouched:.2f} untouched"
        return f" The network's lead over guessing on all {len(self.labels)} images is {lead}."


def samples(
    pictures: Tensor,
    labels: Tensor,
    classes: list[str],
    kinds: dict[str, Callable],
    judge: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
) -> Samples:
    """See what an augmentation makes of pictures and labels, and what a network makes of that.

    pictures: (N, 1 or 3, H, W), floats in 0..1; six are shown, the classes in turns, the first ones of each. labels:
    (N,). kinds: {name: function of a strength above 0, up to 1, that gives a strategy of the role "augment" or "mix"},
    for example {"rotation": lambda s: Rotation(45 * s)}; strength 0 leaves pictures as they are and calls nobody. What
    mixes must know the number of classes: prepare it in the function, mixup.prepare(model). judge: pictures
    (B, C, H, W) → probability of class 1 (B,), for two classes; keep it quick, it is asked at each change.
    """
    return Samples(pictures, labels, classes, kinds, judge, seed)


def _checked(pictures: Tensor, labels: Tensor, classes: list[str], judge) -> tuple[Tensor, Tensor]:
    pictures, labels = torch.as_tensor(pictures), torch.as_tensor(labels)
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or not pictures.is_floating_point():
        raise ValueError(
            f"pictures must be floats in 0..1 of shape (N, 1 or 3, H, W), but these are {str(pictures.dtype)[6:]} of "
            f"shape {tuple(pictures.shape)}: take a loader's batch, or convert them first"
        )
    if len(pictures) < SHOWN or not 0 <= pictures.min() <= pictures.max() <= 1:
        raise ValueError(
            f"pictures must be at least {SHOWN}, with pixels in 0..1, but there are {len(pictures)}, with pixels up to "
            f"{pictures.max() if pictures.numel() else 0:g}: give more, or divide by 255"
        )
    if (
        labels.shape != pictures.shape[:1]
        or labels.is_floating_point()
        or not set(labels.tolist()) <= set(range(len(classes)))
    ):
        raise ValueError(
            f"labels must be one whole number a picture, {len(pictures)} of them from 0 to {len(classes) - 1}, but "
            f"these are {str(labels.dtype)[6:]} of shape {tuple(labels.shape)}: take those that belong to the pictures"
        )
    if judge and (len(classes) != 2 or len(set(labels.tolist())) != 2):
        raise ValueError(
            f"a judge needs two classes and pictures of both, but there are {len(classes)} classes and pictures of "
            f"{len(set(labels.tolist()))}: add pictures, or leave the judge out"
        )
    return pictures, labels


def _role(name: str, make: Callable) -> str:
    role = getattr(make(1.0), "role", None)
    if role not in ("augment", "mix"):
        raise ValueError(
            f"the kind {name!r} must give a strategy whose role is 'augment' or 'mix', but its role is {role!r}: take "
            f"one of strategies.augmentation or strategies.mixing"
        )
    return role


def _in_turns(labels: Tensor) -> list[int]:
    """Which six are shown: the first of each class, then the second of each, and so on."""
    seen: dict[int, int] = {}
    turns = []
    for row, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], label, row))
    return [row for _, _, row in sorted(turns)[:SHOWN]]


def _named(label: Tensor, classes: list[str]) -> str:
    """A class's name; or, of a mixed label, the share of each in hundredths, the largest first."""
    if not label.ndim:
        return classes[int(label)]
    shares = sorted(((round(100 * float(share)), -k) for k, share in enumerate(label)), reverse=True)
    parts = [(share, classes[-k]) for share, k in shares if share]
    return parts[0][1] if len(parts) == 1 else " + ".join(f"{share / 100:g} {name}" for share, name in parts)


def _bytes(pixels: Tensor) -> list[np.ndarray]:
    """Each picture as bytes, (H, W) or (H, W, 3)."""
    whole = (pixels.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return [one[0].numpy() if len(one) == 1 else one.permute(1, 2, 0).numpy() for one in whole]


def _source(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(plots.image(pixels, "").png).decode()


def _empty() -> plots.Figure:
    fig = plots.figure("", "", "", "").set_subplots(1, SHOWN, horizontal_spacing=0.02)
    for i in range(1, SHOWN + 1):
        fig.add_trace(go.Image(source=_source(np.zeros((8, 8), np.uint8)), hoverinfo="skip"), 1, i)
        fig.update_xaxes(showticklabels=False, constrain="domain", col=i)
        fig.update_yaxes(
            showticklabels=False, constrain="domain", autorange="reversed", scaleanchor=f"x{i if i > 1 else ''}", col=i
        )
    for side, anchor in ((1, "bottom"), (0, "top")):
        for i in range(1, SHOWN + 1):
            axis = str(i) if i > 1 else ""
            fig.add_annotation(
                text="", showarrow=False, x=0.5, xref=f"x{axis} domain", xanchor="center",
                y=side, yref=f"y{axis} domain", yanchor=anchor, font={"size": 11},
            )  # fmt: skip
    return fig.update_layout(height=300, margin={"l": 10, "r": 10, "t": 80, "b": 40})
