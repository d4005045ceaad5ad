"""What the widget `samples` says, in its figure, its title, its words and its status, is what its data say."""

import pytest
import torch
from known import every
from words import NLL, alone, recorded, says, spoken, status, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part
from ftlib.strategy import Strategy

SAMPLES = part("08_augmentation", "widget_samples")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")


class Darker(Strategy):
    """Every pixel loses the strength."""

    role = "augment"

    def __init__(self, strength):
        self.strength = strength

    def transform(self, batch):
        return {**batch, "pixels": (batch["pixels"] - self.strength).clamp(0, 1)}


class Blend(Strategy):
    """Half of the strength comes from the row before, label and all."""

    role = "mix"

    def __init__(self, strength):
        self.share = 1 - strength / 2

    def transform(self, batch):
        x, y = batch["pixels"], torch.eye(2)[batch["labels"]]
        mixed = [self.share * v + (1 - self.share) * v.roll(1, 0) for v in (x, y)]
        return {**batch, "pixels": mixed[0], "labels": mixed[1]}


JUDGES = {
    "right": lambda x: (x.mean((1, 2, 3)) < 0.5).float(),
    "wrong": lambda x: (x.mean((1, 2, 3)) >= 0.5).float(),
    "always sure of class 1": lambda x: torch.full((len(x),), 0.97),
    "nobody": None,
}


def check_samples(judge):
    bright = torch.tensor([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.9, 0.8, 0.6, 0.95])  # class 1 is dark
    labels, pictures = (bright < 0.5).long(), bright[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    names, ask = ["day", "night"], JUDGES[judge]
    play = SAMPLES.samples(pictures, labels, names, {"darker": Darker, "blend": Blend}, ask)
    rows = [0, 1, 2, 3, 4, 5]  # the classes in turns
    assert play.rows == rows
    for at in every(kind=["darker", "blend"], strength=[0.0, 0.3, 1.0]):
        play.kind.value, play.strength.value = at["kind"], at["strength"]
        alt = told(play, status(play.words))
        change = {"darker": Darker, "blend": Blend}[at["kind"]](at["strength"])
        batch = {"pixels": pictures[rows], "labels": labels[rows]}
        out = change.transform(batch) if at["strength"] else batch
        texts = []
        for i in range(6):
            y = out["labels"][i]
            shares = {int(y): 1.0} if not y.ndim else {k: float(v) for k, v in enumerate(y) if v > 0}
            order = sorted(shares, key=lambda k: (-round(100 * shares[k]), k))
            parts = [f"{round(100 * shares[k]) / 100:g} {names[k]}" for k in order]
            text = names[order[0]] if len(order) == 1 else " + ".join(parts)
            if ask:
                p = float(ask(out["pixels"])[i])
                text += f" (network: {100 * p:.0f} % night)"
                assert f"{100 * p:.0f} % night" in play.figure.layout.annotations[6 + i].text
            texts.append(text)
            assert play.figure.layout.annotations[i].text.replace("<br>", " ") == text.partition(" (")[0]
        assert f"From left to right: {'; '.join(texts)}." in alt

        def balanced(x):
            chosen = ask(x) > 0.5
            return sum(float((chosen[labels == k] == bool(k)).float().mean()) for k in (0, 1)) / 2

        tail = alt.partition("lead over guessing")[2]
        assert bool(tail) == (ask is not None and at["kind"] == "darker")
        if tail:
            here = balanced(Darker(at["strength"]).transform({"pixels": pictures})["pixels"]) - 0.5
            says(tail, 10, *([here] if at["strength"] else []), balanced(pictures) - 0.5)
        strength = f"{at['strength']:g}" + (", draw 1" if at["strength"] else ": untouched")
        assert play.figure.layout.title.text == play.title == f"{at['kind']}, strength {strength}"
        assert play.title in alt


ROWS = {k: k for k in JUDGES}


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_samples(ROWS[name])
