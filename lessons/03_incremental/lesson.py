# %% [markdown]
# # 03 Incremental learning
#
# **After this lesson you can** teach a network new things and keep most of the old ones. You know why it forgets, you can
# measure how much, and you can choose a memory. You can tell four kinds of new data apart.
# **Use it when** data come bit by bit, and you can't or don't want to train on everything again. **You need**
# [01](01_full.ipynb).
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 9 | 45 | see it forget, understand why, stop it, try it on your own data |
# | **lab** | 10 to 13 | 40 | do it yourself, with checks |
# | **depth** | [another notebook](03_incremental_depth.ipynb) | 37 | EWC and its relatives, all claims, published numbers |
#
# Each section needs only the first code cell. Late? Run that one, and start at any heading. Run cell by cell with
# `Shift+Enter`. *Run All Cells* would show you the answers before the questions.

# %% tags=["setup"]
import time

began = time.perf_counter()

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.tasks import portion
from ftlib.training.machine import model_device, profile, to_device

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
STEPS = 200 if FULL else 40
digits = ftlib.load_task("digits/mnist", n=None if FULL else 500, size=32, seed=0)
low, high = portion(digits, "0,1,2,3,4"), portion(digits, "5,6,7,8,9")
NETWORK = "efficientnet-lite0"
records = ftlib.load_records("03_incremental")


def right(model, task) -> float:
    """The share of right answers on validation."""
    return ftlib.evaluate(model, task.loader("validation", batch_size=64))["accuracy"]


# %% [markdown]
# ## 1. Two lessons for one network (7 minutes)
#
# We teach a network the digits 0 to 4. Then we teach the same network 5 to 9, with new images only. **Predict first.**
# Choose an answer, press *Commit my prediction*, and go on.

# %%
widgets.predict("03_incremental", "after-five-to-nine")


# %%
def learn_both(strategy):
    torch.manual_seed(0)
    model = ftlib.load_model(NETWORK, digits)  # its head has ten answers
    scores = []
    for part in (low, high):  # first 0 to 4, then 5 to 9
        loader = part.loader("train", shuffle=True)
        model, _ = ftlib.fit(model, loader, strategy, steps=STEPS, lr=1e-3)
        found = [ftlib.evaluate(model, task.loader("validation")) for task in (low, high)]
        scores.append([one["accuracy"] for one in found])
    rows, columns = ["after 0 to 4", "after 5 to 9"], ["0 to 4", "5 to 9"]
    return model, pd.DataFrame(scores, rows, columns)


forgetful, table = learn_both(strategies.Full())
lost = table["0 to 4"].iloc[0] - table["0 to 4"].iloc[1]
assert lost > 0.5
table.round(2)

# %% [markdown]
# After 5 to 9, the skill on 0 to 4 is gone. How does it classify a 3 now? Put another digit from 0 to 4 in place of the 3 if you like. The tiles are its most
# confident mistakes.

# %%
my_digit = "3"
asked = portion(digits, my_digit)
answers = ftlib.predict(forgetful, asked.splits["validation"].inputs)
said, sure = answers["label"].astype(int), answers["probability"]
print(f"{(said >= 5).mean():.0%} of the {my_digit}s are called 5 to 9 now")
print(f"and it is {sure.mean():.0%} sure, in the mean over all of them")
plots.mistakes(forgetful, asked, n=6)

# %%
new_class = (said >= 5).mean() > 0.8
teach.predict("03_incremental", "after-five-to-nine").compare("new" if new_class else "three")

# %% [markdown]
# This is [catastrophic forgetting](../docs/glossary.md#catastrophic-forgetting). Now the same again, but the network
# keeps **40** of the old images, eight per digit. It trains on them beside the new ones. This is called
# [replay](../docs/glossary.md#replay).

# %%
mindful, kept = learn_both(strategies.Replay(size=40, keep="balanced"))
print(kept.round(2))
before, after = table["0 to 4"].iloc[1], kept["0 to 4"].iloc[1]
assert after > before + 0.25
plots.before_after(
    before,
    after,
    "Digits 0 to 4, after learning 5 to 9",
    "right answers",
    names=("nothing kept", "40 images kept"),
)

# %% [markdown]
# Eight images per digit bring a good part of the skill back, and 5 to 9 are learned about as well. Section 7 shows what more
# of them bring.
#
# **What people say, and what we measured.** Skim this table, and come back to it in section 9. *The opposite* means that the
# saying was wrong here.

# %% tags=["nbval-check-output"]
teach.card("03_incremental")

# %% [markdown]
# ## 2. Why it forgets (2 minutes)
#
# The loss is $-\log p_y$, where $p_y$ is the probability that the network gives to the right answer. Its gradient with
# respect to the [logit](../docs/glossary.md#logits) of answer $k$ is $p_k$, and $p_k - 1$ for the right answer. An example: a 7 with $p_7 = 0.1$ has the
# gradient $-0.9$ at the logit of 7. A step goes *against* the gradient. So each example pulls up one logit and **pushes
# down all others**. Here is one batch of new digits. A positive number means that the step lowers this logit.

# %%
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, digits)
model, _ = ftlib.fit(
    model, low.loader("train", shuffle=True), strategies.Full(), steps=STEPS, lr=1e-3
)
batch = next(iter(high.loader("train", batch_size=64, shuffle=True)))
batch = to_device(batch, model_device(model))
logits = model(batch).detach().requires_grad_()
F.cross_entropy(logits, batch["labels"]).backward()
push = pd.Series(logits.grad.sum(0).cpu().numpy(), name="gradient of the logit")
assert (push[:5] > 0).all() and (push[5:] < 0).all()
push.round(3).to_frame().T

# %% [markdown]
# 0 to 4 are all positive, so the step lowers them. 5 to 9 are all negative. Every image here pushes the old answers down, and
# none pulls them up. Images share many features, so the answers to an image of a 3 are pushed, too.
#
# **The remedy follows.** Something must pull the old answers up again, or hold what they need. Most methods are of one of
# these kinds.

# %%
teach.diagram("03_incremental", "remember")

# %% [markdown]
# ## 3. The matrix R (8 minutes)
#
# To measure forgetting we need more than one final score. Train on task 1, then on task 2, and so on. After task $i$,
# score the network on **every** task $j$. That is $R_{ij}$. Here are five pairs of digits, 100 images and 20 steps each,
# with nothing kept. Row 3 was measured after the third pair. Each number is a mean over six recorded seeds.


# %%
def mean_matrix(arm: str) -> pd.DataFrame:
    of_arm = [
        r for r in records if r["spec"]["arm"] == arm and r["spec"]["purpose"] == "measure"
    ]
    found = [ftlib.runs.matrix(r) for r in of_arm]
    mean = sum(found) / len(found)
    mean.columns = ["0,1", "2,3", "4,5", "6,7", "8,9"]
    return mean


R = mean_matrix("naive")
R.round(2)

# %% tags=["guard"]
assert all(R.iloc[4, j] < R.iloc[j, j] - 0.1 for j in range(4))

# %% [markdown]
# Read down a column. Most columns are highest on the diagonal, just after their task, and then they fall. The pair 4,5 is
# best one task later. Four numbers sum it up.
#
# - **Average accuracy** is the mean of the last row.
# - **Learning accuracy** is the mean of the diagonal. It says how well new tasks are learned.
# - **Backward transfer** is the last score minus the one right after training, averaged over all tasks but the last.
# - **Forgetting** is the best score in any row before the last, minus the last score, averaged over all tasks but the last
#   (Chaudhry et al., 2018).

# %% [markdown]
# **Change it:** `(np.diag(R) - R[-1])[:-1].mean()` is the fall since each task's own training. Change it into
# forgetting. R may be a list of lists, so begin with `R = np.array(R)`. Put your code in place of the lines
# `# YOUR CODE HERE` and `raise NotImplementedError`. Run that cell, then the check below it.


# %% tags=["exercise:forgetting"]
def forgetting(R) -> float:
    """Mean over all tasks but the last of (best earlier score − last score). R is (T, T)."""
    ### BEGIN SOLUTION
    old = range(len(R) - 1)
    losses = [max(row[j] for row in R[:-1]) - R[-1][j] for j in old]
    return sum(losses) / len(losses)
    ### END SOLUTION


# %% tags=["check:forgetting", "points:1"]
teach.check("03_incremental/forgetting", forgetting)

# %%
each = [ftlib.runs.matrix(r).to_numpy() for r in records if r["spec"]["arm"] == "naive"]
summary = pd.DataFrame([ftlib.metrics.forgetting(one) for one in each])
summary[["average", "learning", "backward", "forgetting"]].mean().round(2).to_frame("mean").T

# %% [markdown]
# A new pair reached 58 % right after its own training, and nearly all of that was lost again. So read forgetting beside
# learning. A task that was hardly learned has little to forget.

# %% [markdown]
# ## 4. Replay by hand (3 minutes)
#
# Replay needs a list and one line. After the first task, some examples go into a *buffer*. From then on each batch gets
# old examples from it. Here are four steps of the second task in plain PyTorch. The buffer comes from the library, and we
# use all of it in each step.

# %%
from ftlib.strategies.rehearsal import stacked

replay = strategies.Replay(size=20, batch_size=20)
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, digits)
first = low.loader("train", shuffle=True)
model, _ = ftlib.fit(model, first, replay, steps=8, lr=1e-3, precision="float32")
start = {name: value.clone() for name, value in model.state_dict().items()}
device = model_device(model)
new_batches = list(high.loader("train", batch_size=20))[:4]
old = stacked(replay.rows)  # 20 images of 0 to 4, as one batch

# %% tags=["by-hand"]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
model.train()
losses = []
for new in new_batches:
    both = {name: torch.cat([new[name], old[name]]).to(device) for name in ("pixels", "labels")}
    optimizer.zero_grad()
    loss = F.cross_entropy(model(both), both["labels"])  # old and new count alike
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print([round(x, 3) for x in losses])

# %% [markdown]
# The line with `torch.cat` is all of replay. The library's `Replay` does the same from the same weights. It puts
# the images in another order, so sums are rounded differently, and each step makes that difference larger.

# %%
model.load_state_dict(start)
model, history = ftlib.fit(
    model, new_batches, replay, steps=4, lr=1e-3, precision="float32", max_norm=1e9
)
print([round(row["loss"], 3) for row in history])
near = 2e-2 if device.type == "cpu" else 0.1  # the order of a batch changes rounding
assert all(abs(row["loss"] - x) < near for row, x in zip(history, losses))

# %% [markdown]
# Which examples should stay? The usual rule is *reservoir sampling*. It gives every example that ever came the same
# chance, and it needs no knowledge of how many will come. You write it in section 10. With few places, `keep="balanced"`
# gives each class the same number of places.

# %% [markdown]
# ## 5. Four kinds of new data (5 minutes)
#
# "New data in portions" can mean four things. Ask which one you have.
#
# | what changes from portion to portion | name | our example |
# |---|---|---|
# | nothing, the data are only divided | *data-incremental* | random fifths of the digits |
# | new answers come | [class-incremental](../docs/glossary.md#class-incremental) | 0 and 1, then 2 and 3, … |
# | new answers come, but you are told which pair it is | *task-incremental* | "0 or 1?", then "2 or 3?" |
# | the same question, other inputs | *domain-incremental* | tweets, then reviews, then news |
#
# The last three names are those of van de Ven et al. (2022). The figure shows the first three rows, beside training on all
# digits at once. All runs see the same 500 images and take the same 100 steps. If the pair is told, it is told in the test,
# too. Which order makes the network forget?

# %%
widgets.predict("03_incremental", "which-order")

# %%
runs = ftlib.runs.frame(records).query("purpose == 'measure'")
names = {"joint": "all at once", "portions": "random portions", "naive": "new classes"}
names["naive told"] = "new classes, told which pair"
orders = runs[runs.arm.isin(names)].assign(arm=lambda rows: rows.arm.map(names))
plots.scores(
    orders,
    "sequence.average",
    "Same images, same steps, another order",
    "right answers on validation",
)

# %%
mean = orders.groupby("arm")["sequence.average"].mean()
print(mean.round(2).to_dict())
forgets = mean["new classes"] < mean["all at once"] - 0.1
harmless = mean["random portions"] > mean["all at once"] - 0.1
teach.predict("03_incremental", "which-order").compare(
    "classes" if forgets and harmless else "both"
)

# %% [markdown]
# A small mark is one seed, the large one the mean, and the bar a 95 % interval. Random portions cost some points here. *New
# classes* in each portion cost nearly everything. Being told the pair makes the question easier, because the old answers
# don't compete with the new ones. So check the scenario before you compare two tables.
#
# People say that portions *avoid* forgetting. The box asks how many right answers portions cost, compared with all data at
# once, on other seeds. In its last row *yes* means that portions lose less than 2 points.

# %% tags=["nbval-check-output"]
teach.claim("I1", verdict="it depends")

# %% [markdown]
# ## 6. Break it (3 minutes)
#
# A buffer should hold *training* examples. Somebody fills it from the wrong loader, with images that the old task is
# scored on. **Predict first:**

# %%
widgets.predict("03_incremental", "leak")


# %%
def small_task(images):
    """Some images as a task of their own."""
    return ftlib.tasks.Task("some", "image", digits.labels, "accuracy", {"validation": images})


leaky = strategies.Replay(size=100)
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, digits)
model, _ = ftlib.fit(model, low.loader("train", shuffle=True), leaky, steps=STEPS, lr=1e-3)
held_out = low.splits["validation"]  # images that the network is scored on
mixed = np.random.default_rng(0).permutation(len(held_out))
seen, unseen = (small_task(held_out.take(some)) for some in (mixed[:100], mixed[100:200]))
leaky.rows = []  # the bug: the buffer is filled again, from the wrong images
for batch in seen.loader("validation"):
    leaky.rows += strategies.rehearsal.rows_of(batch)
model, _ = ftlib.fit(model, high.loader("train", shuffle=True), leaky, steps=STEPS, lr=1e-3)
measured, true = right(model, seen), right(model, unseen)
print(f"old digits: {measured:.0%} of the images in the buffer, {true:.0%} of others")

# %%
too_good = measured > true + 0.05
assert too_good
teach.predict("03_incremental", "leak").compare("better" if too_good else "nothing")

# %% [markdown]
# **The symptom to remember:** nothing crashes, forgetting seems to be solved, and on new data the network is worse than
# its score says. If replay looks too good, ask which images are in the buffer. Each example has an `index` for that.

# %% [markdown]
# ## 7. How large a buffer? (6 minutes)
#
# The heat map is R again. Choose a method, a size of the buffer, and how many tasks have been learned. *DER++* also
# remembers what the network said of each stored image. *LwF* stores no image. It keeps the old network, and uses its
# answers on the new images as targets.
#
# **Your task:** which is the smallest buffer that keeps forgetting under five points after the fifth task? If none does,
# answer "none".

# %%
lab = widgets.of_lesson("03_incremental").matrix(
    records,
    methods={
        "nothing is kept": "naive",
        "replay": {n: f"replay-{n}" for n in (20, 50, 100, 200)},
        "DER++": {200: "derpp"},
        "LwF": "lwf",
    },
)
lab

# %%
smallest = None  # images, for example 30, or "none"

teach.check("03_incremental/buffer", smallest)

# %% [markdown]
# With 100 images the mean forgetting is about zero. Is the problem solved? Look at the last row of R, and at the mean over
# all ten digits.

# %%
sizes = ["naive", "replay-20", "replay-50", "replay-100", "replay-200"]
measured = [r for r in records if r["spec"]["purpose"] == "measure"]
final = pd.DataFrame(index=sizes, columns=["0,1", "2,3", "4,5", "6,7", "8,9"], dtype=float)
for arm in sizes:
    of_arm = [ftlib.runs.matrix(r).to_numpy() for r in measured if r["spec"]["arm"] == arm]
    final.loc[arm] = np.mean(of_arm, axis=0)[-1]
final["average"] = final.mean(axis=1)
measured_runs = ftlib.runs.frame(records).query("purpose == 'measure'")
joint = measured_runs[measured_runs.arm == "joint"]["sequence.average"].mean()
print(f"all digits at once: {joint:.2f}")
final.round(2)

# %% tags=["guard"]
assert final["8,9"]["replay-200"] < 0.2 < final["8,9"]["naive"]
assert final["average"]["replay-200"] < joint - 0.05

# %% [markdown]
# A larger buffer protects the old pairs, and 8 and 9 are hardly learned in these 20 steps. So look at forgetting *and* at
# learning. If learning is low, try more steps per portion. (A pair can still improve later, from the buffer. Then forgetting
# is below zero.) Replay isn't free either: a step trains on up to twice as many images.
#
# LwF (*learning without forgetting*) forgets less than naive training, but it also learns less. [In
# depth](03_incremental_depth.ipynb) shows when such methods do better.

# %% [markdown]
# ## 8. Your own data, in two portions (3 minutes)
#
# Put your folder in place of ours. The last class is the new task, and all others are the old one. Your data change in
# another way? Load two folders with the same classes, and put these two tasks in place of `old` and `new`.

# %%
my_images = ftlib.tasks.example("folder")  # or "C:/photos/birds", with one folder per class
mine = ftlib.load_task("folder", path=my_images, size=64, seed=0)
old, new = portion(mine, ",".join(mine.labels[:-1])), portion(mine, mine.labels[-1])
print("old:", mine.labels[:-1], "new:", mine.labels[-1])


# %%
def on_mine(strategy):
    torch.manual_seed(0)
    model = ftlib.load_model(NETWORK, mine)
    for part in (old, new):
        model, _ = ftlib.fit(
            model, part.loader("train", shuffle=True), strategy, steps=20, lr=1e-3
        )
    return model


memory = strategies.Replay(size=20, keep="balanced")
models = {"nothing kept": on_mine(strategies.Full()), "replay": on_mine(memory)}
pd.DataFrame(
    {name: {"old": right(m, old), "new": right(m, new)} for name, m in models.items()}
).round(2)

# %% [markdown]
# The table compares both networks on validation. The matrix below shows the one with replay on test. In the rows of the old
# classes, the last column counts images that are now taken for the new class. **The two can disagree.** Don't trust a perfect
# score on the few images of our validation split.

# %%
plots.confusion(models["replay"], mine, split="test")

# %% [markdown]
# Note two things. The **strategy object** holds the buffer, so give the same object to each `fit`. A new one begins with an
# empty buffer. And `save` writes the network only, so save the buffer too. Next month, load both and go on.

# %%
ftlib.save(models["replay"], "my_models/remembers")
torch.save(memory.state_dict(), "my_models/remembers_memory.pt")
next_month = strategies.Replay(size=20, keep="balanced")
next_month.load_state_dict(torch.load("my_models/remembers_memory.pt", weights_only=True))
print(len(next_month.rows), "remembered images")

# %% [markdown]
# The head has one output per class. Name all classes that will come at the beginning, as here. For one that nobody expected,
# [03 in depth](03_incremental_depth.ipynb) makes the head larger.

# %% [markdown]
# ## 9. What it costs, and what to take home (5 minutes)
#
# The alternative is to train on all data again after each portion. Is that so bad?

# %% tags=["nbval-check-output"]
teach.claim("I2", verdict="it depends")

# %% [markdown]
# Count images as well. Replay takes 100 steps and trains on 5,760 images. All data again takes 300 steps and 9,600 images.
# What you save in training, you lose in right answers.

# %%
widgets.quiz("03_incremental", "scenarios", "task-id", "reservoir-why")

# %% [markdown]
# **The decision rule.**
# 1. **Measure the old task** after each portion. Keep R.
# 2. **Ask what changes.** Random portions cost far less than new classes, which need a memory.
# 3. **Keep some old examples** and mix them in. Begin with ten per class. See what more of them bring, for the old tasks and
#    for the newest one.
# 4. **You may not keep any?** With new classes, use class means, `strategies.NearestClassMean()` and `steps=0`. Give the same
#    object to each portion. Try EWC or LwF only if the task is told.
# 5. **You can store everything and have time?** Train on all of it again. That is still the best.

# %% [markdown]
# ## 10. Lab: a fair buffer (12 minutes)
#
# A buffer has `size` places. The examples come one by one, and nobody knows how many will come. In the end each example
# should be in the buffer with the same probability. **Reservoir sampling** (Vitter, 1985) does this.
#
# - While there is room, append the example.
# - After that, example number t of the stream gets a place with probability size / t. It takes the place of a random old
#   example.
#
# Write `reservoir`. It offers one example to the list `buffer`, and changes that list itself. `seen` says how many
# examples came **before** this one, so it is 0 for the first. `rng.randrange(n)` draws a number from 0 to n − 1, all with
# the same probability. The checker sends thousands of streams through your buffer. It also tries a buffer of size 0.


# %% tags=["exercise:reservoir"]
def reservoir(buffer: list, size: int, seen: int, example, rng) -> None:
    ### BEGIN SOLUTION
    if len(buffer) < size:
        buffer.append(example)
    elif (place := rng.randrange(seen + 1)) < size:
        buffer[place] = example
    ### END SOLUTION


# %% tags=["check:reservoir", "points:3"]
teach.check("03_incremental/reservoir", reservoir)

# %%
import random

stream = [digit for pair in ("01", "23", "45", "67", "89") for digit in pair * 50]
buffer, rng = [], random.Random(0)
try:
    for seen, digit in enumerate(stream):
        reservoir(buffer, 50, seen, digit, rng)
    kept = {"reservoir": buffer, "the last 50": stream[-50:]}
    print({name: {d: rows.count(d) for d in "0123456789"} for name, rows in kept.items()})
except NotImplementedError:
    print("waits for your function")

# %% [markdown]
# ## 11. Lab: hold what mattered (11 minutes)
#
# No example may be stored. **Elastic weight consolidation** (EWC, Kirkpatrick et al., 2017) holds the weights instead.
# After a task it saves the weights $\theta^*$ and a number F for each weight, the *Fisher information*. F is large where
# a small change of the weight would change the answers a lot. In the next tasks this penalty is added to the loss:
#
# $$\tfrac{\lambda}{2}\,\sum_i F_i\,(\theta_i - \theta^*_i)^2$$
#
# Write `ewc`. `fisher` holds F and `anchor` holds $\theta^*$, both as tensors by the names of `model.named_parameters()`.
# `strength` is λ. Return a tensor with one number, so that training can follow its gradient. Skip each name that the
# model has and `anchor` doesn't, or the other way round. That happens when a head is new or gone.


# %% tags=["exercise:ewc"]
def ewc(model, fisher: dict, anchor: dict, strength: float) -> torch.Tensor:
    ### BEGIN SOLUTION
    terms = [
        (fisher[name] * (p - anchor[name]).square()).sum()
        for name, p in model.named_parameters()
        if name in anchor
    ]
    return strength / 2 * sum(terms)
    ### END SOLUTION


# %% tags=["check:ewc", "points:3"]
teach.check("03_incremental/ewc", ewc)

# %% [markdown]
# ## 12. Lab: which task is forgotten most? (12 minutes)
#
# Investigate the recorded runs. A task that is learned early has more time to be forgotten, and some digits look alike.
# **Which task loses most?**
#
# Write `hardest`. `records` is a list of runs as `ftlib.load_records` gives them. `record["spec"]` holds the `"arm"` (the
# method) and the `"purpose"`. Take the runs of one arm whose purpose is `"measure"`. `ftlib.runs.matrix(record)` gives R as
# a table, and `.to_numpy()` makes an array of it. A loss is the best earlier score minus the last one, as in
# `forgetting`. Take the mean loss of each task over the seeds, and leave the last task out. Return the number of the task
# with the largest mean loss. The first task is number 1.


# %% tags=["exercise:hardest"]
def hardest(records: list, arm: str) -> int:
    ### BEGIN SOLUTION
    losses = []
    for record in records:
        spec = record["spec"]
        if spec["arm"] == arm and spec["purpose"] == "measure":
            R = ftlib.runs.matrix(record).to_numpy()
            losses.append(R[:-1, :-1].max(0) - R[-1, :-1])
    mean = sum(losses) / len(losses)
    return int(mean.argmax()) + 1
    ### END SOLUTION


# %% tags=["check:hardest", "points:3"]
teach.check("03_incremental/hardest", hardest)

# %%
for arm in ("naive", "replay-50", "lwf"):
    try:
        print(arm, hardest(records, arm))
    except NotImplementedError:
        print(arm, "waits for your function")

# %% [markdown]
# With nothing kept, the first pairs lose almost everything, so the largest loss only says which pair was learned best. With
# replay the number says more. Try giving such a task more places in the buffer, and measure.

# %% [markdown]
# ## 13. More questions, and the limits (5 minutes)

# %%
widgets.quiz("03_incremental", "lambda-zero", "backward", "replay-privacy", "stability-gap")

# %% [markdown]
# **Limits.** Small images, one network, five tasks and short training. In every study that we know, naive training on new
# classes forgets the old ones. How much the remedies help depends on the data. Use the board of [01](01_full.ipynb) to compare with
# other strategies. [03 in depth](03_incremental_depth.ipynb) has EWC and its relatives, a slowly changing stream, and
# published tables.
#
# **Sources.** McCloskey & Cohen, *Catastrophic Interference in Connectionist Networks*, 1989. van de Ven et al., *Three
# Types of Incremental Learning*, Nature Machine Intelligence 2022. Chaudhry et al., *On Tiny Episodic Memories in
# Continual Learning*, 2019 (1902.10486). Chaudhry et al., *Riemannian Walk for Incremental Learning*, ECCV 2018
# (1801.10112). Vitter, *Random Sampling with a Reservoir*, 1985. Kirkpatrick et al., *Overcoming Catastrophic
# Forgetting in Neural Networks*, PNAS 2017 (1612.00796).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
