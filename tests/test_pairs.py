"""Every two strategies: refused for a reason that is written here, or trained together to an answer that is known.

The tables say which pairs must be refused, and why, independently of how `combine` finds out: a refusal for another
reason, a pair that is missing here and refused, and one that is here and taken, are all wrong.
"""

import itertools
import re

import pytest

from ftlib import strategies
from ftlib.strategy import combine
from ftlib.train import evaluate, fit
from test_contract import ADAPTS, ALIGNED, INJECTIONS, LOOKERS, NAMES, READERS, Unlabelled, examples, loaders, toy
from toy import data, same, weights

PICTURES = {"Flip", "Crop", "Rotation", "ColorJitter", "RandomErasing", "RandAugment", "TrivialAugment"}
PICTURES |= {"MixUp", "CutMix"}
TEXTS = {"Prompt", "Prefix", "TokenDropout", "SpanCut", "EmbeddingMixup"}
SHAPES = {"Constant", "StepDecay", "LinearDecay", "Cosine", "Restarts", "WarmupStableDecay", "InverseSqrt", "OneCycle"}
SHAPES |= {"RangeTest"}
FREEZES = {"LinearProbe", "FreezeFirst", "TuneOnly", "BiasOnly", "NormOnly"}
# (words of the refusal, one of the pair, the other): any of the first with any of the second.
REFUSED = [
    (r"lr_scale\(\) can have one owner", SHAPES, SHAPES),
    (r"batches\(\) can have one owner", ALIGNED | {"FewLabels"}, ALIGNED | {"FewLabels"}),
    (r"loss\(\) can have one owner", {"EmbeddingMixup"}, ALIGNED | {"FewLabels"}),
    ("all put new weights inside a model", INJECTIONS, INJECTIONS),
    ("all average the weights", {"EMA", "SWA"}, {"EMA", "SWA"}),
    ("all set the weight decay", {"L2SP", "WeightDecay"}, {"L2SP", "WeightDecay"}),
    ("all mix examples", {"MixUp", "CutMix", "EmbeddingMixup"}, {"MixUp", "CutMix", "EmbeddingMixup"}),
    ("all decide whose BatchNorm statistics the network keeps", {"SWA"}, ALIGNED | {"FewLabels"}),
    ("all correct the trained network", {"AdaBN", "CORAL", "LabelShift"}, {"AdaBN", "CORAL", "LabelShift"}),
    ("all compare the source with the target", {"CORAL", "LabelShift"}, ALIGNED),
    ("reads (pictures|texts) and .* reads (pictures|texts)", PICTURES, TEXTS),
    ("since an injection freezes the pretrained weights itself", FREEZES, INJECTIONS),
    ("since a linear probe trains the head alone", {"LinearProbe"}, FREEZES | {"GradualUnfreezing", "LayerRates"}),
    ("since a linear probe trains the head alone", {"LinearProbe"}, {"StochasticDepth"}),
    ("since what it trains lies in no stage", {"LayerRates"}, {"Prompt", "Prefix"}),
]


def reasons(a: str, b: str) -> list[str]:
    """The words with which the pair may be refused."""
    same_kind = [re.escape(f"all are {a}")] if a == b else []
    return same_kind + [words for words, one, other in REFUSED if (a in one and b in other) or (b in one and a in other)]


def few_of_the_last(loader):
    """The loader's examples with a quarter of those of class 2: other shares, nothing else."""
    rows = [row for batch in loader for row in _rows(batch)]
    return DataLoader([row for i, row in enumerate(rows) if row["labels"] != 2 or i % 4 == 0], batch_size=16)


def _rows(batch):
    return [{k: v[i] for k, v in batch.items()} for i in range(len(batch["labels"]))]


def problem(a, b):
    """(loaders, the loader whose answers are known): the target where one is adapted to, else the source."""
    own, pair = loaders(a, b, shuffle=True), {a, b}
    plain = not (READERS | LOOKERS) & pair
    if "LabelShift" in pair:
        target = few_of_the_last(examples(a, b, n=192, seed=1))
        return {**own, "target": target, "held_out": examples(a, b, n=192, seed=3)}, target
    if pair & (ALIGNED | {"AdaBN"}) and plain:
        own["target"] = Unlabelled(data(n=192, seed=1, shift=2.0))
        return own, data(n=192, seed=1, shift=2.0)
    return own, examples(a, b, n=192, seed=9)
