"""A panel to try a model: type a text or upload an image, ask, and read the answer in words and as bars."""

import base64
import io

import ipywidgets
import torch
from PIL import Image
from torch import nn

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.models.about import Preprocessing
from ftlib.models.pixels import as_pixels, open_image
from ftlib.training.predicting import Prediction, as_items, predict

BARS = 10  # classes in the figure, the most probable first
SIDE = 224  # pixels of the image that is shown
WIDE = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}


class TryModel(Panel):
    """A panel that asks a model. `try_model` makes one.

    The attributes `text` (or `upload`), `example` and `button` are the controls. `figure` is the live figure of a model
    with classes, and `words` is its text alternative. `answer` is the last answer, or None.

    Parameters
    ----------
    model : Model
        The model to ask.
    examples : list, optional
        Texts, or images as `ftlib.predict` takes them.
    task : str or Task, optional
        Which task is asked, for a model with a head per task.

    Raises
    ------
    ValueError
        If the model can't be asked, or if it doesn't read the first example.

    Examples
    --------
    >>> panel = ftlib.widgets.TryModel(picture_model, [np.zeros((8, 8), np.uint8)])
    >>> panel.answer.label in panel.alt
    True
    """

    def __init__(self, model: nn.Module, examples: list = (), task=None):
        kind = getattr(model, "kind", None)
        self.model, self.examples = model, as_items(examples, kind)[0] if kind and len(examples) else []
        self.task = task
        self.images = kind == "image"
        self.answer, self.item = None, None
        self.text = ipywidgets.Textarea(description="Text", rows=3, continuous_update=False, **WIDE)
        self.upload = ipywidgets.FileUpload(description="Choose an image", accept="image/*", layout=WIDE["layout"])
        self.button = ipywidgets.Button(description="Ask the model", layout=WIDE["layout"])
        names = [(_short(one, i), i) for i, one in enumerate(self.examples)]
        self.example = ipywidgets.Dropdown(options=names, description="Example", **WIDE)
        self.shown, self.words = ipywidgets.HTML(), status_line()
        self.figure = live(_empty())
        self.alt = f"{'Choose an image' if self.images else 'Type a text'} and ask the model."
        self.say()
        if self.examples:
            self.take(0)
            self.ask(strict=True)
        else:
            refused_now = torch.zeros(3, 64, 64) if self.images else "hello"  # and not at the first click
            predict(model, refused_now, task=task)
        self.example.observe(self._chosen, names="value")
        self.upload.observe(self._uploaded, names="value")
        self.button.on_click(lambda _: self.ask())
        asked = [self.upload, self.shown] if self.images else [self.text]
        classes = [self.figure] if self.answer is None or self.answer.probabilities else []
        children = [*([self.example] if self.examples else []), *asked, self.button, *classes, self.words]
        super().__init__(children, lambda: self.alt, self.still if classes else None)

    def take(self, number: int) -> None:
        """Put an example where the learner's own input goes."""
        self.item = self.examples[number]
        if self.images:
            self._show_image()
        else:
            self.text.value = self.item

    def ask(self, strict: bool = False) -> None:
        """Ask the model about the current input. What it doesn't read becomes one sentence in `words`."""
        self.answer, item = None, self.item if self.images else self.text.value
        try:
            if item is None:
                raise ValueError("There is no image yet: choose one first.")
            self.answer = predict(self.model, item, task=self.task)
            self.alt = in_words(self.answer)
        except ValueError as error:
            if strict:
                raise
            self.alt = str(error)
        self.say()

    def say(self) -> None:
        """Draw the bars and speak the words, in place."""
        names, values = _bars(self.answer)
        self.figure.plotly_update(
            restyle_data={"x": [values], "y": [names], "text": [[_percent(v) for v in values]]},
            relayout_data={
                "title.text": self.answer.label if names else "No answer yet",
                "meta": {"alt": self.alt},
                "height": 130 + 34 * max(len(names), 2),
            },
        )
        set_status(self.words, self.alt)

    def still(self) -> bytes:
        """The image, where there is one, and the bars, as PNG."""
        from matplotlib.figure import Figure as Canvas

        names, values = _bars(self.answer)
        canvas = Canvas(figsize=(7.2, max(1.6 + 0.3 * len(names), 2.4)), dpi=80, layout="constrained")
        with_image = self.images and self.item is not None and self.answer is not None
        *left, axes = canvas.subplots(1, 2 if with_image else 1, squeeze=False)[0]
        if left:
            pixels = as_pixels(self.item, _way(self.model)).permute(1, 2, 0).numpy()
            sharp = {"interpolation": "nearest"} if max(pixels.shape) <= SIDE else {}
            left[0].imshow(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=1, **sharp)
            left[0].set_axis_off()
        bars = axes.barh(names, values, color=plots.COLOURS[0])
        axes.bar_label(bars, [_percent(v) for v in values], padding=3)
        axes.invert_yaxis()
        axes.set(title=self.answer.label if names else "No answer yet", xlabel="probability", xlim=(0, 1.3))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.spines[["top", "right"]].set_visible(False)
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()

    def _chosen(self, change) -> None:
        self.take(change["new"])
        self.ask()

    def _uploaded(self, change) -> None:
        if not change["new"]:
            return
        file = change["new"][0]
        try:
            self.item = open_image(io.BytesIO(bytes(file["content"])), file["name"])
        except ValueError as error:
            self.item, self.answer, self.alt, self.shown.value = None, None, str(error), ""
            self.say()
            return
        self._show_image()
        self.ask()

    def _show_image(self) -> None:
        pixels = as_pixels(self.item, _way(self.model))
        image = Image.fromarray((pixels * 255).round().to(torch.uint8).permute(1, 2, 0).squeeze(2).numpy())
        image.thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        image.save(out, format="png")
        source = base64.b64encode(out.getvalue()).decode()
        self.shown.value = (
            f'<img alt="The image, as the model sees it" src="data:image/png;base64,{source}" '
            f'style="width: {SIDE}px; image-rendering: pixelated">'
        )


def try_model(model: nn.Module, examples: list = (), task=None) -> TryModel:
    """Try a model with texts or images of your own.

    Parameters
    ----------
    model : Model
        A model of `ftlib.load_model` or `ftlib.load`.
    examples : list, optional
        Texts, or images as `ftlib.predict` takes them. The answer to the first is shown at once, and it is what a
        reader without a kernel sees.
    task : str or Task, optional
        Which task is asked, for a model with a head per task, as `ftlib.predict` takes it.

    Returns
    -------
    TryModel

    Raises
    ------
    ValueError
        If the model can't be asked, or if it doesn't read the first example.

    Examples
    --------
    >>> panel = ftlib.widgets.try_model(picture_model, [np.zeros((8, 8), np.uint8)])
    >>> panel.button.description
    'Ask the model'
    """
    return TryModel(model, examples, task)


def in_words(answer: Prediction) -> str:
    """The answer as a sentence or two."""
    if answer.value is not None:
        return f"The model says {answer.value:.3f}."
    if not answer.probabilities:
        return f"The model answers: {answer.label}"
    names, values = _bars(answer)
    rest = len(answer.probabilities) - len(names)
    ranked = ", ".join(f"{name} {_percent(v)}" for name, v in zip(names, values, strict=True))
    return f"The model says {answer.label}. In order: {ranked}{f', and {rest} more' if rest else ''}."


def _bars(answer: Prediction | None) -> tuple[list[str], list[float]]:
    ranked = sorted((answer.probabilities if answer else {}).items(), key=lambda one: -one[1])[:BARS]
    return [name for name, _ in ranked], [value for _, value in ranked]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _empty() -> plots.Figure:
    fig = plots.figure("No answer yet", "probability", "", "")
    fig.add_bar(x=[], y=[], text=[], orientation="h", marker={"color": plots.COLOURS[0]}, textposition="outside",
                cliponaxis=False, hovertemplate="%{y}: %{text}<extra></extra>")  # fmt: skip
    fig.update_xaxes(range=[0, 1.15], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return fig.update_yaxes(type="category", autorange="reversed")


def _way(model: nn.Module):
    about = getattr(model, "about", None)
    return about.preprocessing if about else Preprocessing()


def _short(example, number: int) -> str:
    text = str(example if isinstance(example, str) else getattr(example, "name", None) or "")  # a tensor's is None
    return f"{number + 1}: {text[:57]}…" if len(text) > 60 else f"{number + 1}: {text or 'image'}"
