"""Schedules: the learning rate follows how far training has come, and nothing else changes.

    lr(step) = peak · scale(p),   p = (step + ½) / steps,   scale is pure: the same p always gives the same number

    shape         scale                               area                   from
    constant      1                                   1 − w/2                what `fit` does, warmed up
    step decay    × 0.1 at half and three quarters    a sum over the steps   He et al., CVPR 2016, 1512.03385
    linear decay  1 − q                               1/2                    Defazio et al., 2023, 2310.07831
    cosine        (1 + cos πq) / 2                    1/2                    Loshchilov & Hutter, ICLR 2017, 1608.03983
    restarts      a cosine a cycle, each one longer   1/2                    the same (SGDR)
    WSD           1; 1 − √r over the last share c     1 − w/2 − 2c/3         Hägele et al., NeurIPS 2024, 2405.18392
    inverse sqrt  √(w/p)                              2√w − 3w/2             Vaswani et al., NeurIPS 2017, 1706.03762
    one cycle     half a wave up, half a wave down    ≈ 1/2                  Smith & Topin, 2018, 1708.07120
    range test    × the same factor every step        (1 − low) / ln(1/low)  Smith, WACV 2017, 1506.01186

w is the share of the steps that warm up, linearly from 0 (Goyal et al., 2017, 1706.02677); q runs from 0 to 1 after
the warmup, r in the cooldown. Each step asks in its own middle, so the first of k warmup steps has 1/(2k) of the peak
and not 0. The area is the mean scale of a run; peak · area is how far the steps could carry it. Two shapes at the same
peak differ in it, so tune the peak of each before you compare shapes.

Costs: nothing a step. But a shape that falls to 0 must know the number of steps before it starts; constant and inverse
sqrt need not, and WSD (named by Hu et al., 2024, 2404.06395) not before its cooldown.

Not here: lowering the rate once validation stands still (torch's ReduceLROnPlateau). It follows what has happened, not
how far the run has come, so it is no function of p: nobody could draw it before the run, and each seed would get other
rates. By hand it is two calls of `fit`: one with a `stop` that reads the history, one more at a tenth of the rate.
Momentum is not cycled, as it is in some recipes of one cycle: AdamW's β₁ stays. Lesson: notebooks/06_schedules.
"""

import math
from dataclasses import dataclass, field

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from ftlib.networks import batchnorms, count_statistics
from ftlib.strategy import Strategy, count_targets, target_loss


def warm_up(p: float, share: float) -> float:
    """Linear from 0 to 1 over the first `share` of the steps, then 1."""
    return min(1.0, p / share) if share else 1.0


def after(p: float, share: float) -> float:
    """Progress after a warmup: 0 until its end, then evenly to 1."""
    return max(0.0, p - share) / (1 - share)


def linear(q: float) -> float:
    """A straight line from 1 to 0."""
    return 1 - q


def cosine(q: float) -> float:
    """Half a wave from 1 to 0: flat at both ends, steepest in the middle."""
    return (1 + math.cos(math.pi * q)) / 2


def drops(q: float, at: list[float], factor: float) -> float:
    """× factor at each share that is passed."""
    return factor ** sum(q >= share for share in at)


def restarts(q: float, cycles: int, growth: float) -> float:
    """A cosine in each cycle, each cycle `growth` times as long as the one before; together they fill 0 to 1."""
    lengths = [growth**i for i in range(cycles)]
    left = q * sum(lengths)  # in units of the first cycle
    for length in lengths:
        if left < length:
            return cosine(left / length)
        left -= length
    return 0.0


def cool_down(p: float, share: float, form: str) -> float:
    """1 until the last `share` of the steps, in which it falls to 0 along 1 − √r or 1 − r."""
    r = max(0.0, p - (1 - share)) / share if share else 0.0
    return 1 - (math.sqrt(r) if form == "1-sqrt" else r)


def inverse_sqrt(p: float, share: float) -> float:
    """1 until p = share, then √(share / p): half at four times the share, a quarter at sixteen times."""
    return math.sqrt(share / max(p, share))


def one_cycle(p: float, rise: float, start: float, end: float) -> float:
    """Half a wave up from `start` to 1 at p = rise, half a wave down to `end`."""
    if p < rise:
        return 1 - (1 - start) * cosine(p / rise)
    return end + (1 - end) * cosine((p - rise) / (1 - rise))


def exponential(p: float, low: float) -> float:
    """From `low` to 1 by the same factor every step: a straight line over a logarithmic axis."""
    return low ** (1 - p)


@dataclass
class Warmed(Strategy):
    """What all shapes with a warmup share: its length."""

    # Share of the steps, as short as helps: RoBERTa was fine-tuned with 0.06, BERT with 0.1. The default is the same in
    # all shapes, so that any two of them differ in their shape alone. Below half a step, 0.5 / steps, it warms none.
    warmup: float = 0.05

    def __post_init__(self):
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of the steps in [0, 1), but it is {self.warmup}: for none take 0")


@dataclass
class Constant(Warmed):
    """The peak from the end of the warmup on: the baseline of all shapes. Without a warmup it is Full()."""

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup)


@dataclass
class StepDecay(Warmed):
    """Falls to `factor` of itself at some shares of the way from the end of the warmup to the end."""

    at: list = field(default_factory=lambda: [0.5, 0.75])  # He et al.: after 32k and 48k of 64k steps, on CIFAR-10
    factor: float = 0.1  # new rate over old; He et al. divide by ten

    def __post_init__(self):
        super().__post_init__()
        if list(self.at) != sorted(set(self.at)) or not all(0 < share < 1 for share in self.at):
            raise ValueError(f"at holds rising shares between 0 and 1, but it is {self.at}: [0.5, 0.75] drops twice")
        if not 0 < self.factor <= 1:
            raise ValueError(f"factor must lie in (0, 1], but it is {self.factor}: 0.1 goes on at a tenth of the rate")

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * drops(after(progress, self.warmup), self.at, self.factor)


@dataclass
class LinearDecay(Warmed):
    """A straight line to 0 after the warmup. It did as well as cosine or better in what Defazio et al. compared."""

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * linear(after(progress, self.warmup))


@dataclass
class Cosine(Warmed):
    """Half a wave to 0 after the warmup: the same area as linear decay, with more of it early."""

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * cosine(after(progress, self.warmup))


@dataclass
class Restarts(Warmed):
    """SGDR: cosine after cosine, each longer than the last. Each cycle ends in a model that could be used."""

    cycles: int = 3  # with growth 2 the last one is 4/7 of what follows the warmup
    growth: float = 2.0  # length of a cycle over that of the one before; 1 or 2 in the paper

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.cycles, int) or self.cycles < 1:
            raise ValueError(f"cycles must be a whole number from 1 on, but it is {self.cycles}: 1 is Cosine()")
        if not self.growth >= 1:
            raise ValueError(f"growth must be at least 1, but it is {self.growth}: 1 makes all cycles equally long")

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * restarts(after(progress, self.warmup), self.cycles, self.growth)


@dataclass
class WarmupStableDecay(Warmed):
    """WSD: warmup, constant, and a short cooldown to 0. What comes before the cooldown serves runs of any length."""

    cooldown: float = 0.2  # share of all steps, at the end; the value in the authors' own code example
    form: str = "1-sqrt"  # or "linear"; the paper finds 1 − √r, which falls fast and then flattens, the better one

    def __post_init__(self):
        super().__post_init__()
        if not (self.cooldown >= 0 and self.warmup + self.cooldown <= 1):
            raise ValueError(
                f"warmup and cooldown are shares of the steps that add up to 1 at most, but they are {self.warmup} and "
                f"{self.cooldown}: shorten one of them"
            )
        if self.form not in ("1-sqrt", "linear"):
            raise ValueError(f'form must be "1-sqrt" or "linear", but it is {self.form!r}: take one of these')

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * cool_down(progress, self.cooldown, self.form)


@dataclass
class InverseSqrt(Warmed):
    """Falls with the root of the steps after the warmup and never reaches 0, as in the first transformer."""

    def __post_init__(self):
        super().__post_init__()
        if not self.warmup:
            raise ValueError("warmup must be above 0 here, since the fall is measured in it, but it is 0: take 0.05")

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * inverse_sqrt(progress, self.warmup)


@dataclass
class OneCycle(Strategy):
    """Up from a small rate and down to almost none: torch's OneCycleLR and its defaults, without its momentum."""

    rise: float = 0.3  # share of the steps on the way up; this shape's own warmup
    div_factor: float = 25.0  # the peak over the first rate
    final_div_factor: float = 1e4  # the first rate over the last

    def __post_init__(self):
        if not 0 < self.rise < 1:
            raise ValueError(f"rise is a share of the steps in (0, 1), but it is {self.rise}: for none take Cosine(0)")
        if not (self.div_factor >= 1 and self.final_div_factor >= 1):
            raise ValueError(
                f"div_factor and final_div_factor must be at least 1, but they are {self.div_factor} and "
                f"{self.final_div_factor}: 1 begins at the peak, or ends at the first rate"
            )

    def lr_scale(self, progress: float) -> float:
        start = 1 / self.div_factor
        return one_cycle(progress, self.rise, start, start / self.final_div_factor)


@dataclass
class RangeTest(Strategy):
    """Rises from `low` to the peak by the same factor every step: a run that looks for a rate, then is thrown away."""

    low: float = 1e-4  # first rate over the peak: four decades, a factor of 1.1 a step in 100 steps

    def __post_init__(self):
        if not 0 < self.low < 1:
            raise ValueError(f"low is a share of the peak in (0, 1), but it is {self.low}: 1e-4 sweeps four decades")

    def lr_scale(self, progress: float) -> float:
        return exponential(progress, self.low)


@dataclass
class Waypoints(Strategy):
    """Changes nothing. At the end it walks in a straight line from the weights at one moment of the run to the last.

    barrier = max over 0 < α < 1 of L((1−α)·θ_at + α·θ_end) − ((1−α)·L(θ_at) + α·L(θ_end)), L the training loss
    (after Frankle et al., ICML 2020, 1912.05671; in this form Entezari et al., ICLR 2022, 2110.06296). At most 0: one
    valley. Above: a hill stood between them. BatchNorm's statistics are counted anew at every point, since the mean of
    two networks' statistics fits neither.
    """

    at: float = 3 / 7  # share of the steps; without a warmup the end of the second of Restarts' three cycles
    points: int = 5  # between the two ends
    finishes = "measure"
    needs = ("train",)

    def __post_init__(self):
        if not 0 < self.at < 1:
            raise ValueError(f"at is a share of the steps in (0, 1), but it is {self.at}: 0.5 is half-way")
        self.kept: dict[str, Tensor] = {}
        self.barrier = math.nan

    def prepare(self, model: nn.Module) -> nn.Module:
        self.kept, self.barrier = {}, math.nan  # a later phase is a walk of its own
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        if progress >= self.at and not self.kept:  # the weights before the first step of the next cycle
            self.kept = {name: p.detach().clone() for name, p in model.named_parameters()}

    def finish(self, model: nn.Module, loaders: dict) -> None:
        if not self.kept:  # a run that was stopped before
            return
        end = {name: value.clone() for name, value in model.state_dict().items()}
        shares = torch.linspace(0, 1, self.points + 2).tolist()
        losses = [self._loss_at(model, end, share, loaders["train"]) for share in shares]
        model.load_state_dict(end)
        rises = [loss - (1 - s) * losses[0] - s * losses[-1] for s, loss in zip(shares, losses, strict=True)]
        self.barrier = max(rises[1:-1])

    @torch.no_grad()
    def _loss_at(self, model: nn.Module, end: dict, share: float, loader) -> float:
        device = next(model.parameters()).device
        for name, p in model.named_parameters():
            p.copy_(torch.lerp(self.kept[name].to(device), end[name], share))
        batches = [send_to_device(batch, device) for batch in loader]
        count_statistics(model, batchnorms(model).values(), batches)
        total = sum(target_loss(model(b), b["labels"]).item() for b in batches)
        return total / sum(count_targets(b["labels"]) for b in batches)


def range_test(losses: list[float], rates: list[float], window: int = 5) -> dict[str, float | None]:
    """What a RangeTest run says, from its history's "loss" and "lr": {"steepest", "explodes", "tenth"}, three rates.

    steepest: where the loss falls fastest. explodes: where it is back above its start; None if it never was: then test
    higher rates. tenth: a tenth of that. A loss is taken before its step, so what it shows is owed to the rate before.
    Smoothed by a centred mean over `window` steps, which does not lag behind; a loss that is not finite counts as an
    explosion. Raises ValueError if the loss never fell.
    """
    if len(losses) != len(rates) or len(losses) <= window:
        raise ValueError(
            f"a range test needs a rate for each loss and over {window} of them, but there are {len(losses)} losses "
            f"and {len(rates)} rates: take both from one history"
        )
    losses, half = [x if math.isfinite(x) else math.inf for x in losses], window // 2
    windows = [losses[max(0, i - half) : i + half + 1] for i in range(len(losses))]
    smooth = [sum(some) / len(some) for some in windows]
    lowest = smooth.index(min(smooth))
    if lowest == 0:
        raise ValueError(f"the loss never fell, from a rate of {rates[0]:g} on: begin lower, or take more steps")
    falls = [smooth[i + 1] - smooth[i] for i in range(lowest)]
    above = [i for i in range(lowest, len(smooth)) if smooth[i] > smooth[0]]
    explodes = rates[above[0] - 1] if above else None
    return {"steepest": rates[falls.index(min(falls))], "explodes": explodes, "tenth": explodes and explodes / 10}


def scales(strategy: Strategy, steps: int) -> list[float]:
    """The scale of each step, without a run: what `fit` multiplies the peaks by. Their mean is the area."""
    return [strategy.lr_scale((step + 0.5) / steps) for step in range(steps)]
