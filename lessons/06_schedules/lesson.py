# %% [markdown]
# # 06 Learning-rate schedules
#
# **After this lesson you can** find a learning rate in seconds, plan how it rises and falls, and check that plan. You know
# what a warmup is for. You can tell whether a shape helped or only a smaller rate. **Use it when** you train anything.
# **You need** [01](01_full.ipynb).
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 10 | 45 | see what the rate does, find it, try it on your own data |
# | **lab** | 11 to 14 | 38 | do it yourself, with checks |
# | **depth** | [another notebook](06_schedules_depth.ipynb) | 29 | restarts, other tasks, overfitting, published results |
#
# Each section needs only the first code cell. Late? Run that one, and start at any heading. Run cell by cell with
# `Shift+Enter`. *Run All Cells* would show you the answers before the questions.

# %% tags=["setup"]
import time

began = time.perf_counter()

import pandas as pd
import torch
import torch.nn.functional as F

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.strategies.schedules import range_test, scales
from ftlib.training.machine import model_device, profile

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
N, STEPS = (None, 200) if FULL else (200, 40)
digits = ftlib.load_task("digits/optical", n=N, size=32, seed=0)
NETWORK = "efficientnet-lite0"
grid = ftlib.load_runs("06_schedules", "06_schedules_warmup").query("purpose == 'measure'")
grid = grid.assign(shape=grid.arm.str.partition("@")[0], **{"peak rate": grid.lr})


def fresh(task=digits):
    """The pretrained network, with the same fresh head each time."""
    torch.manual_seed(0)
    return ftlib.load_model(NETWORK, task)


# %% [markdown]
# ## 1. One line rescues a training run (4 minutes)
#
# The [learning rate](../docs/glossary.md#learning-rate) says how far a step goes. Somebody chose 0.01, which is too much
# for this network. We train twice on the same 200 handwritten digits. The first time the rate stays at 0.01. The second
# time it rises to 0.01 and then falls to 0. Such a plan is a **schedule**, and its highest rate is the **peak**.


# %%
def trained(strategy, lr):
    loader = digits.loader("train", shuffle=True)
    model, history = ftlib.fit(fresh(), loader, strategy, steps=STEPS, lr=lr)
    found = ftlib.evaluate(model, digits.loader("validation", batch_size=64))
    return model, history, found["accuracy"]


_, _, before = trained(strategies.Constant(warmup=0.0), lr=0.01)
model, history, after = trained(strategies.LinearDecay(warmup=0.1), lr=0.01)
assert after > before + (0.0 if FULL else 0.2)
plots.before_after(
    before,
    after,
    "The same digits, steps and peak",
    "right answers on new digits",
    names=("rate stays at the peak", "rate rises and falls"),
)

# %% [markdown]
# What is still wrong? Each tile shows the true digit, the answer, and how sure the network was. The scans have only 8 × 8
# pixels, enlarged here.

# %%
plots.mistakes(model, digits, n=8)

# %% [markdown]
# A schedule costs no time and no memory. It is a list of numbers that you can print before you train. Here are the first
# six and the last two. None is exactly 0.01 or 0. Section 2 says why.

# %%
plan = [0.01 * scale for scale in scales(strategies.LinearDecay(warmup=0.1), STEPS)]
shown = [f"{rate:.5f}" for rate in plan[:: STEPS // 40]]
print(*shown[:6], "...", *shown[-2:])
assert plan == [row["lr"] for row in history]

# %% tags=["guard"]
assert 0 < min(plan) < 0.001 and 0.0098 < max(plan) < 0.01

# %% [markdown]
# Was that fair? A smaller constant rate might have rescued the run too. Section 6 finds out.
#
# **What people say about learning-rate schedules**, what we measured, and what to do about it. Words that you don't know
# yet come below.

# %% tags=["nbval-check-output"]
teach.card("06_schedules")

# %% [markdown]
# ## 2. A schedule by hand (3 minutes)
#
# A schedule has three parts, a warmup, a peak and a decay.

# %%
teach.diagram("06_schedules", "anatomy")

# %% [markdown]
# Let $p$ be the progress of training, from 0 to 1. A schedule is a function `scale` of $p$. The $T$ steps are numbered
# from 0 to $T - 1$. Step $t$ gets the rate at its middle. So no step has the rate 0, and
# the peak lies between two steps.
#
# $$p = \frac{t + \tfrac{1}{2}}{T}, \qquad \text{rate} = \text{peak} \cdot \text{scale}(p)$$
#
# The same $p$ always gives the same rate. So a run that is resumed gets the same rates. In PyTorch you write the rate into
# the optimizer before each step.


# %% tags=["by-hand"]
def scale(p: float, warmup: float) -> float:
    """From 0 to 1 over the warmup, then in a straight line back to 0."""
    return p / warmup if p < warmup else (1 - p) / (1 - warmup)


model = fresh().train()
model.to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
T, rates, losses = 6, [], []
for t, batch in zip(range(T), digits.loader("train", batch_size=32, shuffle=True)):
    rates.append(1e-3 * scale((t + 0.5) / T, warmup=1 / 3))
    for group in optimizer.param_groups:
        group["lr"] = rates[-1]
    loss = F.cross_entropy(model(batch), batch["labels"])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
print([f"{rate:.6f}" for rate in rates], [round(x, 3) for x in losses])

# %% [markdown]
# The library's one line gives the same rates and losses.

# %%
loader = digits.loader("train", batch_size=32, shuffle=True)
batches = [batch for _, batch in zip(range(T), loader)]
same = {"steps": T, "lr": 1e-3, "precision": "float32", "max_norm": 1e9}
twin, history = ftlib.fit(fresh(), batches, strategies.LinearDecay(warmup=1 / 3), **same)
print([f"{row['lr']:.6f}" for row in history], [round(row["loss"], 3) for row in history])
near = 5e-3 if model_device(twin).type == "cpu" else 0.05  # a GPU rounds otherwise
assert all(abs(row["lr"] - rate) < 1e-12 for row, rate in zip(history, rates))
assert all(abs(row["loss"] - x) < near for row, x in zip(history, losses))

# %% [markdown]
# ## 3. Shapes and their areas (7 minutes)
#
# These five shapes have the same peak. Compare the shaded areas.

# %%
teach.diagram("06_schedules", "shapes")

# %% [markdown]
# The **area** is the mean of the scales. Peak times area times steps says how far all steps together can move the
# weights. At the same peak, a constant rate has twice the area of linear decay. So a comparison *at one peak* changes two
# things at once. If the decay wins, a smaller constant rate might have won as well.

# %%
shapes = {
    "constant": strategies.Constant(warmup=0.0),
    "linear": strategies.LinearDecay(warmup=0.0),
    "cosine": strategies.Cosine(warmup=0.0),
    "WSD": strategies.WarmupStableDecay(warmup=0.0),
    "one-cycle": strategies.OneCycle(),
}
area = {name: round(sum(scales(shape, 400)) / 400, 2) for name, shape in shapes.items()}
assert list(area.values()) == [1.0, 0.5, 0.5, 0.87, 0.51]
print(area)

# %% [markdown]
# Which one should you choose?
#
# - *Linear* and *cosine* end with tiny steps, and must know the number of steps from the beginning.
# - *WSD* (warmup, stable, decay) needs it only when its *cooldown*, the last fifth, begins. So a run can be made longer.
# - *One-cycle* has a long warmup of its own.
# - PyTorch's `ReduceLROnPlateau` isn't a shape. It lowers the rate when validation stops improving, so its rates
#   can't be known in advance. [In depth](06_schedules_depth.ipynb) you try it.
#
# **Change it:** a run with a constant rate of 0.003 works well. You want *linear decay with a warmup over a tenth of
# the steps*, for as many steps, and with the same area times peak. Which peak does it need? Put your code in place of the
# lines `# YOUR CODE HERE` and `raise NotImplementedError`. Run that cell, then the check below it.


# %% tags=["exercise:peak"]
def peak() -> float:
    """The peak of a warmed-up linear decay with the area of a constant rate of 0.003."""
    ### BEGIN SOLUTION
    return 0.006
    ### END SOLUTION


# %% tags=["check:peak", "points:1"]
teach.check("06_schedules/peak", peak)

# %% [markdown]
# ## 4. Break it (5 minutes)
#
# PyTorch's own schedulers count calls. Each `scheduler.step()` moves on by one. So it matters where that line is. Below, a
# warmup over 4 *steps* begins at the rate 0, as in the library transformers. Training takes four *epochs*, which are
# passes over the data, in equal batches of 40. **Predict first:** somebody indents the line wrongly, so it runs once per epoch.

# %%
widgets.predict("06_schedules", "per-epoch")


# %%
def train_by_hand(per_epoch: bool) -> pd.DataFrame:
    model, rows = fresh().train(), []
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    loader = digits.loader("train", batch_size=40, shuffle=True)
    steps = 4 * len(loader)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda count: min(count / 4, (steps - count) / (steps - 4))
    )
    for _ in range(4):  # epochs
        for batch in loader:
            rate = optimizer.param_groups[0]["lr"]
            loss = F.cross_entropy(model(batch), batch["labels"])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            rows.append({"step": len(rows) + 1, "rate": rate, "loss": loss.item()})
            if not per_epoch:
                scheduler.step()
        if per_epoch:
            scheduler.step()
    return pd.DataFrame(rows)


right, wrong = train_by_hand(False), train_by_hand(True)

# %%
both = pd.concat(
    [right.assign(arm="once per step", seed=0), wrong.assign(arm="once per epoch", seed=0)]
)
epochs = [1 + k * len(wrong) // 4 for k in range(4)]  # the first step of each
fig = plots.curves(both, "rate", "Once per epoch: it never leaves the warmup", "learning rate")
fig.update_xaxes(tickvals=epochs)

# %%
batches = len(wrong) // 4  # per epoch
title = f"... and learns nothing for {batches} steps"
plots.curves(both, "loss", title, "training loss (nats)").update_xaxes(tickvals=epochs)

# %%
assert list(wrong.rate) == [3e-3 * k / 4 for k in range(4) for _ in range(batches)]
first = [losses.loss[:batches].mean() for losses in (right, wrong)]
print(
    f"mean loss of the first epoch: {first[0]:.2f} once per step, {first[1]:.2f} once per epoch"
)
assert first[1] > first[0] and 2 < first[1] < 3
found = "stuck" if wrong.rate.max() < right.rate.max() else "planned"
teach.predict("06_schedules", "per-epoch").compare(found)

# %% [markdown]
# **The symptom to remember:** no error and no warning. The loss stands still for a whole epoch, and then falls later than
# it should. It stays near 2.30 nats, the loss of guessing among ten classes: the natural logarithm of 10. (It wobbles, since
# each batch differs.) Log the rate next to the loss, and look at that list first.

# %% [markdown]
# ## 5. Find the peak in seconds (3 minutes)
#
# A **range test** (after Smith, 2017) is a short run in which the rate grows by the same factor at each step, from far too
# small to far too large. Here `low` is a share of `lr`, so the test runs from 0.00003 to 0.3. We throw its network away and
# keep the curve.

# %%
loader = digits.loader("train", shuffle=True)
_, history = ftlib.fit(fresh(), loader, strategies.RangeTest(low=1e-4), steps=40, lr=0.3)
rates, losses = ([row[name] for row in history] for name in ("lr", "loss"))
found = range_test(losses, rates)
print({name: f"{rate:.1e}" for name, rate in found.items() if rate})
assert found["explodes"] and found["steepest"] < found["explodes"]
assert all(5e-4 < found[name] < 1e-2 for name in ("steepest", "tenth"))

# %%
smooth = pd.Series(losses).rolling(5, center=True, min_periods=1).mean()
end = rates.index(found["explodes"]) + 4  # a little after the explosion
near = [min(range(end), key=lambda i: abs(rates[i] - rate)) for rate in found.values()]
alt = f"Line chart of the mean loss against the rate: {smooth[0]:.2f} at first, at least "
alt += f"{smooth[:end].min():.2f}, {smooth[end - 1]:.2f} after the explosion. Marked are "
alt += ", ".join(f"{name} {rate:.1e}" for name, rate in found.items()) + "."
title, label = "The loss falls, then explodes", "loss (nats), cut at 5"
fig = plots.figure(title, "learning rate", label, alt)
blue, red = plots.COLOURS[:2]
at = {"x": rates[:end], "mode": "lines"}
for y, name, colour, width in (
    (losses, "each batch", plots.faint(blue), 1),
    (smooth, "mean of five", blue, 3),
):
    line = {"color": colour, "width": width}
    fig.add_scatter(y=[min(x, 5) for x in y[:end]], name=name, line=line, **at)
marks = zip(found.items(), near, ("diamond", "x", "circle-open"), (10, 12, 20))
for (name, rate), i, symbol, size in marks:
    mark = {"color": red, "symbol": symbol, "size": size}
    word = f"{name}: {rate:.2g}"
    fig.add_scatter(x=[rate], y=[smooth[i]], name=word, mode="markers", marker=mark)
ticks = [1e-4, 1e-3, 1e-2]
fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])

# %% [markdown]
# On the left nothing happens, because the steps are too small. Then the loss falls, and at one rate its mean falls
# *steepest*. At the right end it is above its start, so it *explodes*. (The cross marks the step before, whose rate did
# it.) Begin at **a tenth of the exploding rate**. The steepest one depends on a few noisy batches. Both are first guesses,
# so also train at rates three times smaller and larger. In section 6 the best peak is 0.003.

# %% [markdown]
# ## 6. Peak or shape? (4 minutes)
#
# We recorded 150 runs on the digits, five shapes at five peaks with six seeds each. The score is [balanced
# accuracy](../docs/glossary.md#balanced-accuracy). **Predict first:**

# %%
widgets.predict("06_schedules", "what-matters")

# %%
on_digits = grid.query("task == 'digits/optical' and shape != 'linear-warm'")
fig = plots.sweep(
    on_digits.assign(arm=on_digits["shape"]),
    "test.balanced_accuracy",
    "Digits: no shape makes up for a peak that is far off",
    "balanced accuracy on test",
    by="peak rate",
)
for i, line in enumerate(fig.data):  # side by side, so that no shape hides another
    line.x = [peak * 1.06 ** (i - 2) for peak in line.x]
fig

# %%
score = on_digits.pivot_table("test.balanced_accuracy", "shape", "lr")
own = on_digits.pivot_table("validation.balanced_accuracy", "shape", "lr").idxmax(axis=1)
at_own = pd.Series({shape: score.loc[shape, peak] for shape, peak in own.items()})
lost = pd.DataFrame({"own peak": own, "wrong shape": at_own.max() - at_own})
for name, k in (("peak too low", 1), ("peak too high", -1)):  # by one, a factor of three
    other = score.shift(k, axis=1)
    lost[name] = [at_own[shape] - other.loc[shape, peak] for shape, peak in own.items()]
lost.round(3)  # what is lost of the score

# %%
missed, shape = lost.loc["linear", ["peak too low", "peak too high"]], lost["wrong shape"].max()
found = "peak" if missed.min() > shape else "shape" if missed.max() < shape else "between"
teach.predict("06_schedules", "what-matters").compare(found)

# %% tags=["guard"]
assert [round(100 * x) for x in (*missed, shape)] == [20, 14, 8] and len(on_digits) == 150
others = lost.drop("linear")[["peak too low", "peak too high"]]
assert others.min(axis=1).between(0.03, 0.09).all() and others.max(axis=1).min() > 0.17
assert score[0.01]["linear"] > score[0.01]["constant"] + 0.2
assert [round(100 * score[lr][s]) for lr, s in ((0.01, "linear"), (0.01, "constant"))] == [
    77,
    34,
]
assert round(100 * score[0.001]["constant"]) == 84
rescued = ftlib.paired(on_digits, "test.balanced_accuracy", "linear@0.01", "constant@0.001")
assert rescued.low < 0 < rescued.high and score[0.0003].idxmax() == "constant"
assert own["constant"] == 0.001 and set(own.drop("constant")) == {0.003}
lead = ftlib.paired(on_digits, "test.balanced_accuracy", "linear@0.003", "constant@0.001")
assert lead.low > 0 and score[[0.0003, 0.03]].max().max() < 0.6 < 0.8 < at_own.min()

# %% [markdown]
# Missing the peak by a factor of three costs linear decay 14 to 20 points. The others lose 3 to 9 points on one side, over
# 17 on the other. Choosing another shape costs at most 8. Search the peak first.
#
# At 0.01 linear decay is far ahead (0.77 against 0.34; here without section 1's warmup). But a constant rate of 0.001 has
# 0.84. Six seeds can't tell which of 0.77 and 0.84 is really better. So section 1 mostly rescued a peak that was too high.
#
# So compare each shape *at its own peak*, chosen on validation. There linear decay is still ahead of the constant rate. Do
# new seeds say so, in short runs and in long ones?

# %% tags=["nbval-check-output"]
teach.claim("L1", verdict="open")

# %% [markdown]
# ## 7. What a warmup is for (5 minutes)
#
# [AdamW](../docs/glossary.md#adamw) divides a running mean of the gradient by the square root of a running mean of its
# square. At the first step each mean holds only one gradient $g$. So it divides $g$ by $\sqrt{g^2}$. **Predict first:**

# %%
widgets.predict("06_schedules", "first-step")

# %%
model = fresh().train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
batch = next(iter(digits.loader("train", shuffle=True)))
F.cross_entropy(model(batch), batch["labels"]).backward()
start = torch.cat([p.detach().flatten() for p in model.parameters()])  # a copy
gradient = torch.cat([p.grad.flatten().abs() for p in model.parameters()])
optimizer.step()
moved = (torch.cat([p.detach().flatten() for p in model.parameters()]) - start).abs()
some = gradient > 1e-6  # the others are zero up to rounding
ends = torch.tensor([0.05, 0.95])
(small, large), (near, far) = (x[some].quantile(ends).tolist() for x in (gradient, moved))
print(
    f"left out: {(~some).sum():,} of {len(some):,} weights, whose gradient is practically zero"
)
print(f"nine tenths of the gradients are between {small:.1e} and {large:.1e}")
print(f"nine tenths of the steps are between {near:.1e} and {far:.1e}")

# %%
assert large > 100 * small and (moved[some] - 1e-3).abs().max() < 5e-5
alike = far < 1.1 * near
teach.predict("06_schedules", "first-step").compare("alike" if alike else "proportional")

# %% [markdown]
# **Every weight whose gradient isn't practically zero moves by the whole rate**, up or down as 32 examples and a random head
# say. Later the means hold many batches, and where these disagree the step shrinks. A warmup makes the first steps small.
# Does that help? Here is MiniLM on reviews, with a warmup over four of 20 steps and without.

# %%
reviews = grid.query("task == 'sentiment/amazon'")
names = {"linear": "no warmup", "linear-warm": "warmup"}
plots.sweep(
    reviews.assign(arm=reviews["shape"].map(names)),
    "test.macro_f1",
    "MiniLM: at 0.001 the mean falls, more so without a warmup",
    "macro-F1 on test",
    by="peak rate",
)

# %% [markdown]
# Call a run broken if its macro-F1 is below 0.6. These are the runs at the highest peak:

# %%
highest = reviews.query("lr == 0.001").pivot(index="seed", columns="shape")["test.macro_f1"]
broken = (highest < 0.6).sum()
assert broken.to_dict() == {"linear": 2, "linear-warm": 0}
highest.rename(columns=names).round(2)

# %% tags=["guard"]
means = reviews.pivot_table("test.macro_f1", "lr", "shape")
assert means["linear-warm"].idxmax() == means["linear"].idxmax() == 0.0003
assert abs(means.loc[0.0003, "linear"] - means.loc[0.0003, "linear-warm"]) < 0.01

# %% [markdown]
# Two of six broke without a warmup, and none with it. At a good peak the warmup changes little. Here is the verdict of new
# seeds, at a peak about three times too high.

# %% tags=["nbval-check-output"]
teach.claim("L2", verdict="supported")

# %% [markdown]
# ## 8. The playground (5 minutes)
#
# Draw a schedule on the left. On the right each circle is a recorded setting, its mean over the seeds, at its mean rate. The
# words name the setting most like your drawing.
#
# **Your task:** draw a constant rate of 0.001 on the digits, with no warmup and 40 steps. Then draw the linear decay with
# the *same mean rate*. It wasn't recorded, so the words name the setting most like it. By how many points of balanced
# accuracy is that one ahead of the constant rate? Type the number in place of `None`.

# %%
drawn = {
    "constant": lambda warmup: strategies.Constant(warmup).lr_scale,
    "linear": lambda warmup: strategies.LinearDecay(warmup).lr_scale,
    "cosine": lambda warmup: strategies.Cosine(warmup).lr_scale,
    "wsd": lambda warmup: strategies.WarmupStableDecay(warmup).lr_scale,
    "one-cycle": lambda warmup: strategies.OneCycle().lr_scale,  # has its own
}
warm = grid["shape"] == "linear-warm"
runs = grid.assign(shape=grid["shape"].str.removesuffix("-warm"))
runs = runs.assign(warmup=(4 / runs.steps).where(warm, 0.0))  # over four steps
playground = widgets.of_lesson("06_schedules").playground(drawn, runs, "test.balanced_accuracy")
playground

# %%
points_ahead = None  # in points, with a decimal point

teach.check("06_schedules/playground", points_ahead)

# %% tags=["guard"]
mean_half = runs.query(
    "task == 'digits/optical' and shape in ['linear', 'cosine', 'one-cycle']"
)
means = mean_half.groupby(["lr", "arm"])["test.balanced_accuracy"].mean().groupby("lr")
assert (means.max() - means.min()).max() < 0.08 and (means.size() == 4).all()
three = mean_half[mean_half.warmup == 0].groupby(["lr", "shape"])["test.balanced_accuracy"]
three = three.mean().unstack("lr").loc[["linear", "cosine", "one-cycle"]]
assert (three.max() - three.min()).max() < 0.065
assert round((three.max(axis=1) - three.min(axis=1)).max(), 2) == 0.67

# %% [markdown]
# At one peak, linear decay, cosine and one-cycle have nearly the same mean rate, and their scores are up to 6 points apart.
# Another mean rate changes the score by up to 65. So look at the mean rate first, and at the shape second.

# %% [markdown]
# ## 9. Your own data (3 minutes)
#
# Put your folder in place of ours, with one folder per class. First comes the range test. Then we train at a tenth of the
# exploding rate (or at the steepest, if nothing exploded), and at rates three times smaller and larger. If the best peak
# is at the edge, the code tries one more there. Every run gets linear decay with a warmup.

# %%
my_images = ftlib.tasks.example("folder")  # or "C:/photos/birds"
my_steps = 20  # enough for our drawn leaves: raise it for your own images
mine = ftlib.load_task("folder", path=my_images, size=64, seed=0)
loader = mine.loader("train", shuffle=True)
_, history = ftlib.fit(fresh(mine), loader, strategies.RangeTest(low=1e-4), steps=30, lr=0.3)
found = range_test(*([row[name] for row in history] for name in ("loss", "lr")))
print({name: f"{rate:.1e}" for name, rate in found.items() if rate})

# %%
start, tried, best = found["tenth"] or found["steepest"], {}, None
todo = [start / 3, start, start * 3]
while todo:
    rate, shape = todo.pop(0), strategies.LinearDecay(warmup=0.1)
    model, _ = ftlib.fit(fresh(mine), loader, shape, steps=my_steps, lr=rate)
    tried[rate] = model, ftlib.evaluate(model, mine.loader("validation"))
    best = min(tried, key=lambda peak: tried[peak][1]["nll"])
    if len(tried) == 3 and best != start:  # at the edge: one more
        todo.append(best / 3 if best < start else best * 3)
table = pd.DataFrame({f"{rate:.1e}": score for rate, (_, score) in tried.items()}).T
table[["accuracy", "nll"]].round(3)

# %% [markdown]
# The NLL, the [negative log-likelihood](../docs/glossary.md#negative-log-likelihood), is the loss on validation. We keep
# the peak with the lowest one. Of our few leaves very few are in validation, so this choice is partly luck. Look at the
# **test** split, once.

# %%
model = tried[best][0]
print(f"kept: a peak of {best:.1e}")
plots.confusion(model, mine, split="test")

# %%
plots.mistakes(model, mine, split="test", n=4)

# %%
ftlib.save(model, "my_models/scheduled")
again = ftlib.load("my_models/scheduled")
widgets.try_model(again, examples=[mine.splits["test"].inputs[0]])

# %% [markdown]
# **Texts.** MiniLM did best at 0.0003 in section 7, a tenth of our images' best peak. Load your table as in [01](01_full.ipynb), set
# `NETWORK = "minilm"`, and give each loader `tokenizer=fresh(mine).tokenizer`. End the range test at `lr=0.03`. Since `low`
# is a share of that, it begins at 0.000003.

# %% [markdown]
# ## 10. What to take home (4 minutes)

# %%
widgets.quiz("06_schedules", "shared-peak", "why-warmup", "longer")

# %% [markdown]
# **The decision rule.**
# 1. **Find the peak first.** Run a range test, then try a few peaks, each three times the one before.
# 2. **Take linear decay** to 0, with a warmup over the first tenth of the steps. Neither costs time. The decay must know
#    the number of steps, and at a good peak a warmup may bring nothing.
# 3. **Find the peak anew for each network.** Check it for each task.
# 4. **Print the list of rates** before a long training, and log the rate next to the loss.
# 5. **Compare shapes each at its own peak.** At a shared one you compare areas.

# %% [markdown]
# ## 11. Lab: one cycle (11 minutes)
#
# Write a shape yourself, as a function of the progress. **One cycle** (Smith & Topin, 2018, here with PyTorch's curves)
# goes up and down once. Each part is half a wave.
#
# - It goes from `start` (at progress 0) up to 1 (at progress `rise`).
# - Then it goes from 1 down to 0 (at progress 1).
#
# Half a wave from 1 down to 0, while q runs from 0 to 1, is
#
# $$\text{wave}(q) = \tfrac{1}{2}\,(1 + \cos \pi q)$$
#
# Each part needs its own q, which runs from 0 to 1 in that part. Half-way up, the scale is half-way between `start` and 1.
# A quarter of the way up it is lower than on a straight line.


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
# ## 12. Lab: read a range test (11 minutes)
#
# `losses` and `rates` hold one value per step of a range test. Return the **safe rate**, a tenth of the rate at which the
# loss explodes.
#
# 1. Smooth the losses with `smooth`, which is written for you. One bad batch is no explosion.
# 2. Find the step with the lowest smoothed loss.
# 3. From there on, find the first step whose smoothed loss is above the smoothed loss of the *first* step.
# 4. A loss is measured *before* its step, so it shows what the rate of **the step before** did. Return a tenth of that
#    rate, or `None` if there was no explosion.


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
# ## 13. Lab: how wide is the window? (12 minutes)
#
# Investigate the recorded runs. A shape that works at only one peak needs careful tuning. One that works at many peaks
# forgives. The **window** of a shape is its best peak and the peaks around it, as far as their mean score over the seeds is
# at most one point (0.01) below the best mean.
#
# `recorded_runs` is a table of one task with one row per run. It has the columns `arm` (`"linear@0.003"` is the shape and
# its peak), `lr`, `seed`, and scores such as `"validation.balanced_accuracy"`. Return the **lowest and the highest peak**
# of the window as a pair. The window has no holes. Walk from the best peak to both sides, and stop at the first peak that
# is too low. `"linear-warm"` is another shape than `"linear"`.


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
for name, metric in (
    ("digits/optical", "validation.balanced_accuracy"),
    ("elpv", "validation.balanced_accuracy"),
    ("sentiment/amazon", "validation.macro_f1"),
):
    some = recorded[recorded.task == name]
    for shape in some.arm.str.partition("@")[0].unique():
        try:
            low, high = window(some, shape, metric)
            print(f"{name:17} {shape:12} {low:g} to {high:g}, a factor of {high / low:.0f}")
        except NotImplementedError:
            print(f"{name:17} {shape:12} waits for your function")

# %% tags=["guard"]
metric = recorded["validation.macro_f1"].where(
    recorded.task == "sentiment/amazon", recorded["validation.balanced_accuracy"]
)
names = ["task", "shape", "lr"]
means = recorded.assign(shape=recorded.arm.str.partition("@")[0], score=metric)
means = means.groupby(names)["score"].mean()
good = means >= means.groupby(names[:2]).transform("max") - 0.01
assert sorted(good.groupby(names[:2]).sum()) == [1] * 10 + [2]
assert means["elpv"]["constant"].idxmax() == 0.001
assert set(recorded.n) == {200} and set(recorded.steps) == {20, 30, 40}

# %% [markdown]
# All but one of these windows hold a single peak. The recorded peaks are about a factor of three apart, so a peak that is
# three times too high or too low costs more than a point. Try at least three.

# %% [markdown]
# ## 14. More questions, and the limits (4 minutes)

# %%
widgets.quiz("06_schedules", "plateau", "killed", "best-of-many")

# %% [markdown]
# **Limits.** Small tasks, two networks, 200 examples, 20 to 40 steps, AdamW. In so short a run a warmup over four steps is
# a tenth or a fifth of all steps. Long runs warm up for a smaller share. On the solar cells the constant rate did best at
# the lowest of three peaks, so an even lower one may suit it. `widgets.board` puts these runs on a board
# like that of [01](01_full.ipynb). [06 in depth](06_schedules_depth.ipynb) has restarts, other tasks, overfitting, a
# language model and published results.

# %% [markdown]
# **Sources.** Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017 (1506.01186). Smith & Topin,
# *Super-Convergence*, 2018 (1708.07120). Loshchilov & Hutter, *SGDR*, ICLR 2017 (1608.03983). Hägele et al., *Scaling Laws
# and Compute-Optimal Training Beyond Fixed Training Durations*, NeurIPS 2024 (2405.18392). Defazio et al., *When, Why and
# How Much? Adaptive Learning Rate Scheduling by Refinement*, 2023 (2310.07831).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
