# %% [markdown]
# # 02 Layer freezing
#
# **After this lesson you can** freeze part of a network so that it really stands still; say which part to freeze, and what
# that saves; and compute what the frozen part gives only once.
#
# **Use it when** training time or memory is short, or when you have few examples and a pretrained model that knows your kind
# of data. **You need** [01 Full fine-tuning](01_full.ipynb), its core.
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 10 | 41 | understand it |
# | **lab** | 11 to 14 | 38 | do it yourself, with checks |
# | **depth** | [another notebook](02_freezing_depth.ipynb) | 17 | overfitting, far tasks, what else to tune |
#
# Of the four things that a strategy can change (model, batches, loss, learning rate), freezing changes the **model**: some of
# its weights are not trained. Each section needs only the first code cell.

# %% tags=["setup"]
import time

began = time.perf_counter()

import torch
import torch.nn.functional as F

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.training.machine import profile

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
N, STEPS = (None, 200) if FULL else (200, 20)
task = ftlib.load_task("elpv", n=N, size=64, seed=0)  # solar cells: intact or defective?

# %% [markdown]
# ## 1. Something that works (2 minutes)
#
# EfficientNet-Lite0 is a chain of nine **stages**, from the image to 1,280 features, and a head. The first stages, near the
# image, are also called the **bottom**, the last ones, near the head, the **top**. Which stage holds how many weights?

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
sizes = [sum(p.numel() for p in stage.parameters()) for stage in model.stages]
for number, (name, size) in enumerate(zip(model.stage_names, sizes)):
    print(f"{number} {name:10} {size:>9,}")
print(f"  head       {sum(p.numel() for p in model.head.parameters()):>9,}")
assert sizes == [928, 896, 13_968, 39_712, 198_480, 446_784, 1_652_640, 605_440, 412_160]

# %% [markdown]
# Freeze the first five stages, train the other four and the head:

# %%
before = ftlib.evaluate(model, task.loader("validation", batch_size=64))
model, history = ftlib.fit(
    model, task.loader("train", shuffle=True), strategies.FreezeFirst(k=5), steps=STEPS, lr=1e-3
)
after = ftlib.evaluate(model, task.loader("validation", batch_size=64))
print(f"balanced accuracy {before['balanced_accuracy']:.3f} → {after['balanced_accuracy']:.3f}")
assert after["balanced_accuracy"] > before["balanced_accuracy"] - 0.05

# %% [markdown]
# The first five stages are more than half of the chain, and hold 8 % of the weights. Keep that in mind when somebody says "we
# froze half of the network". The second line that `fit` printed is the topic of section 7.

# %% [markdown]
# ## 2. Freezing by hand (4 minutes)
#
# A frozen weight gets no gradient, and the optimizer never moves it. That is half of freezing. The other half: **BatchNorm**
# (Ioffe & Szegedy, 2015) subtracts a mean and divides by a standard deviation, for each channel (then it scales and shifts,
# by two learnt numbers). In *train mode* it takes them from the batch at hand and keeps running averages on the side; in
# *evaluation mode* it uses those averages. They are **buffers**: tensors that are saved with the weights but have no
# gradient, so `requires_grad_(False)` does not stop them. `eval()` does. And since `model.train()` switches everything back,
# `eval()` must come after it, each time.

# %% tags=["by-hand"]
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
model.to(memory_format=torch.channels_last)
start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
model.train()
for stage in model.stages[:5]:
    stage.requires_grad_(False)  # its weights get no gradient
    stage.eval()  # its BatchNorm uses, and keeps, what it learnt in pretraining
trained = [p for p in model.parameters() if p.requires_grad]
optimizer, losses = torch.optim.AdamW(trained, lr=1e-4, fused=True), []
for _, batch in zip(range(6), task.loader("train", batch_size=32, shuffle=True)):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(batch), batch["labels"])
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print([round(x, 3) for x in losses], f"{sum(p.numel() for p in trained):,} weights trained")

# %% [markdown]
# **Frozen means frozen: to the last bit.** Look at everything that a checkpoint would hold, statistics included:

# %%
now = model.state_dict()
moved = [name for name in start if not torch.equal(start[name], now[name])]
frozen = tuple(f"stages.{i}." for i in range(5))
print(f"{len(moved)} of {len(start)} tensors moved, {moved[0]} first")
assert not [name for name in moved if name.startswith(frozen)]
assert "head.weight" in moved and any("running_mean" in name for name in moved)
assert sum(p.numel() for p in trained) == sum([446_784, 1_652_640, 605_440, 412_160]) + 2_562

# %% [markdown]
# The library's one line does the same, from the same weights and batches:

# %%
torch.manual_seed(0)
twin = ftlib.load_model("efficientnet-lite0", task)
batches = [b for _, b in zip(range(6), task.loader("train", batch_size=32, shuffle=True))]
strategy = strategies.FreezeFirst(k=5)
same = {"steps": 6, "lr": 1e-4, "precision": "float32", "max_norm": 1e9}
twin, history = ftlib.fit(twin, batches, strategy, **same)
print([round(row["loss"], 3) for row in history])
assert all(abs(row["loss"] - x) < 2e-3 for row, x in zip(history, losses))

# %% [markdown]
# ## 3. Break it (4 minutes)
#
# Somebody forgets `eval()`. **Predict first:** we train *only the head* with all stages "frozen" like this, for 20 steps.
# By how much do the 1,280 features of one and the same image move?

# %%
widgets.predict("02_freezing", "no-eval")


# %%
def drift(evaluation_mode: bool) -> float:
    """How far the features of 64 images move, as a share of their length: the head learns."""
    torch.manual_seed(0)
    model = ftlib.load_model("efficientnet-lite0", task)
    fixed = next(iter(task.loader("validation", batch_size=64)))
    model.stages.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=1e-2)
    with torch.no_grad():
        first = model.eval().features(fixed)  # (64, 1280)
    model.train()
    if evaluation_mode:
        model.stages.eval()
    for _, batch in zip(
        range(20), [b for _ in range(4) for b in task.loader("train", shuffle=True)]
    ):
        optimizer.zero_grad()
        F.cross_entropy(model(batch), batch["labels"]).backward()
        optimizer.step()
    with torch.no_grad():
        last = model.eval().features(fixed)
    return ((last - first).norm() / first.norm()).item()


moved = {"with eval()": drift(True), "without": drift(False)}
print({name: f"{share:.1%}" for name, share in moved.items()})

# %%
assert moved["with eval()"] == 0 < moved["without"]
far = moved["without"]
teach.predict("02_freezing", "no-eval").compare(
    "much" if far > 0.1 else "little" if far else "still"
)

# %% [markdown]
# **The symptom to remember:** no error, and every weight of the stages is bit-identical, so a check of `model.parameters()`
# finds nothing. But the running averages in `model.state_dict()` have moved, and the features with them: a head that was
# trained on this "frozen" network may not fit the original one. Sometimes one *wants* averages that follow new data (lesson 07
# does it on purpose). Each has its price: in evaluation mode the averages are those of ImageNet's photographs, in train mode
# those of 32 cells, which are noisy.

# %% [markdown]
# ## 4. Where the time goes (6 minutes)
#
# A training step has three parts: **forward**, **backward** (which computes gradients, from the loss towards the image), and
# the **optimizer**'s update. **Predict first:** what saves more time, freezing the first five stages or the last five?

# %%
widgets.predict("02_freezing", "which-end")

# %%
timed = ftlib.load_runs("02_freezing_cost")
parts = ["forward", "backward", "optimizer"]
ms = timed[[f"seconds.{part}" for part in parts]].div(timed.steps, axis=0).mul(1000)
ms.columns = parts
by_arm = ms.join(timed[["task", "arm"]]).groupby(["task", "arm"], sort=False).mean()
by_arm["sum"] = by_arm.sum(axis=1)
by_arm.round(1)

# %%
first, last = by_arm.loc["elpv", "sum"][["frozen-uncached", "frozen-end"]]
teach.predict("02_freezing", "which-end").compare(
    "first" if first < 0.95 * last else "last" if last < 0.95 * first else "equal"
)

# %% [markdown]
# *frozen-uncached* has the first half frozen (five of Lite0's nine stages; MiniLM's embeddings and three of its six layers),
# *frozen-end* about as many at the end. *frozen* is the first of these as `fit` really does it: it also skips the forward
# pass of what is frozen, from the second **epoch** (pass over the data) on; see section 7. Milliseconds a step, one computer,
# nothing else on it; loading the data is left out.
#
# A frozen end spares its own weights their gradients. But the gradient must still pass *through* every frozen stage to reach
# the first ones. Below a frozen beginning nothing learns: there the backward pass simply ends.

# %% [markdown]
# Memory has two parts. Section 9 counts what weights take. The other part is what a layer computes: it is kept for the
# backward pass only if a gradient will come back to it, so only a frozen beginning saves it. Let us count those bytes:


# %%
def kept_for_backward(k: int) -> float:
    """Megabytes that the forward pass of 32 images keeps for the backward pass."""
    model = ftlib.load_model("efficientnet-lite0", task).train()
    strategy = strategies.FreezeFirst(k)
    strategy.before_step(strategy.prepare(model), progress=0.5)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    batch, kept = next(iter(task.loader("train", batch_size=32))), {}

    def keep(t):  # autograd calls it for every tensor that it keeps
        storage = t.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        model(batch)
    return sum(kept.values()) / 1e6


megabytes = {k: round(kept_for_backward(k), 1) for k in (0, 1, 3, 5, 7, 9)}
print("frozen stages: MB kept", megabytes)
assert megabytes[5] < 0.5 * megabytes[0] and megabytes[9] < 0.1 * megabytes[0]

# %% [markdown]
# What the first stages compute is largest, since they see the whole picture; later ones see it ever smaller. So the bottom
# holds few weights, and most of this memory. Now the claim, timed six times:

# %% tags=["nbval-check-output"]
teach.claim("Z1", verdict="supported")

# %% [markdown]
# ## 5. How far up may one freeze? (4 minutes)
#
# The central experiment: freeze the first k stages, each k with its own best learning rate, six seeds, 200 solar cells, 50
# steps. k = 0 is full fine-tuning, k = 5 is called *top* below, k = 9 a linear probe. (k decides two things at once: which
# weights learn, and which BatchNorms keep ImageNet's averages.) **Predict first:** where is balanced accuracy highest?

# %%
widgets.predict("02_freezing", "best-k")

# %%
recorded = ftlib.load_runs("02_freezing").query("purpose == 'measure'")
ks = {"full": 0, "freeze-3": 3, "top": 5, "freeze-7": 7, "probe": 9}
sweep = recorded.query("task == 'elpv' and arm in @ks").copy()
sweep["frozen stages"], sweep["arm"] = sweep.arm.map(ks), "freeze first k"
plots.sweep(
    sweep,
    "test.balanced_accuracy",
    "Solar cells: the first k of nine stages frozen",
    "balanced accuracy on test",
    by="frozen stages",
    log=False,
)

# %%
quality = recorded.query("task == 'elpv' and arm in @ks")
against = ftlib.table(quality, "test.balanced_accuracy", baseline="full")
shown = ["mean", "difference", "diff_low", "diff_high", "p", "detectable", "reading"]
against[shown].round(3)

# %%
highest = ks[against["mean"].idxmax()]
teach.predict("02_freezing", "best-k").compare(
    "none" if highest == 0 else "all" if highest == 9 else "some"
)

# %% [markdown]
# By these intervals nothing can be told apart from full fine-tuning. The means go from .65 (k = 0) to .70 (k = 9), and had we
# shown them alone, you would believe now that freezing helps. Of the four NLLs one interval, the probe's, lies below 0; but among
# four comparisons that is a hint only (p, corrected as in lesson 01, is 0.14).

# %%
nll = quality.groupby("arm", sort=False)["test.nll"].mean()
assert set(against.reading.dropna()) == {"not distinguishable here"}
assert 0.64 < against["mean"]["full"] < 0.67 and 0.69 < against["mean"]["probe"] < 0.71
d = ftlib.paired(quality, "test.nll", "probe", "full")
print(f"NLL, probe − full: {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]")
assert d.high < 0
nll.round(2)

# %% [markdown]
# ## 6. Which end should learn? (3 minutes)
#
# What one often reads: the bottom layers hold general features (edges, textures; word pieces), so leave them; the top layers
# are specific to the old task, so let them adapt. A test with equally many *stages* at both ends: train the **top** (the last
# four stages of Lite0, the last three layers of MiniLM) or the **bottom** (the first four; the first three layers), with the
# head in both cases; what lies between is frozen in both.
#
# Equal in stages is not equal in weights: in Lite0 the top has 56 times as many. MiniLM's layers are equally large. And frozen
# stages keep their BatchNorm averages, so where the bottom learns, the frozen top gets inputs that its averages do not describe.

# %% tags=["nbval-check-output"]
teach.claim("Z0", verdict="open")

# %% [markdown]
# On the reviews the top is ahead by eight points; on the cells the two ends cannot be told apart, although the top has 56 times
# as many weights there. One task of two is not enough for the sentence as it stands. Look also at the lines *beside it*: on
# the reviews, training the top alone scored a little *higher* than training everything (+1.8 points [0.5, 3.2]), but with a
# higher NLL, by 0.34 [0.23, 0.45]: more often right, and surer where it is wrong.

# %%
reviews = ftlib.load_runs("02_freezing")
reviews = reviews.query("purpose == 'measure' and task == 'sentiment/amazon'")
for arm, baseline in (("top", "bottom"), ("top", "full"), ("top", "probe")):
    d = ftlib.paired(reviews, "test.macro_f1", arm, baseline)
    print(f"{arm} − {baseline}: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
    assert d.low > 0

# %% [markdown]
# ## 7. Compute the frozen part once (2 minutes)
#
# What frozen stages give for an image never changes. So `fit` keeps it, from the first epoch on, and trains only the rest:
#
# $$\text{logits} = \text{rest}(h), \qquad h = \text{frozen stages}(\text{image}) \text{, computed once}$$
#
# It is right only while nothing changes: the same weights, evaluation mode, and no **augmentation** (random changes such as
# flips, with which each image is another one each time). `fit` checks that at each step, and computes anew where it must. For
# a linear probe nearly all of the step goes:

# %%
runs = {}
for cache in (False, True):
    torch.manual_seed(0)
    model = ftlib.load_model("efficientnet-lite0", task)
    loader = task.loader("train", shuffle=True)
    probe = strategies.LinearProbe()
    knobs = {"steps": 150 if FULL else 40, "lr": 1e-2, "precision": "float32", "cache": cache}
    _, runs[cache] = ftlib.fit(model, loader, probe, **knobs)
apart = max(abs(a["loss"] - b["loss"]) for a, b in zip(runs[True], runs[False]))
seconds = {c: sum(sum(row["seconds"].values()) for row in runs[c]) for c in runs}
print(f"losses differ by at most {apart:.1e}; {seconds[False]:.1f} s → {seconds[True]:.1f} s")
assert apart < 1e-3

# %% [markdown]
# Same losses, a fraction of the time, and the more epochs the smaller the fraction. This is why trying out a linear probe costs
# next to nothing, and why it is the first thing to try.

# %% [markdown]
# ## 8. The board (4 minutes)
#
# The recorded runs. **Your task:** on the Amazon reviews (`sentiment/amazon`), by how many points of macro-F1 is training the
# *top* ahead of training the *bottom*? Choose *Task* and *Measure* first. Below the figure stand the differences *against
# top*: turn the sign round and take it times 100. Type the number in place of `None` in the cell below the board, and run that
# cell.

# %%
everything_recorded = ftlib.load_runs("02_freezing")
board = widgets.board(everything_recorded, baseline="top")
board

# %%
points_ahead = None  # in points, with a decimal point

teach.check("02_freezing/board", points_ahead)

# %% [markdown]
# ## 9. Change it (6 minutes)
#
# Somebody has 30 MB left for training Lite0 with AdamW in float32. Each *trained* weight takes 16 bytes (the weight, its
# gradient, two running means), each frozen one 4. The head (2,562 weights) is always trained. Which is the **smallest k** that
# fits? Write for example `return 3`; you may compute it on paper. The stages have 928, 896, 13,968, 39,712, 198,480, 446,784,
# 1,652,640, 605,440 and 412,160 weights. (What section 4 counted comes on top; leave it out here.)


# %% tags=["exercise:budget"]
def budget() -> int:
    """The smallest number k of frozen first stages with which training fits into 30 MB."""
    ### BEGIN SOLUTION
    sizes = [928, 896, 13_968, 39_712, 198_480, 446_784, 1_652_640, 605_440, 412_160]
    need = [16 * (sum(sizes[k:]) + 2_562) + 4 * sum(sizes[:k]) for k in range(10)]
    return next(k for k in range(10) if need[k] <= 30e6)
    ### END SOLUTION


# %% tags=["check:budget", "points:1"]
teach.check("02_freezing/budget", budget)

# %% [markdown]
# ## 10. What to take home (4 minutes)

# %%
widgets.quiz("02_freezing", "two-halves", "half-the-network", "cache-augmentation")

# %% [markdown]
# **The decision rule.**
#
# 1. **Try the linear probe first**, and keep its features: then further epochs cost next to nothing. On the cells we could not
#    tell it apart from full fine-tuning.
# 2. **Where it leaves something to gain, train the top too.** On the reviews the top half was higher than the probe, and than
#    training everything.
# 3. **Freeze from the image (or the word) on.** Only a frozen beginning ends the backward pass early, and saves what a forward
#    pass keeps for it; with kept outputs, also the forward pass.
# 4. **Frozen means `eval()` as well**, after each `train()`; and compare `state_dict()`, not only `parameters()`.
# 5. **Say what you count**: weights, seconds or bytes. Five of nine stages of Lite0 are 8 % of the weights,
#    49 % of a step's seconds [43, 54], 77 % of the bytes kept.

# %% [markdown]
# ## 11. Lab: freeze (11 minutes)
#
# Write it yourself, and a little more general than section 2. `model.stages` is a list of modules, `model.head` the head; the
# model is in train mode. Freeze the first `k` stages so that a training step leaves every tensor of their `state_dict()`
# bit-identical, and that they give the same output for the same input (no **dropout**, which sets random numbers to 0 in train
# mode). The other stages and the head go on learning, in train mode: also those that an earlier call with a larger `k` froze.


# %% tags=["exercise:freeze"]
def freeze(model, k: int) -> None:
    ### BEGIN SOLUTION
    for i, stage in enumerate(model.stages):
        stage.requires_grad_(i >= k)
        stage.train(i >= k)
    ### END SOLUTION


# %% tags=["check:freeze", "points:3"]
teach.check("02_freezing/freeze", freeze)

# %% [markdown]
# ## 12. Lab: wake them one by one (11 minutes)
#
# **Gradual unfreezing** (Howard & Ruder, 2018): the head learns alone at first; then the last stage joins, then the one before
# it, and so on. Let `progress` run from 0 to 1 over the training, and cut its first part, `share`, into `stages + 1` equal
# pieces: in the first no stage learns, in the second one, in the third two; in the last piece, and ever after, all of them.
#
# `awake(progress, stages, share)` says how many of the last stages learn. Example: 3 stages, share 0.8, so pieces of 0.2:
# 0 awake up to 0.2, 1 up to 0.4, 2 up to 0.6, then 3.


# %% tags=["exercise:awake"]
def awake(progress: float, stages: int, share: float) -> int:
    ### BEGIN SOLUTION
    return min(int(progress / share * (stages + 1)), stages)
    ### END SOLUTION


# %% tags=["check:awake", "points:3"]
teach.check("02_freezing/awake", awake)

# %% [markdown]
# ## 13. Lab: the cheapest that is good enough (12 minutes)
#
# Investigate the recorded runs: which arm trains the **fewest parameters** and is *not worse than full fine-tuning by more than
# a margin*? "Not distinguishable from full" will not do: a wide interval is not distinguishable from anything. Ask instead that
# the **whole interval** of *arm − full* lies above *−margin* (this is called non-inferiority).
#
# `recorded_runs` is a table of one task, a row a run: `arm`, `seed`, `purpose`, `"parameters.trainable"`, scores such as
# `"test.macro_f1"`. Leave out runs that only chose a rate (`purpose == "tune"`). `ftlib.paired(runs, metric, arm, "full")` has
# `.low` and `.high`. If no cheaper arm will do, the answer is `"full"`. (Trying arms until one passes is several chances to be
# wrong. In earnest, fix the margin before you look, and confirm the arm on new seeds.)


# %% tags=["exercise:cheapest"]
def cheapest(recorded_runs, metric: str, margin: float) -> str:
    ### BEGIN SOLUTION
    measured = recorded_runs[recorded_runs.purpose == "measure"]
    trained = measured.groupby("arm")["parameters.trainable"].max().sort_values()
    for arm in trained.index:
        if arm == "full" or ftlib.paired(measured, metric, arm, "full").low > -margin:
            return arm
    ### END SOLUTION


# %% tags=["check:cheapest", "points:3"]
teach.check("02_freezing/cheapest", cheapest)

# %%
everything = ftlib.load_runs("02_freezing")
for name, metric in (("elpv", "test.balanced_accuracy"), ("sentiment/amazon", "test.macro_f1")):
    for margin in (0.02, 0.05, 0.1):
        try:
            print(name, margin, cheapest(everything[everything.task == name], metric, margin))
        except NotImplementedError:
            print(name, "comes when your function is written")

# %% [markdown]
# ## 14. More questions, and the limits (4 minutes)

# %%
widgets.quiz("02_freezing", "frozen-end", "fresh-head", "not-inferior")

# %% [markdown]
# **Limits.** Two small tasks, two networks, 200 examples, 40 or 50 steps, six seeds; four rates an arm on the cells and five
# on the reviews, chosen on two other seeds (some of these rates were added, for all arms alike, after first results were
# known). Milliseconds are those of one computer. [02 in depth](02_freezing_depth.ipynb) asks whether freezing
# prevents overfitting and what happens far from home. To compare with other strategies, use the board of section 8.
#
# **Sources.** Howard & Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018 (1801.06146). Lee,
# Tang & Lin, *What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning*, 2019 (1911.03090). Lee et al., *Surgical
# Fine-Tuning Improves Adaptation to Distribution Shifts*, ICLR 2023 (2210.11466). Ioffe & Szegedy, *Batch Normalization*,
# ICML 2015 (1502.03167).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
