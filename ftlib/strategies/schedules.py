"""Learning-rate schedules: the learning rate changes with the progress p of training, and nothing else does.

    lr(step) = peak · scale(p),   p = (step + ½) / steps,   0 < p < 1

    shape         scale                               area                   from
    constant      1                                   1 − w/2
    step decay    × 0.1 at half and three quarters    a sum over the steps   He et al., CVPR 2016, 1512.03385
    linear decay  1 − q                               1/2                    Defazio et al., 2023, 2310.07831
    cosine        (1 + cos πq) / 2                    1/2                    Loshchilov & Hutter, ICLR 2017, 1608.03983
    restarts      one cosine per cycle                1/2                    the same (SGDR)
    WSD           1; 1 − √r over the last share c     1 − w/2 − 2c/3         Hägele et al., NeurIPS 2024, 2405.18392
    inverse sqrt  √(w/p)                              2√w − 3w/2             Vaswani et al., NeurIPS 2017, 1706.03762
    one cycle     half a wave up, half a wave down    ≈ 1/2                  Smith & Topin, 2018, 1708.07120
    range test    × the same factor every step        (1 − low) / ln(1/low)  Smith, WACV 2017, 1506.01186

w is the share of the steps that warm up linearly from 0 (Goyal et al., 2017, 1706.02677). q runs from 0 to 1 after the
warmup, and r runs from 0 to 1 in the cooldown. The scale of a step is taken in the middle of the step, so the first of
k warmup steps has 1/(2k) of the peak rather than 0. The area is the mean scale of a run. The product peak · area
measures how far the steps can move the weights. Schedules with the same peak differ in their area, so tune the peak of
each schedule before you compare them.

Costs: none per step. But a schedule that falls to 0 needs the number of steps before it starts. Constant and inverse
sqrt don't need it, and WSD (named by Hu et al., 2024, 2404.06395) needs it only when the cooldown starts.

Not here: lowering the rate when the validation loss stops falling, as torch's ReduceLROnPlateau does. That depends on
the validation loss and not only on p, so each seed would get its own rates. To do it by hand, call `fit` twice: once
with a `Validation` whose `stop` reads the history, and once more at a tenth of the rate. Some recipes of one cycle
change the momentum as well. Here AdamW's β₁ is constant. Lesson: notebooks/06_schedules.
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
    """Progress after the warmup: 0 until the warmup ends, then linear to 1."""
    return max(0.0, p - share) / (1 - share)


def linear(q: float) -> float:
    """A straight line from 1 to 0."""
    return 1 - q


def cosine(q: float) -> float:
    """Half a cosine wave from 1 to 0: flat at both ends, steepest in the middle."""
    return (1 + math.cos(math.pi * q)) / 2


def drops(q: float, at: list[float], factor: float) -> float:
    """Multiplied by `factor` at each share in `at` that q has passed."""
    return factor ** sum(q >= share for share in at)


def restarts(q: float, cycles: int, growth: float) -> float:
    """One cosine per cycle. Each cycle is `growth` times as long as the one before, and all cycles fill 0 to 1."""
    lengths = [growth**i for i in range(cycles)]
    left = q * sum(lengths)  # in units of the first cycle
    for length in lengths:
        if left < length:
            return cosine(left / length)
        left -= length
    return 0.0


def cool_down(p: float, share: float, form: str) -> float:
    """1 until the cooldown, the last `share` of the steps, in which it falls to 0 along 1 − √r or 1 − r."""
    r = max(0.0, p - (1 - share)) / share if share else 0.0
    return 1 - (math.sqrt(r) if form == "1-sqrt" else r)


def inverse_sqrt(p: float, share: float) -> float:
    """1 until p = share, then √(share / p): half at four times the share, a quarter at sixteen times."""
    return math.sqrt(share / max(p, share))


def one_cycle(p: float, rise: float, start: float, end: float) -> float:
    """Half a cosine wave up from `start` to 1 at p = rise, then half a wave down to `end`."""
    if p < rise:
        return 1 - (1 - start) * cosine(p / rise)
    return end + (1 - end) * cosine((p - rise) / (1 - rise))


def exponential(p: float, low: float) -> float:
    """From `low` to 1 by the same factor every step: a straight line on a logarithmic axis."""
    return low ** (1 - p)


@dataclass
class Warmed(Strategy):
    """Base class of the schedules with a linear warmup.

    RoBERTa was fine-tuned with a warmup of 0.06 and BERT with 0.1. A warmup shorter than 0.5 / steps has no effect.
    """

    warmup: float = 0.05

    def __post_init__(self):
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of the steps in [0, 1), but it is {self.warmup}: for none take 0")


@dataclass
class Constant(Warmed):
    """Keep the learning rate at its peak after the warmup.

    This is the baseline of all schedules. Without a warmup it equals `Full`.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in [0, 1), in which the rate rises linearly from 0. All schedules have the same default, so
        that they differ only in their shape.

    Raises
    ------
    ValueError
        If `warmup` isn't in [0, 1).

    Examples
    --------
    >>> constant = strategies.Constant(warmup=0.1)
    >>> [constant.lr_scale(p) for p in (0.05, 0.1, 1.0)]
    [0.5, 1.0, 1.0]
    """

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup)


@dataclass
class StepDecay(Warmed):
    """Multiply the learning rate by `factor` at a few fixed moments.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in [0, 1), in which the rate rises linearly from 0. All schedules have the same default, so
        that they differ only in their shape.
    at : list of float, default [0.5, 0.75]
        When the rate drops, as rising shares in (0, 1) of the steps after the warmup. The paper drops it after 32k and
        48k of 64k steps on CIFAR-10.
    factor : float, default 0.1
        New rate divided by the old rate, in (0, 1]. The paper divides by ten.

    Raises
    ------
    ValueError
        If `warmup`, `at` or `factor` is out of its range, or if `at` doesn't rise.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.

    Examples
    --------
    >>> steps = strategies.StepDecay(warmup=0.0)
    >>> [round(steps.lr_scale(p), 2) for p in (0.4, 0.6, 0.8)]
    [1.0, 0.1, 0.01]
    """

    at: list = field(default_factory=lambda: [0.5, 0.75])
    factor: float = 0.1

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
    """Decrease the learning rate linearly to 0 after the warmup.

    It did as well as cosine or better in the comparison by Defazio et al.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in [0, 1), in which the rate rises linearly from 0. All schedules have the same default, so
        that they differ only in their shape.

    Raises
    ------
    ValueError
        If `warmup` isn't in [0, 1).

    References
    ----------
    Defazio, Cutkosky, Mehta and Mishchenko, "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement",
    2023, arXiv:2310.07831.

    Examples
    --------
    The mean scale is 1/2 for any warmup, so a linear decay needs twice the peak of a constant rate to move as far.

    >>> from ftlib.strategies.schedules import scales
    >>> [round(float(np.mean(scales(strategies.LinearDecay(w), 100))), 2) for w in (0.0, 0.1, 0.5)]
    [0.5, 0.5, 0.5]
    """

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * linear(after(progress, self.warmup))


@dataclass
class Cosine(Warmed):
    """Decrease the learning rate to 0 along half a cosine wave after the warmup.

    The area is that of `LinearDecay`, but more of it comes early.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in [0, 1), in which the rate rises linearly from 0. All schedules have the same default, so
        that they differ only in their shape.

    Raises
    ------
    ValueError
        If `warmup` isn't in [0, 1).

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, arXiv:1608.03983.

    Examples
    --------
    >>> cosine, line = strategies.Cosine(warmup=0.0), strategies.LinearDecay(warmup=0.0)
    >>> [(round(cosine.lr_scale(p), 2), line.lr_scale(p)) for p in (0.25, 0.5, 0.75)]
    [(0.85, 0.75), (0.5, 0.5), (0.15, 0.25)]
    """

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * cosine(after(progress, self.warmup))


@dataclass
class Restarts(Warmed):
    """Repeat a cosine several times, and start each cycle at the peak again (SGDR).

    The rate is 0 at the end of each cycle, so each cycle ends with a usable model.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in [0, 1), in which the rate rises linearly from 0. All schedules have the same default, so
        that they differ only in their shape.
    cycles : int, default 3
        Number of cycles, at least 1. With one cycle this is `Cosine`. With the default growth the last of three cycles
        takes 4/7 of the steps after the warmup.
    growth : float, default 2.0
        Length of a cycle divided by the length of the one before, at least 1. The paper uses 1 and 2.

    Raises
    ------
    ValueError
        If `warmup`, `cycles` or `growth` is out of its range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, arXiv:1608.03983.

    Examples
    --------
    In seven steps the cycles have lengths 1, 2 and 4.

    >>> from ftlib.strategies.schedules import scales
    >>> [round(scale, 2) for scale in scales(strategies.Restarts(warmup=0.0), 7)]
    [0.5, 0.85, 0.15, 0.96, 0.69, 0.31, 0.04]
    """

    cycles: int = 3
    growth: float = 2.0

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
    """Warm up, keep the rate constant, and cool down to 0 at the end (WSD).

    Such a run can be made longer later. Take the weights from before the cooldown, and train on from there.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in [0, 1), in which the rate rises linearly from 0. All schedules have the same default, so
        that they differ only in their shape.
    cooldown : float, default 0.2
        Length of the cooldown as a share of all steps, at least 0. The authors use 0.2 in their code example.
    form : {"1-sqrt", "linear"}, default "1-sqrt"
        Shape of the cooldown, 1 − √r or 1 − r. The first falls fast and then flattens. The paper finds it better.

    Raises
    ------
    ValueError
        If `warmup` or `cooldown` is out of its range, if both add up to more than 1, or if `form` is unknown.

    References
    ----------
    Hägele, Bakouch, Kosson, Ben Allal, Von Werra and Jaggi, "Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations", NeurIPS 2024, arXiv:2405.18392. The name is from Hu et al., 2024, arXiv:2404.06395.

    Examples
    --------
    >>> wsd = strategies.WarmupStableDecay(warmup=0.0)
    >>> [round(wsd.lr_scale(p), 2) for p in (0.5, 0.8, 0.85, 0.95, 1.0)]
    [1.0, 1.0, 0.5, 0.13, 0.0]
    """

    cooldown: float = 0.2
    form: str = "1-sqrt"

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
    """Decrease the learning rate with the square root of the steps, as the first transformer did.

    The scale is √(warmup / p) after the warmup. It never reaches 0.

    Parameters
    ----------
    warmup : float, default 0.05
        Share of the steps, in (0, 1), in which the rate rises linearly from 0. It also sets the speed of the decrease.
        All schedules have the same default, so that they differ only in their shape.

    Raises
    ------
    ValueError
        If `warmup` isn't in (0, 1).

    References
    ----------
    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762.

    Examples
    --------
    >>> root = strategies.InverseSqrt(warmup=0.05)
    >>> [round(root.lr_scale(p), 2) for p in (0.05, 0.2, 0.8)]
    [1.0, 0.5, 0.25]
    """

    def __post_init__(self):
        super().__post_init__()
        if not self.warmup:
            raise ValueError("warmup must be above 0 here, since the fall is measured in it, but it is 0: take 0.05")

    def lr_scale(self, progress: float) -> float:
        return warm_up(progress, self.warmup) * inverse_sqrt(progress, self.warmup)


@dataclass
class OneCycle(Strategy):
    """Raise the learning rate from a small value to the peak, then lower it to almost 0.

    This is torch's OneCycleLR with its defaults, but the momentum is constant.

    Parameters
    ----------
    rise : float, default 0.3
        Share of the steps, in (0, 1), in which the rate rises. It takes the place of a warmup.
    div_factor : float, default 25.0
        Peak divided by the first rate, at least 1.
    final_div_factor : float, default 1e4
        First rate divided by the last rate, at least 1.

    Raises
    ------
    ValueError
        If `rise`, `div_factor` or `final_div_factor` is out of its range.

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
    arXiv:1708.07120.

    Examples
    --------
    >>> cycle = strategies.OneCycle()
    >>> [f"{cycle.lr_scale(p):.2g}" for p in (0.0, 0.15, 0.3, 0.65, 1.0)]
    ['0.04', '0.52', '1', '0.5', '4e-06']
    """

    rise: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

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
    """Raise the learning rate exponentially from `low` · peak to the peak, to find a good rate.

    Read the history of such a run with `schedules.range_test`, and throw the trained model away.

    Parameters
    ----------
    low : float, default 1e-4
        First rate divided by the peak, in (0, 1). The default sweeps four decades. In 100 steps that is a factor of 1.1
        per step.

    Raises
    ------
    ValueError
        If `low` isn't in (0, 1).

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv:1506.01186.

    Examples
    --------
    >>> sweep = strategies.RangeTest()
    >>> [round(sweep.lr_scale(p), 4) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """

    low: float = 1e-4

    def __post_init__(self):
        if not 0 < self.low < 1:
            raise ValueError(f"low is a share of the peak in (0, 1), but it is {self.low}: 1e-4 sweeps four decades")

    def lr_scale(self, progress: float) -> float:
        return exponential(progress, self.low)


@dataclass
class Waypoints(Strategy):
    """Measure the loss on the straight line between the weights at one moment of the run and the final weights.

    Training isn't changed. After the run the attribute `barrier` holds

        max over 0 < α < 1 of L((1−α)·θ_at + α·θ_end) − ((1−α)·L(θ_at) + α·L(θ_end)),   L the training loss.

    At most 0 means that both weights are in the same valley of the loss. Above 0 means that there is a hill between
    them. The BatchNorm statistics are recomputed at each point, since the mean of two networks' statistics fits neither
    network.

    Parameters
    ----------
    at : float, default 3/7
        Moment of the first weights as a share of the steps, in (0, 1). By default it is the end of the second of the
        three cycles of `Restarts` without a warmup.
    points : int, default 5
        Number of points on the line between its two ends.

    Raises
    ------
    ValueError
        If `at` isn't in (0, 1).

    References
    ----------
    - Frankle, Dziugaite, Roy and Carbin, "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020,
      arXiv:1912.05671.
    - The barrier in this form: Entezari, Sedghi, Saukh and Neyshabur, "The Role of Permutation Invariance in Linear
      Mode Connectivity of Neural Networks", ICLR 2022, arXiv:2110.06296.

    Examples
    --------
    A single small step doesn't cross a hill.

    >>> line = strategies.Waypoints(at=0.5, points=3)
    >>> model, _ = ftlib.fit(model, train, line, steps=2, lr=0.001, verbose=False)
    >>> line.barrier < 1e-3
    True
    """

    at: float = 3 / 7
    points: int = 5
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
    """Find three rates in the history of a `RangeTest` run.

    The losses are smoothed by a centred mean over `window` steps, which doesn't lag behind. The loss of a step is
    measured before the step, so it is the result of the rate of the step before. A loss that isn't finite counts as an
    explosion.

    Parameters
    ----------
    losses : list of float
        The column "loss" of the history.
    rates : list of float
        The column "lr" of the history.
    window : int, default 5
        Steps in the smoothing window.

    Returns
    -------
    dict
        "steepest" is the rate at which the loss falls fastest. "explodes" is the rate at which the loss is above its
        start again, or None if that never happens. "tenth" is a tenth of "explodes". If it is None, test higher rates.

    Raises
    ------
    ValueError
        If the lists have different lengths, if they aren't longer than `window`, or if the loss never falls.

    Examples
    --------
    >>> losses = [3.0, 3.0, 2.9, 2.5, 1.5, 1.0, 0.9, 2.0, 6.0, 9.0]
    >>> rates = [0.001 * 2**step for step in range(10)]
    >>> range_test(losses, rates, window=1)
    {'steepest': 0.008, 'explodes': 0.128, 'tenth': 0.0128}
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
    """The scale of each step, by which `fit` multiplies the peak. The mean of the scales is the area."""
    return [strategy.lr_scale((step + 0.5) / steps) for step in range(steps)]
