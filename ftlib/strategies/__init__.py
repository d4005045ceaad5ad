"""The strategies, one file each. CATALOG says where each name lives: to add a strategy, add a file and a line here.

A class and its file are attributes of this package, `strategies.L2SP` and `strategies.full`, loaded on first use.
"""

from difflib import get_close_matches
from importlib import import_module

from ftlib.strategy import Strategy, combine

CATALOG = {
    **dict.fromkeys(["Full", "FromScratch", "LinearProbe", "LayerRates", "L2SP"], "full"),
    **dict.fromkeys(["FreezeFirst", "TuneOnly", "GradualUnfreezing", "BiasOnly", "NormOnly"], "freezing"),
    **dict.fromkeys(["Constant", "StepDecay", "LinearDecay", "Cosine", "Restarts", "WarmupStableDecay"], "schedules"),
    **dict.fromkeys(["InverseSqrt", "OneCycle", "RangeTest", "Waypoints"], "schedules"),
    **dict.fromkeys(["LoRA", "IA3", "Adapter"], "peft"),
    **dict.fromkeys(["Prompt", "Prefix"], "prompts"),
    **dict.fromkeys(["Flip", "Crop", "Rotation", "ColorJitter", "RandomErasing"], "augmentation"),
    **dict.fromkeys(["RandAugment", "TrivialAugment", "TokenDropout", "SpanCut"], "augmentation"),
    **dict.fromkeys(["MixUp", "CutMix", "EmbeddingMixup", "LabelSmoothing"], "mixing"),
    **dict.fromkeys(["Dropout", "StochasticDepth", "WeightDecay", "EMA", "SWA"], "regularisation"),
    **dict.fromkeys(["DeepCORAL", "MMD", "DANN", "CDAN", "MCD", "EntropyMin", "MCC", "PseudoLabels"], "domain"),
    **dict.fromkeys(["AdaBN", "CORAL", "LabelShift", "FewLabels"], "domain_shift"),
    "DomainGauge": "domain_gauge",
    **dict.fromkeys(["Replay", "AGEM", "DERpp"], "rehearsal"),
    **dict.fromkeys(["EWC", "SI", "LwF"], "incremental"),
    "NearestClassMean": "baselines",
    **dict.fromkeys(["MultiTask", "UncertaintyWeighting"], "multitask"),
    **dict.fromkeys(["TaskGradients", "PCGrad", "CAGrad", "UPGrad", "GradNorm", "DWA"], "task_gradients"),
}


def get(name: str) -> type[Strategy]:
    """The class of a strategy, by its name in CATALOG."""
    if name not in CATALOG:
        raise KeyError(f"no strategy is called {name!r}: {_nearest(name, list(CATALOG))}")
    return getattr(import_module(f"ftlib.strategies.{CATALOG[name]}"), name)


def build(parts: list[dict]) -> Strategy:
    """A fresh strategy from its JSON form, [{name: knobs}, ...]; an empty list is full fine-tuning."""
    made = []
    for part in parts:
        for name, knobs in part.items():
            try:
                made.append(get(name)(**knobs))
            except TypeError as error:
                raise TypeError(f"{name} does not take these knobs, {knobs}: {error}") from None
    return made[0] if len(made) == 1 else combine(*made)


def __getattr__(name: str):
    if name in CATALOG:
        return get(name)
    if name in CATALOG.values():
        return import_module(f"ftlib.strategies.{name}")
    raise AttributeError(f"ftlib.strategies has no name {name!r}: {_nearest(name, [*CATALOG, *CATALOG.values()])}")


def __dir__():
    return sorted({*globals(), *CATALOG, *CATALOG.values()})


def _nearest(name: str, known: list[str]) -> str:
    spelt = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), spelt, 1)
    return f"did you mean {spelt[near[0]]}?" if near else f"the catalogue has {', '.join(CATALOG)}"
