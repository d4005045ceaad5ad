"""The confusion matrix and the mistakes say what the predictions say, in picture and words."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix

import ftlib
from ftlib import plots
from ftlib.tasks import Split, Task

pytestmark = pytest.mark.usefixtures("one_thread")


class Told(torch.nn.Module):
    """Says what the first pixel, or the word, tells it to."""

    head = torch.nn.Identity()

    def __init__(self, kind):
        super().__init__()
        self.kind, self.tokenizer, self.zero = kind, None, torch.nn.Parameter(torch.zeros(()))
        self.stages = torch.nn.ModuleList()

    def forward(self, batch):
        return batch["logits"] + self.zero


LOGITS = torch.tensor([[4.0, 0, 0], [0, 5, 0], [0, 6, 0], [0, 0, 1], [2, 0, 0], [0, 0, 3]])  # says 0 1 1 2 0 2
TRUE = torch.tensor([0, 1, 0, 2, 1, 2])
NAMES = ["ant", "bee", "cat"]


def task(logits=LOGITS, true=TRUE):
    pixels = torch.arange(len(true) * 16, dtype=torch.uint8).view(len(true), 1, 4, 4)
    part = Split(pixels, true, 3, {"logits": logits}, index=torch.arange(len(true)) * 10)
    return Task("mine", "image", NAMES, "accuracy", {"train": part, "validation": part, "test": part})


def test_the_matrix_counts_what_scikit_learn_counts():
    rng = np.random.default_rng(0)
    true, said = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    true[true == 3] = 0  # a class without an example
    fig = plots.confusion(true=true, predicted=said, labels=list("abcd"))
    want = confusion_matrix(true, said, labels=range(4))
    counts = [[int(cell.partition("<")[0]) for cell in row] for row in fig.data[0].text]
    assert np.array_equal(counts, want)
    shares = np.array(fig.data[0].z, float)
    np.testing.assert_allclose(shares[:3], want[:3] / want[:3].sum(1, keepdims=True))
    assert np.isnan(shares[3]).all() and "d: no example." in fig.alt
    assert f"{(true == said).sum()} of them right" in fig.alt
    assert Image.open(io.BytesIO(fig.png())).size[0] > 300


def test_a_model_and_a_task_give_the_same_as_arrays():
    mine = task()
    fig = plots.confusion(Told("image"), mine)
    assert mine.reads == {"validation": 1}
    assert fig.alt == (
        "Confusion matrix of 6 examples on validation, 4 of them right (66.7 %). ant: 1 of 2 right, 1 taken for bee. "
        "bee: 1 of 2 right, 1 taken for ant. cat: 2 of 2 right."
    )
    assert fig.data[0].text == plots.confusion(true=TRUE, predicted=LOGITS.argmax(1), labels=NAMES).data[0].text
    assert (list(fig.data[0].x), fig.layout.xaxis.title.text) == (NAMES, "predicted class")
    plots.confusion(Told("image"), mine, "test")
    assert mine.reads["test"] == 1


def test_the_surest_mistakes_come_first():
    shown = plots.mistakes(Told("image"), task())
    assert isinstance(shown, plots.Picture) and Image.open(io.BytesIO(shown.png)).size[0] > 100
    sure = LOGITS.double().softmax(1).max(1).values
    assert shown.alt == (
        f"The 2 most confident of 2 mistakes among 6 examples of validation. true ant, predicted bee ({sure[2]:.3f}); "
        f"true bee, predicted ant ({sure[4]:.3f})."
    )
    assert plots.mistakes(Told("image"), task(), n=1).alt.startswith("The 1 most confident of 2 mistakes")


def test_no_mistake_is_said():
    shown = plots.mistakes(Told("image"), task(true=LOGITS.argmax(1)))
    assert shown.alt == "No mistakes: all 6 examples of validation are right."
    assert shown.alt in shown._repr_mimebundle_()["text/html"]


def test_mistakes_with_sentences_are_a_table():
    reviews = ftlib.load_task("sentiment/amazon", n=20, held_out=30)
    torch.manual_seed(0)
    model = ftlib.load_model("minilm", reviews)
    shown, part = plots.mistakes(model, reviews, n=3), reviews.splits["validation"]
    answers = ftlib.predict(model, list(shown.frame.text))
    truth = {text: reviews.labels[int(k)] for text, k in zip(part.inputs, part.labels)}
    for row, (_, answer) in zip(shown.frame.itertuples(), answers.iterrows(), strict=True):
        assert (row.predicted, row.true) == (answer.label, truth[row.text]) and row.predicted != row.true
        assert abs(row.probability - answer.probability) < 1e-3 and repr(row.text) in shown.alt
    assert list(shown.frame.probability) == sorted(shown.frame.probability, reverse=True)
    assert "<table" in shown._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.confusion(), "needs a model and a task"),
        (lambda: plots.confusion(Told("image"), "elpv"), "a task of ftlib.load_task"),
        (lambda: plots.confusion(Told("image"), task(), "valid"), "did you mean 'validation'?"),
        (lambda: plots.confusion(Told("text"), task()), "the model reads 'text'"),
        (lambda: plots.confusion(true=[0, 1], predicted=[0]), "equally long"),
        (lambda: plots.confusion(true=[], predicted=[]), "not empty"),
        (lambda: plots.confusion(true=[0.5], predicted=[1.0]), "whole"),
        (lambda: plots.confusion(true=[0, 2], predicted=[0, 1], labels=["a", "b"]), "names for the classes 0 to 1"),
        (lambda: plots.mistakes(Told("image"), task(), n=0), "n must be a whole number"),
        (lambda: plots.mistakes(None, ftlib.load_task("sentiment", n=9, target="rating")), "has no classes"),
    ],
)
def test_bad_input_gets_one_sentence(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_plots_offers_them_and_says_what_it_has_not():
    assert {"confusion", "mistakes"} <= set(dir(plots))
    with pytest.raises(AttributeError, match="no name 'confusions'"):
        _ = plots.confusions
    assert isinstance(plots.mistakes(Told("image"), task(true=LOGITS.argmax(1))).frame, pd.DataFrame)
