# %% [markdown]
# # 06 Learning-rate schedules
#
# **After this lesson you can** say what rate each step of a training has, and prove it; find a learning rate with a range test
# of seconds; and choose peak, shape and warmup, the peak first.
#
# **Use it when** you train anything: every run has a schedule, if only a constant one. **You need**
# [01 Full fine-tuning](01_full.ipynb), its core.
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 11 | 48 | understand it |
# | **lab** | 12 to 15 | 38 | do it yourself, with checks |
# | **depth** | [another notebook](06_schedules_depth.ipynb) | 21 | hills, other tasks, overfitting, published results |
#
# Of the four things that a strategy can change (model, batches, loss, learning rate), a schedule changes the **learning
# rate**, and nothing else. Each section needs only the first code cell.

# %% tags=["setup"]
import time

began = time.perf_counter()

import warnings

import pandas as pd
import torch
import torch.nn.functional as F

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.strategies.schedules import range_test, scales
from ftlib.training.machine import model_device, profile

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
N, STEPS = (None, 200) if FULL else (200, 40)
task = ftlib.load_task("digits/optical", n=N, size=32, seed=0)  # which digit is it?

# %% [markdown]
# ## 1. Something that works (2 minutes)
#
# The **learning rate**, here just *rate*, says how far a step goes. `lr=3e-3` was one number so far. From now on it is the
# **peak**, the top of the run's rates, and a **schedule** says which part of it each step gets. *Linear decay*: up to the peak
# in the first tenth of the steps, which is the **warmup**, then down to 0 in a straight line. The task: 200 handwritten digits
# of 8 × 8 pixels, enlarged to 32 × 32.

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
before = ftlib.evaluate(model, task.loader("validation", batch_size=64))
loader, shape = task.loader("train", shuffle=True), strategies.LinearDecay(warmup=0.1)
model, history = ftlib.fit(model, loader, shape, steps=STEPS, lr=3e-3)
after = ftlib.evaluate(model, task.loader("validation", batch_size=64))
print(f"balanced accuracy {before['balanced_accuracy']:.3f} → {after['balanced_accuracy']:.3f}")
rates = [row["lr"] for row in history]
print("eight of the rates:", [round(rate, 5) for rate in rates[:: STEPS // 8]])
assert after["balanced_accuracy"] > before["balanced_accuracy"]
assert rates == [3e-3 * scale for scale in scales(shape, STEPS)]

# %% [markdown]
# A schedule costs nothing: no memory, no time. It is only a list of numbers, and you can print it before you train. What does
# it buy? It is said to make training *faster* and *more stable*: both are tested below. Three more such sentences are tested
# in depth.

# %% [markdown]
# ## 2. A schedule by hand (3 minutes)
#
# Let `p` be how far the training has come, from 0 to 1. Step `t` of `T` has its middle at
#
# $$p = \frac{t + \tfrac{1}{2}}{T}, \qquad \text{rate} = \text{peak} \cdot \text{scale}(p)$$
#
# and the shape is a pure function `scale`: the same `p` always gives the same number. So a run that was killed and continued
# gets the very rates that it would have had. To write it into the training, set `group["lr"]` before each step:


# %% tags=["by-hand"]
def scale(p: float, warmup: float) -> float:
    """From 0 to 1 over the warmup, then a straight line back to 0."""
    return p / warmup if p < warmup else (1 - p) / (1 - warmup)


torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task).train()
model.to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
T, rates, losses = 6, [], []
for t, batch in zip(range(T), task.loader("train", batch_size=32, shuffle=True)):
    rates.append(1e-3 * scale((t + 0.5) / T, warmup=1 / 3))
    for group in optimizer.param_groups:
        group["lr"] = rates[-1]
    labels = batch["labels"]
    loss = F.cross_entropy(model(batch), labels, reduction="sum") / len(labels)  # the mean
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
print([f"{rate:.6f}" for rate in rates], [round(x, 3) for x in losses])
assert [round(rate / 1e-3, 3) for rate in rates] == [0.25, 0.75, 0.875, 0.625, 0.375, 0.125]

# %% [markdown]
# Asked in the middle of a step, no step has rate 0: the first of two warmup steps gets a quarter of the peak, not nothing. (Where
# groups of weights have peaks of their own, each group gets its own peak times the scale; one number for all would lose their
# ratios.) The library's one line gives the same rates and the same losses:

# %%
torch.manual_seed(0)
twin = ftlib.load_model("efficientnet-lite0", task)
batches = [b for _, b in zip(range(6), task.loader("train", batch_size=32, shuffle=True))]
same = {"steps": 6, "lr": 1e-3, "precision": "float32", "max_norm": 1e9}
twin, history = ftlib.fit(twin, batches, strategies.LinearDecay(warmup=1 / 3), **same)
print([f"{row['lr']:.6f}" for row in history], [round(row["loss"], 3) for row in history])
assert all(abs(row["lr"] - rate) < 1e-12 for row, rate in zip(history, rates))
near = (
    5e-3 if model_device(twin).type == "cpu" else 0.05
)  # a GPU rounds otherwise; AdamW enlarges it
assert all(abs(row["loss"] - x) < near for row, x in zip(history, losses))

# %% [markdown]
# ## 3. Break it (7 minutes)
#
# PyTorch's own schedulers count calls: each `scheduler.step()` moves on by one. So it matters where that line stands. Below:
# four **epochs** (passes over the data) of a few batches each, a warmup over four steps, then a straight line to 0 at the end.
# **Predict first:** somebody indents the line wrongly, so that it runs once an epoch. What do the rates look like?

# %%
widgets.predict("06_schedules", "per-epoch")

# %%
BATCHES = len(task.loader("train"))  # of one epoch
TOTAL = 4 * BATCHES


def rates_of(stepped: str) -> list[float]:
    """The rate of each step, by PyTorch's scheduler on a weight that nobody needs."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / 4, (TOTAL - step) / (TOTAL - 4))
    )
    rates = []
    for step in range(1, TOTAL + 1):
        if stepped == "before the optimizer":
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if stepped == "after each step" or (stepped == "once an epoch" and step % BATCHES == 0):
            scheduler.step()
    return rates


# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    ways = ("after each step", "before the optimizer", "once an epoch")
    lists = {stepped: rates_of(stepped) for stepped in ways}
rows = [
    {"arm": stepped, "seed": 0, "step": step + 1, "rate": rate}
    for stepped, rates in lists.items()
    for step, rate in enumerate(rates)
]
print([str(w.message).split(". ")[0] for w in said if "lr_scheduler" in str(w.message)])
plots.curves(pd.DataFrame(rows), "rate", "One line in three places", "learning rate")

# %%
right, early, epoch = lists.values()
assert early == [*right[1:], 0] and max(right) == 3e-3
assert epoch == [3e-3 * k / 4 for k in range(4) for _ in range(BATCHES)]
found = "stuck" if max(epoch) < max(right) else "planned"
teach.predict("06_schedules", "per-epoch").compare(found)

# %% [markdown]
# Once an epoch, the warmup over four *steps* becomes one over four *epochs*, and the run ends before the decay begins. Before
# the optimizer, the list is shifted by one: the first rate is never used, and the last step has rate 0. Only that one gets a
# warning. What does the wrong place cost?


# %%
def train(rates: list[float]) -> list[dict]:
    torch.manual_seed(0)
    model = ftlib.load_model("efficientnet-lite0", task).train()
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    loader, history = task.loader("train", shuffle=True), []
    batches = [batch for _ in range(4) for batch in loader]
    for step, (rate, batch) in enumerate(zip(rates, batches)):
        optimizer.param_groups[0]["lr"] = rate
        loss = F.cross_entropy(model(batch), batch["labels"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append({"step": step, "loss": loss.item()})
    return history


trained = {name: train(lists[name]) for name in ("after each step", "once an epoch")}
first = [sum(row["loss"] for row in h[:BATCHES]) / BATCHES for h in trained.values()]
print(f"mean loss of the first epoch: {first[0]:.3f} and {first[1]:.3f}; log 10 is 2.303")
assert first[1] > first[0] and 2 < first[1] < 3
plots.losses(trained, "The same training with two lists of rates")

# %% [markdown]
# **The symptom to remember:** no error and no warning; the loss stands still for a whole epoch, near the logarithm of the number
# of classes, and falls later than it should. Whoever looks at the last score alone may notice nothing. So **write the rate down
# beside the loss**, and look at that list before you look at anything else.

# %% [markdown]
# ## 4. Five shapes (2 minutes)
#
# All five have the same peak. *Constant* stays there. *Linear* and *cosine* fall to 0, cosine along half a wave. *WSD* (warmup,
# stable, decay) stays at the peak and falls in the last fifth, its *cooldown*. *One-cycle* rises for three tenths of the steps and falls for the
# rest. (The library has more: `StepDecay`, `InverseSqrt`, and `Restarts`, which is in depth.)

# %%
shapes = {
    "constant": strategies.Constant(warmup=0.0),
    "linear": strategies.LinearDecay(warmup=0.0),
    "cosine": strategies.Cosine(warmup=0.0),
    "wsd": strategies.WarmupStableDecay(warmup=0.0),
    "one-cycle": strategies.OneCycle(),
}
rows = [
    {"arm": name, "seed": 0, "step": step + 1, "scale": scale}
    for name, shape in shapes.items()
    for step, scale in enumerate(scales(shape, 20))
]
plots.curves(pd.DataFrame(rows), "scale", "Five shapes over 20 steps", "rate over peak")

# %%
area = {name: sum(scales(shape, 400)) / 400 for name, shape in shapes.items()}
print({name: round(a, 3) for name, a in area.items()})
assert area["constant"] == 1 and all(abs(area[k] - 0.5) < 1e-9 for k in ("linear", "cosine"))
assert abs(area["wsd"] - (1 - 2 * 0.2 / 3)) < 1e-3 and 0.5 < area["one-cycle"] < 0.51

# %% [markdown]
# The **area** under a shape is the mean of its scales. Peak times area times steps is how far the steps could carry the weights
# in all. At the same peak, a constant rate carries twice as far as linear decay. So whoever compares the two *at one rate*
# compares two things at once, and may find that "decay helps" where a smaller rate would have helped as much. Give each shape
# its own rate, as the next sections do.

# %% [markdown]
# ## 5. Which rate? A test of seconds (3 minutes)
#
# A **range test** (after Smith, 2017, whose rate grows by equal amounts) is a short training in which the rate grows by the same
# factor at every step, from far too small to far too large. Its network is thrown away; what we want is the curve of the loss over the rate.

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
loader = task.loader("train", shuffle=True)
_, history = ftlib.fit(model, loader, strategies.RangeTest(low=1e-4), steps=40, lr=0.3)
rates, losses = ([row[name] for row in history] for name in ("lr", "loss"))
found = range_test(losses, rates)
print({name: f"{rate:.1e}" for name, rate in found.items() if rate})
assert found["explodes"] and found["steepest"] < found["explodes"]
assert all(5e-4 < found[name] < 1e-2 for name in ("steepest", "tenth"))

# %%
alt = f"Line chart of the training loss against the rate, from {losses[0]:.2f} down to "
alt += f"{min(losses):.2f} and up to {losses[-1]:.2f}."
fig = plots.figure("A range test", "rate", "loss a target (nats), cut at 6", alt)
line = {"color": plots.COLOURS[0], "width": 2.5}
seen = [min(x, 6) for x in losses]
fig.add_scatter(x=rates, y=seen, mode="lines", line=line, showlegend=False)
ticks = [1e-4, 1e-3, 1e-2, 1e-1]
fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
fig

# %% [markdown]
# On the left nothing happens: the steps are too small. Then the loss falls, *steepest* at one rate. Then it rises above where it
# began: it *explodes*. The steepest rate and **a tenth of the exploding one** are two fair first guesses, and no more: 40 steps
# at growing rates are not a training at one rate.
#
# Here both lie at a few thousandths; another seed or computer moves them by some steps. The grid of the next section, 150 runs
# instead of one, found its highest means there or a little below: at 0.003 for shapes that fall, at 0.001 for a constant rate (0.003
# is not distinguishable from it).

# %% [markdown]
# ## 6. Peak or shape? (6 minutes)
#
# The experiment of this lesson: every shape at every peak, on the same six seeds. Digits: five shapes, five peaks over a
# factor of 100, 40 steps. Solar cells (figure in depth): three shapes, three peaks, 30 steps. 200 examples, no warmup but one-cycle's own rise. **Predict
# first:** from the worst to the best of five *peaks*, or from the worst to the best of five *shapes* (each at its own best peak):
# where is the larger difference?

# %%
widgets.predict("06_schedules", "what-matters")

# %%
grid = ftlib.load_runs("06_schedules").query("purpose == 'measure'")
grid = grid.assign(arm=grid.arm.str.partition("@")[0], **{"peak rate": grid.lr})
digits = grid.query("task == 'digits/optical'")
plots.sweep(
    digits,
    "test.balanced_accuracy",
    "Digits: five shapes at five peaks, six seeds",
    "balanced accuracy on test",
    by="peak rate",
)

# %%
means = {
    split: digits.pivot_table(f"{split}.balanced_accuracy", "arm", "lr")
    for split in ("validation", "test")
}
own = means["validation"].idxmax(axis=1)  # each shape's peak is chosen on validation
test = means["test"]
at_own = pd.Series({shape: test.loc[shape, rate] for shape, rate in own.items()})
over_peaks = (test.max(axis=1) - test.min(axis=1)).mean()
over_shapes = at_own.max() - at_own.min()
print(f"worst to best peak, mean of the shapes: {over_peaks:.3f}")
print(f"worst to best shape, each at its own peak: {over_shapes:.3f}")
late = digits.query("lr == 0.01")
late = ftlib.compare.paired(late, "test.balanced_accuracy", "linear", "constant")
print(f"at 0.01, linear - constant: {late.mean:.2f} [{late.low:.2f}, {late.high:.2f}]")
assert over_peaks > 5 * over_shapes and late.low > 0.2 and test[0.0003].idxmax() == "constant"
assert own["constant"] == 0.001 and set(own.drop("constant")) == {0.003}
test.assign(own=own).round(3)

# %%
ratio = over_peaks / max(over_shapes, 1e-9)
found = "peak" if ratio > 2 else "shape" if ratio < 0.5 else "alike"
teach.predict("06_schedules", "what-matters").compare(found)

# %% [markdown]
# On the digits the peak made a difference of 0.69 [0.66, 0.73] in the mean of the shapes, the shape at its own peak one of 0.08
# [0.03, 0.12]. On the cells it is 0.06 [0.01, 0.11] and 0.02 [−0.02, 0.07]: which is larger is not shown there. At 0.01 linear
# decay is ahead of a constant rate by 0.44 [0.25, 0.63]; but 0.01 is three times its own best peak and ten times the other's.
# At three times its own, linear decay loses 0.14 [0.05, 0.24], the constant rate 0.03 [−0.04, 0.10]. At 0.03 every shape
# breaks. At 0.0003 the largest area is best: the constant rate is ahead of linear decay by 0.21 [0.19, 0.23].

# %% [markdown]
# *Faster* is a promise about the way, not the end: how many steps until the score on validation is as good? Both arms must reach
# the same goal, and each runs at the peak that suits it. (`log2 of the ratio` is −1 for half the steps, 0 for as many.)

# %% tags=["nbval-check-output"]
teach.claim("L1", verdict="open")

# %% [markdown]
# On the digits linear decay needed 0.63 [0.54, 0.73] of the steps of a constant rate (2 to the power of −0.67). On the cells that
# is not shown, so by its rule the claim is **undecided**. Mind that each shape ran at its own peak: linear decay at 0.003, the
# constant rate at 0.001 on five of six seeds. At a shared 0.001 linear decay needed *more* steps, 1.26 [1.14, 1.40] times as
# many. At the end the decay is ahead on the digits by 0.085 [0.034, 0.136]; on the cells the interval holds 0.

# %% [markdown]
# ## 7. What a warmup is for (6 minutes)
#
# AdamW divides each gradient by its own size. At the first step its running means hold a single gradient, so what is left is the
# sign. What does that do to the first step?

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
batch = next(iter(task.loader("train", shuffle=True)))
F.cross_entropy(model(batch), batch["labels"]).backward()
start = torch.cat([p.detach().flatten() for p in model.parameters()])  # a copy
gradient = torch.cat([p.grad.flatten().abs() for p in model.parameters()])
optimizer.step()
moved = (torch.cat([p.detach().flatten() for p in model.parameters()]) - start).abs()
some = gradient > 1e-6  # without those that are zero up to rounding
ends = torch.tensor([0.05, 0.95])
for name, values in (("gradients", gradient), ("steps", moved)):
    low, high = values[some].quantile(ends).tolist()
    print(f"nine tenths of the {name} lie between {low:.1e} and {high:.1e}")
assert (moved[some] - 1e-3).abs().max() < 5e-5

# %% [markdown]
# The gradients differ by orders of magnitude, the steps do not: **every weight moves by the whole rate**, in a direction that 32
# examples and a random head have chosen. A warmup makes these first steps small. **Predict first:** linear decay with a warmup
# over four steps, or without; MiniLM (a transformer) on reviews, Lite0 (a convolutional network) on digits; the mean score
# over *all* peaks, too high ones included. Where does the warmup bring more than a point?

# %%
widgets.predict("06_schedules", "warmup")

# %%
files = ["06_schedules", "06_schedules_warmup"]
pair = ftlib.load_runs(*files).query("purpose == 'measure'")
pair = pair.assign(arm=pair.arm.str.partition("@")[0], **{"peak rate": pair.lr})
pair = pair[pair.arm.isin(["linear", "linear-warm"])]
title = "MiniLM on reviews, 20 steps: with a warmup and without"
reviews = pair.query("task == 'sentiment/amazon'")
plots.sweep(reviews, "test.macro_f1", title, "macro-F1 on test", by="peak rate")

# %%
digits = pair.query("task == 'digits/optical'")
title, label = (
    "Lite0 on digits, 40 steps: with a warmup and without",
    "balanced accuracy on test",
)
broken = digits.query("lr == 0.03").groupby("arm")["test.balanced_accuracy"].mean()
print("means at 0.03:", broken.round(2).to_dict())
assert broken.max() < 0.4
plots.sweep(digits, "test.balanced_accuracy", title, label, by="peak rate")

# %% tags=["nbval-check-output"]
judged = teach.claim("L2", verdict="open")
judged

# %%
rows = judged.rows[judged.rows.decides]
helped = rows.task[rows.verdict == "supported"]
highest = (
    reviews.query("lr == 0.001").groupby("arm")["test.macro_f1"].agg(["min", "max"]).round(2)
)
print("MiniLM at the highest peak, lowest and highest seed:", highest.T.to_dict("list"))
assert highest.T.to_dict("list") == {"linear": [0.31, 0.79], "linear-warm": [0.67, 0.79]}
words = {(): "neither", ("digits/optical",): "pictures", ("sentiment/amazon",): "text"}
teach.predict("06_schedules", "warmup").compare(words.get(tuple(helped), "both"))

# %% [markdown]
# Neither task decides it. At the highest peak MiniLM ends between 0.31 and 0.79 without a warmup, and between 0.67 and 0.79 with
# one; but the means differ by 0.112 [−0.043, 0.267], so even there a gain is *not shown*. Whether a training breaks depends on
# the seed: six seeds are few for something that happens to two of them. On the digits the interval holds no change as well as
# a gain of three points; at a peak of 0.03 training breaks with a warmup and without.

# %% [markdown]
# ## 8. The exception: wait for a plateau (3 minutes)
#
# PyTorch's `ReduceLROnPlateau` lowers the rate once validation stands still. It follows what *has happened*, so it is no function
# of `p`: nobody can draw it before the run, and another seed gets other rates. With `fit` it is two calls, the first with a
# `Validation` whose `stop` reads the history:


# %%
def stands_still(history: list[dict]) -> bool:
    """The last two validations brought no lower NLL."""
    nll = [row["validation"]["nll"] for row in history if "validation" in row]
    return len(nll) > 2 and min(nll[-2:]) >= min(nll[:-2])


# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
loader, held_out = task.loader("train", shuffle=True), task.loader("validation", batch_size=64)


def score(model):
    return ftlib.evaluate(model, held_out)


until_flat = ftlib.Validation(score, every=4, stop=stands_still)
model, high = ftlib.fit(
    model, loader, strategies.Full(), steps=STEPS, lr=3e-3, validation=until_flat
)
left, watched = STEPS - len(high), ftlib.Validation(score, every=4)
model, low = ftlib.fit(
    model, loader, strategies.Full(), steps=left, lr=3e-4, seed=1, validation=watched
)
nll = [row["validation"]["nll"] for row in high + low if "validation" in row]
print(f"{len(high)} steps at 0.003, then {len(low)} at 0.0003; NLL on validation:")
print([round(x, 3) for x in nll])
assert len(high) + len(low) == STEPS and len(high) >= 12

# %% [markdown]
# Two prices. The validation set has now chosen the rates as well, so its score is a little too good. And `patience`, the number
# of validations to wait, is one more knob: with a noisy validation a small one lowers the rate by accident, a large one never
# does. For a run of known length, a drawn shape is simpler.

# %% [markdown]
# ## 9. The playground (5 minutes)
#
# Draw a schedule; the words below it name the recorded runs that are nearest to it. **Your task:** on the digits, linear decay, no
# warmup, 40 steps: by how many points of balanced accuracy is a peak of 0.003 ahead of one of 0.03? (A minus sign, if it is
# behind.) Type the number in place of `None` in the cell below, and run that cell.

# %%
files = ["06_schedules", "06_schedules_warmup"]
runs = ftlib.load_runs(*files).query("purpose == 'measure'")
warm = runs.arm.str.contains("-warm@")
runs = runs.assign(
    shape=runs.arm.str.partition("@")[0].str.removesuffix("-warm"),
    warmup=(4 / runs.steps).where(warm, 0.0),  # over four steps
)
drawn = {
    "constant": lambda warmup: strategies.Constant(warmup).lr_scale,
    "linear": lambda warmup: strategies.LinearDecay(warmup).lr_scale,
    "cosine": lambda warmup: strategies.Cosine(warmup).lr_scale,
    "wsd": lambda warmup: strategies.WarmupStableDecay(warmup).lr_scale,
    "one-cycle": lambda warmup: strategies.OneCycle().lr_scale,  # has its own
}
playground = widgets.of_lesson("06_schedules").playground(drawn, runs, "test.balanced_accuracy")
playground

# %%
points_ahead = None  # in points, with a decimal point

teach.check("06_schedules/playground", points_ahead)

# %% [markdown]
# ## 10. Change it (5 minutes)
#
# A training with a constant rate of 0.003 works well. You want to go over to **linear decay with a warmup over a tenth of the
# steps**, as many steps as before, and the same area: the steps should be able to carry as far. Which peak does it need?


# %% tags=["exercise:peak"]
def peak() -> float:
    """The peak of a warmed-up linear decay with the area of a constant rate of 0.003."""
    ### BEGIN SOLUTION
    return 0.006
    ### END SOLUTION


# %% tags=["check:peak", "points:1"]
teach.check("06_schedules/peak", peak)

# %% [markdown]
# ## 11. What to take home (4 minutes)

# %%
widgets.quiz("06_schedules", "shared-peak", "why-warmup", "plateau")

# %% [markdown]
# **The decision rule.**
#
# 1. **Find the peak first**: a range test, then a few rates around it, a factor of three apart, judged on validation.
# 2. **Take linear decay**: on the digits it was higher than a constant rate, each at its own peak, by 0.085 [0.034, 0.136]; on
#    the cells they could not be told apart, nor on either task linear and cosine. That it forgives a wrong peak is *not shown*.
# 3. **Warm up over a few steps** with AdamW: it is cheap, and the first step is the whole rate. That it helps was *not shown*
#    here.
# 4. **Write the rate down beside the loss**, and compare the list with the formula before a long run.
# 5. **Compare shapes each at its own peak**: at a shared one you compare areas.

# %% [markdown]
# ## 12. Lab: one cycle (11 minutes)
#
# Write a shape yourself, as a pure function of progress. **One cycle** (Smith & Topin, 2018, with straight lines; here as in
# PyTorch) goes up and down once, along half waves:
#
# - from `start` (at progress 0) up to 1 (at progress `rise`),
# - from 1 down to 0 (at progress 1).
#
# Half a wave from 1 down to 0, while q runs from 0 to 1, is
#
# $$\text{wave}(q) = \tfrac{1}{2}\,(1 + \cos \pi q)$$
#
# so each of the two parts needs its own q, which runs from 0 to 1 in that part. Half-way up the scale is half-way between `start`
# and 1; a quarter of the way up it is lower than on a straight line.


# %% tags=["exercise:one_cycle"]
import math


def one_cycle(progress: float, rise: float, start: float) -> float:
    ### BEGIN SOLUTION
    if progress < rise:
        return 1 - (1 - start) * (1 + math.cos(math.pi * progress / rise)) / 2
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2
    ### END SOLUTION


# %% tags=["check:one_cycle", "points:3"]
teach.check("06_schedules/one_cycle", one_cycle)

# %% [markdown]
# ## 13. Lab: read a range test (11 minutes)
#
# `losses` and `rates` hold one value a step of a range test. Return the **safe rate**, a tenth of the rate at which the loss
# explodes:
#
# 1. Smooth the losses with `smooth` (it is written for you), since one bad batch is no explosion.
# 2. Find the step with the lowest smoothed loss.
# 3. From there on, find the first step whose smoothed loss is above the smoothed loss of the *first* step.
# 4. A loss is taken *before* its step, so what it shows is owed to the rate of **the step before**. Return a tenth of that rate;
#    `None` if there was no explosion.


# %% tags=["exercise:range_rate"]
def smooth(losses: list[float]) -> list[float]:
    """Each loss averaged with its neighbours; one that is not a number counts as infinite."""
    x = [loss if loss < float("inf") else float("inf") for loss in losses]  # nan < inf is False
    near = [x[max(0, i - 1) : i + 2] for i in range(len(x))]
    return [sum(some) / len(some) for some in near]


def range_rate(losses: list[float], rates: list[float]) -> float | None:
    ### BEGIN SOLUTION
    smoothed = smooth(losses)
    lowest = smoothed.index(min(smoothed))
    for i in range(lowest, len(smoothed)):
        if smoothed[i] > smoothed[0]:
            return rates[i - 1] / 10
    return None
    ### END SOLUTION


# %% tags=["check:range_rate", "points:3"]
teach.check("06_schedules/range_rate", range_rate)

# %% [markdown]
# ## 14. Lab: how wide is the window? (12 minutes)
#
# Investigate the recorded runs. A shape that works at one peak only must be tuned with care; one that works at many peaks
# forgives. The **window** of a shape: the peaks around its best one at which the mean score over the seeds is at most one point
# (0.01) below the best mean.
#
# `recorded_runs` is a table of one task, a row a run: `arm` (`"linear@0.003"`: shape, then peak), `lr`, `seed`, and scores such as
# `"validation.balanced_accuracy"`. Return the **lowest and the highest peak** of the window as a pair. The window has no holes:
# walk from the best peak to both sides, and stop at the first peak that is too low. Mind that `"linear-warm"` is another shape
# than `"linear"`.


# %% tags=["exercise:window"]
def window(recorded_runs, shape: str, metric: str) -> tuple[float, float]:
    ### BEGIN SOLUTION
    mine = recorded_runs[recorded_runs.arm.str.partition("@")[0] == shape]
    means = mine.groupby("lr")[metric].mean()  # sorted by the peak
    good, rates = list(means >= means.max() - 0.01), list(means.index)
    low = high = rates.index(means.idxmax())
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(rates) and good[high + 1]:
        high += 1
    return rates[low], rates[high]
    ### END SOLUTION


# %% tags=["check:window", "points:3"]
teach.check("06_schedules/window", window)

# %%
recorded = ftlib.load_runs("06_schedules", "06_schedules_warmup")
for name, some in recorded.groupby("task"):
    for shape in some.arm.str.partition("@")[0].unique():
        try:
            low, high = window(some, shape, "validation.balanced_accuracy")
            print(f"{name:17} {shape:12} {low:g} to {high:g}, a factor of {high / low:.0f}")
        except NotImplementedError:
            print(f"{name:17} {shape:12} comes when your function is written")

# %% [markdown]
# ## 15. More questions, and the limits (4 minutes)

# %%
widgets.quiz("06_schedules", "longer", "killed", "best-of-many")

# %% [markdown]
# **Limits.** Small tasks, two networks, 200 examples, 20 to 40 steps, AdamW, peaks a factor of three apart, six seeds. On the
# cells the constant rate has its highest mean at the lowest of three peaks (none is distinguishable), and may be better below. With so few
# steps a warmup over four of them is a tenth or a fifth of the run; long trainings warm up for a smaller share. SmolLM2, the
# language model of the kit, has three peaks and three seeds in depth, and no verdict: the training alone of one run took 41 to 53 s on one core.
# [06 in depth](06_schedules_depth.ipynb) asks about hills, other tasks and overfitting. To compare with other strategies, use the board of lesson 01, its section 8.

# %% [markdown]
# **Sources.** Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017 (1506.01186). Smith & Topin,
# *Super-Convergence*, 2018 (1708.07120). Loshchilov & Hutter, *SGDR*, ICLR 2017 (1608.03983). Defazio et al., *When, Why and How
# Much? Adaptive Learning Rate Scheduling by Refinement*, 2023 (2310.07831).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
