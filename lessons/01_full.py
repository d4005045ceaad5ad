# %% [markdown]
# # 01 Full fine-tuning
#
# **After this lesson you can** fine-tune a pretrained network on your own data; say what pretraining was worth; and decide
# when training only the head is enough.
#
# **Use it when** you have a task of your own, a pretrained model, and some labelled examples: it is the default, and
# what every other strategy must beat. **You need** [Start here](00_start_here.ipynb). Time: about 30 minutes to read and
# try; the cells run in about two minutes on two CPU cores.

# %%
import time

began = time.perf_counter()
import copy

import torch
import torch.nn.functional as F

import ftlib
from ftlib import plots, strategies
from ftlib.machine import profile

FULL = profile() == "full"  # on a GPU: more steps; elsewhere: quick

# %% [markdown]
# ## 1. The task (3 minutes)
#
# **ELPV** holds 2,624 photographs of solar cells. A current runs through them and they glow; what is broken stays dark.
# Experts judged each cell. We ask: *intact or defective?* Images: Deitsch et al., CC BY-NC-SA 4.0.

# %%
task = ftlib.load_task("elpv", n=None if FULL else 200, size=96, seed=0)
print({name: len(split) for name, split in task.splits.items()}, task.labels, task.metric)

everything = torch.cat([split.labels for split in ftlib.load_task("elpv", size=96).splits.values()])
print(f"intact: {(everything == 0).float().mean():.1%} of {len(everything):,}")
assert len(everything) == 2624 and 0.68 < (everything == 0).float().mean() < 0.69

# %%
train = task.splits["train"]
rows = [int(i) for k in (0, 1) for i in (train.labels == k).nonzero()[:4, 0]]
cells = torch.cat([train.inputs[i, 0] for i in rows], dim=1)  # (96, 8 · 96): four intact, four defective
plots.image(
    cells.numpy(),
    "Eight solar cells in a row: four intact ones, evenly grey with thin grid lines, then four "
    "defective ones with dark cracks or dark areas.",
)

# %% [markdown]
# Two traps wait in this data set, and both flatter you. Calling every cell intact would be right in more than two of three cases, so we count
# **balanced accuracy**, the mean of what is found of each class: there, that guess scores 0.5. And neighbouring files
# come from the same solar module, so a random split would show the network the same module in training and in the test.
# Our split keeps modules together.

# %% [markdown]
# ## 2. The loop by hand (5 minutes)
#
# Fine-tuning is ordinary training that starts from weights that know something. Here is all of it in plain PyTorch: a
# fresh head on pretrained stages, then *forward, backward, step*.

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
start = copy.deepcopy(model.state_dict())

model.train().to(memory_format=torch.channels_last)  # the layout in memory that convolutions like; `fit` sets it too
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)  # fused: the same steps, computed faster
losses = []
for _, batch in zip(range(6), task.loader("train", batch_size=32, shuffle=True)):
    optimizer.zero_grad()  # without this line, gradients of earlier batches would pile up
    logits = model(batch)  # (B, 2)
    loss = F.cross_entropy(logits, batch["labels"])
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print([round(x, 3) for x in losses])

# %% [markdown]
# The library's `fit` is this loop, plus what you would add in the end: gradient clipping, accumulation, a clear error when
# the loss explodes, checkpoints. From the same weights and the same batches it gives the same losses:

# %%
torch.manual_seed(0)
twin = ftlib.load_model("efficientnet-lite0", task)
assert all(torch.equal(a, b) for a, b in zip(twin.state_dict().values(), start.values()))
batches = list(zip(range(6), task.loader("train", batch_size=32, shuffle=True)))
twin, history = ftlib.fit(
    twin, [batch for _, batch in batches], strategies.Full(), steps=6, lr=3e-4, precision="float32", max_norm=1e9
)
print([round(row["loss"], 3) for row in history])
assert all(abs(row["loss"] - x) < 1e-3 for row, x in zip(history, losses))

# %% [markdown]
# ## 3. Four ways to use the same network (10 minutes)
#
# | arm | starts from | trains |
# |---|---|---|
# | **scratch** | random weights | everything |
# | **probe** | pretrained | the head |
# | **full** | pretrained | everything |
# | **lp-ft** | pretrained | the head first, then everything (Kumar et al., 2022) |
#
# Why the last one? A fresh head is random, and its first gradients push the pretrained features around before it knows
# anything. LP-FT lets the head settle first.
#
# **Predict before you run:** which arm is best after 40 steps on 200 images, and which is worst? Write it down.

# %%
STEPS = 400 if FULL else 40
arms = {
    "scratch": [{"strategy": [{"FromScratch": {}}], "steps": STEPS, "lr": 1e-3}],
    "probe": [{"strategy": [{"LinearProbe": {}}], "steps": STEPS, "lr": 1e-2}],
    "full": [{"strategy": [{"Full": {}}], "steps": STEPS, "lr": 3e-4}],
    "lp-ft": strategies.full.lp_ft(probe_steps=STEPS // 4, probe_lr=1e-2, steps=3 * STEPS // 4, lr=3e-4),
}
common = {"task": "elpv", "model": "efficientnet-lite0", "seed": 0, "every": STEPS // 4, "splits": ["validation"]}
common["options"] = {"n": None if FULL else 200, "size": 96}
live = [ftlib.run(ftlib.Spec(arm=arm, phases=phases, **common)) for arm, phases in arms.items()]
plots.curves(
    ftlib.runs.curves(live), "balanced_accuracy", "One live run of each arm", "balanced accuracy on validation"
)

# %% [markdown]
# This was **one** seed. Run it again with `seed=1` and the order of the arms may change. What costs what is steadier:

# %%
cost = ftlib.runs.frame(live).set_index("arm").filter(regex="parameters.trainable|seconds").round(1)
assert cost.loc["probe", "parameters.trainable"] == 1280 * 2 + 2
assert cost.loc["full", "parameters.trainable"] == 3_373_570
assert cost.loc["probe", "seconds.backward"] < 0.2 * cost.loc["full", "seconds.backward"]
cost

# %% [markdown]
# The probe trains 2,562 of 3.4 million parameters: 1,280 features times two classes, and two biases. Its backward pass
# is nearly free, since it stops at the head; and so it needs no memory for the gradients of the stages.

# %% [markdown]
# ## 4. What six seeds say (7 minutes)
#
# These runs were **recorded** beforehand with the same code (`make record`): 200 images, 60 steps, and for each arm the best
# of five or six learning rates (as many for each), chosen on validation with other seeds. The test split was read once, at the end.

# %%
recorded = ftlib.load_runs("../data/results/01_full.jsonl").query("purpose == 'measure'")
cells = recorded.query("task == 'elpv'")
plots.scores(
    cells, "test.balanced_accuracy", "Solar cells: six seeds, 200 training images", "balanced accuracy on test"
)

# %%
against_full = ftlib.table(cells, "test.balanced_accuracy", baseline="full")
assert set(against_full.reading.dropna()) == {"not distinguishable here"}
against_full.round(3)

# %% [markdown]
# Read the last column. *Higher* or *lower* is said only where the whole interval of the paired difference lies on one side
# of zero, and where *p*, corrected for the number of arms, is below 0.05. *Detectable* is the smallest true difference that six seeds would have found four times in five: a smaller one
# may exist, and this experiment cannot see it.

# %%
plots.differences(
    cells,
    "test.balanced_accuracy",
    "full",
    "Solar cells: what changes against full fine-tuning",
    "difference in balanced accuracy on test",
)

# %% [markdown]
# ## 5. The same for text (5 minutes)
#
# **MiniLM**, a transformer of 22 million parameters, was trained to place sentences of like meaning close together. We ask it
# whether a sentence of an Amazon review is positive or negative. Nothing in the code changes but two names.

# %%
reviews = ftlib.load_task("sentiment/amazon", n=200, seed=0)
minilm = ftlib.load_model("minilm", reviews)
loader = reviews.loader("train", tokenizer=minilm.tokenizer, shuffle=True)
minilm, history = ftlib.fit(minilm, loader, strategies.Full(), steps=200 if FULL else 30, lr=1e-4)
scores = ftlib.evaluate(minilm, reviews.loader("validation", tokenizer=minilm.tokenizer))
print({name: round(value, 3) for name, value in scores.items()})
plots.losses(history, "MiniLM on 200 sentences")

# %%
text = recorded.query("task == 'sentiment/amazon'")
plots.scores(text, "test.macro_f1", "Amazon reviews: six seeds, 200 training sentences", "macro-F1 on test")

# %%
against_full = ftlib.table(text, "test.macro_f1", baseline="full")
assert against_full.reading[["scratch", "probe"]].eq("lower").all()
assert against_full.reading["lp-ft"] == "not distinguishable here"
against_full.round(3)

# %% [markdown]
# ## 6. What to take home
#
# - **Full fine-tuning** is the default when data and compute allow it. On the reviews it was higher than the probe and than
#   training from scratch.
# - **Try the linear probe first.** It costs a fraction. On the solar cells, with 200 images, we could not tell it apart
#   from full fine-tuning; on the reviews it was lower.
# - **A fresh head and a whole network** do not want the same learning rate. Tune each arm's own, on validation, with the
#   same number of tries.
# - **One run proves little.** Pair the seeds, look at the interval, and say *not distinguishable* when it holds 0.
#
# **Limits.** Two small tasks, 200 examples, two networks, short training. The next question,
# what changes when n grows, needs a grid of its own.

# %% [markdown]
# **Sources.** Kumar et al., *Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution*, ICLR 2022
# (2202.10054). Deitsch et al., *Automatic classification of defective photovoltaic module cells*, Solar Energy 185, 2019
# (1807.02894). Hutto & Gilbert, *VADER*, ICWSM 2014.

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
