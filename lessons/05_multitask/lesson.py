# %% [markdown]
# # 05 Multi-task learning
#
# **After this lesson you can** train one network that answers several questions. You know what its heads share, how the
# tasks' gradients meet, and why a task can hurt another one. You can tell shared knowledge from mere regularisation.
# **Use it when** you need several answers about the same inputs, or have a related task with many labels. **You need**
# [01](01_full.ipynb).
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 8 | 45 | train two heads, find conflicts, judge them, try it on your own data |
# | **lab** | 9 to 12 | 39 | do it yourself, with checks |
# | **depth** | [another notebook](05_multitask_depth.ipynb) | 33 | adaptive weights, controls, more pairs, all claims |
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
from ftlib.tasks import question
from ftlib.training.machine import model_device, profile, to_device

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
STEPS = 300 if FULL else 50
NETWORK = "efficientnet-lite0"
cells = ftlib.load_task("elpv", n=None if FULL else 200, size=64, held_out=300, seed=0)
kind = question(cells, "type")  # the same cells, asked for their type
BOTH = {cells.name: 2, kind.name: 2}  # the tasks, and the outputs of their heads

# %% [markdown]
# ## 1. Two answers for the price of one (8 minutes)
#
# A photograph shows a solar cell. Is it **defective**? And is it made of one crystal (*mono*) or of many (*poly*)? One
# network will answer both. It has one trunk that reads the image, and a small [head](../docs/glossary.md#head) per
# question.

# %%
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, cells)
strategy = strategies.MultiTask(tasks=BOTH)
asked = {"defective or not": cells, "mono or poly": kind}


def scores(model) -> dict[str, float]:
    loaders = {name: task.loader("validation", batch_size=64) for name, task in asked.items()}
    return {
        name: ftlib.evaluate(model, loader)["balanced_accuracy"]
        for name, loader in loaders.items()
    }


loader = cells.loader("train", shuffle=True)  # a batch holds the labels of both questions
before = scores(strategy.prepare(model))
model, _ = ftlib.fit(model, loader, strategy, steps=STEPS, lr=1e-3)
after = scores(model)
(100 * pd.DataFrame({"before (%)": before, "after (%)": after})).round()

# %% tags=["guard"]
assert after["mono or poly"] > 0.8 and after["defective or not"] > 0.55

# %% [markdown]
# The scores are [balanced accuracies](../docs/glossary.md#balanced-accuracy). Guessing gives 50 % on both. One question is
# easy, and the other one is hard even for experts. **Choose cells of your own.** Put other numbers from 0 to 299 in place of
# ours. The network hasn't trained on these cells.

# %%
my_cells = [3, 40, 77, 120, 205, 268]
held_out = cells.splits["validation"]
pick = [number % len(held_out) for number in my_cells]
images = held_out.inputs[pick]
answers = pd.DataFrame({"cell": my_cells})
for name, task in asked.items():
    said = ftlib.predict(model, images, task=task)
    truth = [task.labels[int(y)] for y in task.splits["validation"].labels[pick]]
    answers[name] = [f"{a} ({p:.0%})" for a, p in zip(said.label, said.probability)]
    answers[f"truth: {name}"] = truth
answers

# %%
tiles = [image[0].numpy().repeat(2, 0).repeat(2, 1) for image in images]  # twice as large
strip = np.concatenate([np.pad(tile, 4, constant_values=255) for tile in tiles], 1)
said = [
    f"Cell {row.cell}: {row['defective or not']} and {row['mono or poly']}, in truth "
    f"{row['truth: defective or not']} and {row['truth: mono or poly']}."
    for _, row in answers.iterrows()
]
plots.image(strip, f"The cells from left to right. {' '.join(said)}")

# %% [markdown]
# The cells from left to right. Change the numbers until you catch a mistake. A mono cell has cut
# corners, a poly cell a pattern of crystals. A defect may be one faint line. What does the second answer cost? **Predict first.** Choose an answer, press *Commit my prediction*, and go on.

# %%
widgets.predict("05_multitask", "price")

# %%
taken = {"one head": np.inf, "two heads": np.inf}
for _ in range(2):  # in turn, and the quickest step counts: other programs only add time
    for name, weights in (("one head", {kind.name: 0}), ("two heads", {})):
        torch.manual_seed(0)
        network = ftlib.load_model(NETWORK, cells)
        trained = strategies.MultiTask(
            tasks=BOTH, weights=weights
        )  # weight 0 leaves a task out
        _, history = ftlib.fit(network, loader, trained, steps=6, lr=1e-3, verbose=False)
        steps = [row["seconds"]["forward"] + row["seconds"]["backward"] for row in history]
        taken[name] = min(taken[name], *steps)
extra = sum(p.numel() for p in model.head[kind.name].parameters())
whole = sum(p.numel() for p in model.parameters())
print({name: f"{seconds:.2f} s per step" for name, seconds in taken.items()})
print(f"the second head has {extra:,} of {whole:,} parameters")
assert extra == 2 * 1280 + 2

# %%
ratio = taken["two heads"] / taken["one head"]
said = "same" if ratio < 1.25 else "half" if ratio < 1.75 else "double"
teach.predict("05_multitask", "price").compare(said)

# %% [markdown]
# Nearly all parameters and nearly all of the time are in the trunk, and it runs once. Two networks would need twice as much.
# If you need both answers, this is reason enough.
#
# The table shows **what people say about multi-task learning**, what we measured, and what you can do. Read its first and last columns now.

# %% tags=["nbval-check-output"]
teach.card("05_multitask")

# %% [markdown]
# ## 2. Two heads by hand (4 minutes)

# %%
teach.diagram("05_multitask", "heads")

# %% [markdown]
# The loss is a weighted sum, with one term per task:
#
# $$L = w_1 L_1 + w_2 L_2$$
#
# Each term is the mean loss of one task. We begin with equal weights, $w_1 = w_2 = 1$. This is the baseline that
# everything else must beat. Here are four steps in plain PyTorch. `prepare` gives the network its second head.

# %% tags=["by-hand"]
torch.manual_seed(0)
strategy = strategies.MultiTask(tasks=BOTH)
model = strategy.prepare(ftlib.load_model(NETWORK, cells))
start = {name: value.clone() for name, value in model.state_dict().items()}
defect_head, type_head = model.head.values()
device = model_device(model)
batches = list(cells.loader("train", batch_size=32, shuffle=True))[:4]
model.to(memory_format=torch.channels_last).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)  # as `fit` has it
losses = []
for batch in batches:
    optimizer.zero_grad()
    batch = to_device(batch, device)
    features = model.features(batch)  # (32, 1280), once for both heads
    defect = F.cross_entropy(defect_head(features), batch["labels"])
    crystal = F.cross_entropy(type_head(features), batch["type"])
    loss = 1.0 * defect + 1.0 * crystal
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print([round(x, 3) for x in losses])

# %% [markdown]
# The library's `MultiTask` does the same from the same weights.

# %%
model.load_state_dict(start)
model, history = ftlib.fit(
    model, batches, strategy, steps=4, lr=3e-4, precision="float32", max_norm=1e9
)
print([round(row["loss"], 3) for row in history])
near = 1e-2 if device.type == "cpu" else 0.1  # another order of additions rounds otherwise
assert all(abs(row["loss"] - x) < near for row, x in zip(history, losses))

# %% [markdown]
# Who gets which [gradient](../docs/glossary.md#gradient)? We send one question's loss backward and print the length of the
# gradient in each part.

# %%
batch = to_device(batches[0], device)
model.zero_grad()
F.cross_entropy(model({**batch, "task": kind.name}), batch["type"]).backward()
found = {"trunk": model.stages, "defect head": model.head[cells.name]}
found["type head"] = model.head[kind.name]
lengths = {
    name: sum(p.grad.pow(2).sum().item() for p in part.parameters() if p.grad is not None)
    ** 0.5
    for name, part in found.items()
}
print({name: round(length, 3) for name, length in lengths.items()})
assert lengths["defect head"] == 0 < min(lengths["trunk"], lengths["type head"])

# %% [markdown]
# The question about the type moves its own head and the trunk. The other head gets exactly zero. So tasks meet in the
# trunk, and only there they can help or hurt each other. Look for conflicts in the shared weights alone.

# %% [markdown]
# ## 3. Break it (3 minutes)
#
# Somebody lets a head end in a softmax, since probabilities look tidy. Cross-entropy takes a softmax of its own. **Predict
# first:**

# %%
widgets.predict("05_multitask", "softmax-twice")


# %%
class SoftmaxHead(torch.nn.Linear):
    def forward(self, features):
        return super().forward(features).softmax(-1)  # the bug


curves, right = {}, {}
for name in ("as it should be", "softmax in the type head"):
    torch.manual_seed(0)
    model = strategies.MultiTask(tasks=BOTH).prepare(ftlib.load_model(NETWORK, cells))
    if name != "as it should be":
        model.head[kind.name].__class__ = SoftmaxHead
    parts = ftlib.combine(strategies.FreezeFirst(k=9), strategies.MultiTask(tasks=BOTH))
    loader = cells.loader("train", shuffle=True)
    model, history = ftlib.fit(model, loader, parts, steps=60, lr=0.01, verbose=False)
    curves[name] = [{**row, "loss": row["terms"][kind.name]} for row in history]
    right[name] = ftlib.evaluate(model, kind.loader("validation"))["balanced_accuracy"]
plots.losses(curves, "The loss of the type, with and without the bug")

# %%
sound, bug = ([row["loss"] for row in rows] for rows in curves.values())
floor = np.log(1 + np.exp(-1))  # the best that scores between 0 and 1 allow for two classes
print(f"lowest loss: {min(sound):.3f}, with the bug {min(bug):.3f}, the floor {floor:.3f}")
print("right answers of the type, in %:", {name: round(100 * x) for name, x in right.items()})
assert min(bug) > floor - 1e-6 > min(sound) and 0.31 < floor < 0.32
teach.predict("05_multitask", "softmax-twice").compare("floor" if min(bug) > 0.3 else "nothing")

# %% [markdown]
# A probability is between 0 and 1. Used as logits, two probabilities differ by at most 1. So even a perfect head keeps a
# loss of 0.31. **The symptom to remember:** no error, good answers, and a loss that stops at a floor. The total loss holds the
# other task as well, so look at **each task's own loss**. It is in `history[…]["terms"]`, times its weight.
# Two more bugs wait in [depth](05_multitask_depth.ipynb).

# %% [markdown]
# ## 4. When gradients disagree (4 minutes)
#
# Each task has its own gradient on the trunk, $g_1$ and $g_2$. Their *cosine* is 1 where they agree and −1 where they point
# in opposite directions: $\cos = g_1 \cdot g_2 \,/\, (|g_1||g_2|)$. In this section a gradient
# points to where its task **improves**. Below zero the tasks are **in conflict**: a small step that improves one makes the
# other worse. *PCGrad* (Yu et al., 2020), also called gradient surgery, removes from each gradient the part that points
# against the other one:
#
# $$g_1 \leftarrow g_1 - \frac{g_1 \cdot g_2}{g_2 \cdot g_2}\, g_2 \quad\text{if } g_1 \cdot g_2 < 0$$
#
# **Predict first:**

# %%
widgets.predict("05_multitask", "surgery")

# %% tags=["by-hand"]
g1, g2 = torch.tensor([3.0, 0.0]), torch.tensor([-1.0, 1.0])  # a long and a short one


def without_conflict(g, other):
    """The part of g that doesn't point against the other gradient."""
    return g - (g @ other) / (other @ other) * other if g @ other < 0 else g


plain = g1 + g2
careful = without_conflict(g1, g2) + without_conflict(g2, g1)
table = pd.DataFrame({"sum": plain, "PCGrad": careful}, ["x", "y"]).T
table["helps task 1"] = [float(step @ g1) for step in (plain, careful)]
table["helps task 2"] = [float(step @ g2) for step in (plain, careful)]
table

# %% [markdown]
# A step helps a task if its product with that
# task's gradient is positive. The plain sum follows the long gradient and hurts task 2. After the surgery it hurts neither.

# %%
hurts, safe = (table["helps task 2"] < 0).tolist()
assert hurts and not safe and table.loc["PCGrad", "helps task 1"] > 0
teach.predict("05_multitask", "surgery").compare("neither" if not safe else "short")

# %% [markdown]
# In the library PCGrad is one more part. Its method gives the same vector.

# %%
ours = strategies.PCGrad().gradient({"a": {"w": g1}, "b": {"w": g2}}, {})["w"]
print(ours.tolist())
assert torch.allclose(ours, careful)
strategies_with_surgery = ftlib.combine(strategies.MultiTask(BOTH), strategies.PCGrad())

# %% [markdown]
# Give the last line to `fit`. It costs one backward pass per task. Five more methods are one line each. Are they better than
# equal weights? [In depth](05_multitask_depth.ipynb) you find out.

# %% [markdown]
# ## 5. How much room do two tasks need? (9 minutes)
#
# Two tasks can avoid each other if the trunk has enough units. We freeze the network and train a shared layer of *W* units
# on its features, with two heads. One reads the handwritten digits of MNIST, the other one those of another collection, the
# *optical* digits. How often are their gradients in conflict, in a narrow layer and in a wide one?

# %%
mnist = ftlib.load_task("digits/mnist", n=500, size=32, held_out=300, seed=0)
optical = ftlib.load_task("digits/optical", n=500, size=32, held_out=300, seed=0)
loaders = {task.name: task.loader("train", shuffle=True) for task in (mnist, optical)}
cosines = {}
for width in (4, 256):
    torch.manual_seed(0)
    gauge = strategies.TaskGradients()
    shared = strategies.MultiTask({mnist.name: 10, optical.name: 10}, width=width)
    frozen = strategies.FreezeFirst(k=9)  # all nine stages
    network = ftlib.load_model(NETWORK, mnist)
    parts = ftlib.combine(frozen, shared, gauge)
    ftlib.fit(network, loaders, parts, steps=100, lr=0.01, verbose=False)
    cosines[width] = gauge.cosines
    print(f"width {width}: {gauge.conflicts:.0%} of the steps are in conflict")

# %% tags=["guard"]
assert all(0.25 < sum(c < 0 for c in each) / len(each) < 0.65 for each in cosines.values())

# %% [markdown]
# Close to half of the steps are in conflict at both widths, as they would be if the gradients had nothing to do with each
# other. So the count doesn't tell you which task will lose. Compare the results.
#
# Now give the optical digits ten times the weight in the loss. MNIST is compared with a network of its own, of the same
# width. **Predict first:**

# %%
widgets.predict("05_multitask", "room")

# %%
fresh = ftlib.load_runs("05_multitask_confirm_room")  # 32 seeds
fresh["score"] = (fresh["validation.accuracy"] + fresh["test.accuracy"]) / 2
lost = {}
for width in (16, 256):
    both, alone = f"together, width {width}, weight 10", f"mnist alone, width {width}"
    found = ftlib.paired(fresh, "score", both, alone)
    lost[width] = [100 * x for x in (found.mean, found.low, found.high)]
heads = ["MNIST, change (points)", "from", "to"]
pd.DataFrame(lost, heads).T.rename_axis("width").round(1)

# %%
narrow, wide = (lost[width][0] < -2 for width in (16, 256))
outcome = {(1, 0): "narrow", (0, 1): "wide", (1, 1): "both", (0, 0): "neither"}
teach.predict("05_multitask", "room").compare(outcome[narrow, wide])

# %% [markdown]
# The change is *together − alone*, averaged over 32 seeds. The last two columns are its 95 %
# [interval](../docs/glossary.md#95--interval). Room helps.
#
# Can other weights help both tasks? The widget has more widths and weights, with **six** seeds each, so its
# intervals are wider. At width 16 and weight 10 they contain 0. At width 4 they span tens of points: a ReLU can switch a unit off, and
# with four units that is luck.
#
# **Your task:** find a width and a weight at which **both** tasks are better than their networks alone, with intervals above
# 0. If these runs show none, write `"none"`. Then, from width 16 on, find the pair that comes **nearest**: the change of its
# worse task is the highest of all.

# %%
records = ftlib.load_records("05_multitask")
lab = widgets.of_lesson("05_multitask").weights(records, cosines, shown=(16, 10))
lab

# %%
my_answer = {"both better": None, "nearest": None}  # (width, weight), or "none"

teach.check("05_multitask/frontier", my_answer)

# %% tags=["guard"]
digit_runs = ftlib.runs.frame(records)
score = {"mnist": "validation.accuracy", "optical": "digits/optical:validation.accuracy"}
for width in (16, 64, 256):
    m, o = (
        {
            weight: ftlib.paired(
                digit_runs,
                column,
                f"together, width {width}, weight {weight:g}",
                f"{task} alone, width {width}",
            ).mean
            for weight in (0.1, 1, 10)
        }
        for task, column in score.items()
    )
    assert m[0.1] > m[10] and m[10] < m[1] - 0.005  # ten times the weight costs MNIST
    assert o[0.1] < o[1] - 0.005 and o[10] < o[1] + 0.006  # a tenth of it costs the optical
spread = digit_runs[digit_runs.arm.str.contains("alone")].groupby("arm")[score["mnist"]].std()
assert spread["mnist alone, width 4"] > 2 * spread["mnist alone, width 256"]

# %% [markdown]
# The answer is `"none"`. In the means, from 16 units on, a tenth of the weight costs the optical digits
# points, and ten times the weight costs MNIST points and gives the optical digits next to nothing. So begin with equal weights,
# and look at each task, never at their mean alone. The box has the first 8 to 32 of the table's 32 seeds, until a row was decided.

# %% tags=["nbval-check-output"]
teach.claim("M4", verdict="it depends")

# %% [markdown]
# ## 6. Does a second task teach the first one? (8 minutes)
#
# A promising case: 50 product reviews have labels, and 300 film reviews have labels too. Both ask whether the writer is
# positive. One network with two heads may learn from both.
#
# A better score alone doesn't prove shared *knowledge*. A second task also disturbs training, which can keep a network
# from learning by heart. So there is a **control**. It is a second task that asks for the ratings of the same 50 product reviews, in
# *permuted* order. It disturbs training too, and nothing can be learned from it. If it helps as much as the film reviews, the
# gain isn't knowledge. (Our control has no new sentences, so the film reviews differ from it in that, too.)

# %%
fresh = ftlib.load_runs("05_multitask_confirm_reviews").query("seed < 208")  # eight seeds
plots.scores(
    fresh,
    "test.macro_f1",
    "50 product reviews, alone and with a second task",
    "macro-F1 on the test reviews",
)

# %% [markdown]
# The score is [macro-F1](../docs/glossary.md#macro-f1). The film reviews lift the mean, the permuted ratings don't. So this
# gain comes from the film reviews, by their labels or by their new sentences. The box compares seed by seed, in the mean of
# two splits, so its numbers differ a little:

# %% tags=["nbval-check-output"]
teach.claim("M1", verdict="it depends")

# %% [markdown]
# 300 film reviews helped, with three layers trained. 50 sentences each from tweets, film reviews and editorials, on frozen
# features, didn't. Nor did a second question about the same cells.
#
# ### One number for several tasks
#
# Tasks have different units. *Delta-m* makes them comparable (Maninis et al., 2019). For each task, it takes the change
# from the network alone and divides it by that network's score. The mean over the tasks, in percent, is delta-m. For an
# error, lower is better, so its sign is turned. A task may lose while delta-m is above 0, so print **both**.
#
# **Change it:** `sum(scores[t] - single[t] for t in scores) / len(scores)` is the mean change. Change it into delta-m.
# `lower` names the tasks whose score is an error. Put your code in place of the lines `# YOUR CODE HERE` and `raise
# NotImplementedError`. Run that cell, then the check below it.


# %% tags=["exercise:delta_m"]
def delta_m(scores: dict, single: dict, lower: list) -> float:
    """Mean over the tasks of the relative change, in percent. Above 0 is better."""
    ### BEGIN SOLUTION
    changes = []
    for task in scores:
        change = (scores[task] - single[task]) / single[task]
        changes.append(-change if task in lower else change)
    return 100 * sum(changes) / len(changes)
    ### END SOLUTION


# %% tags=["check:delta_m", "points:1"]
teach.check("05_multitask/delta_m", delta_m)

# %% [markdown]
# ## 7. Your own data (3 minutes)
#
# Put your table and your columns in place of ours. Name **several label columns**, and each becomes a task. Ours are the mood
# of a sentence, the source that it comes from, and how positive people rated it, from −1 to 1. The last one is a number, so it
# is a regression.

# %%
my_table = ftlib.tasks.example("sentences")  # or "C:/data/reviews.csv"
label = ["polarity", "domain", "rating"]  # columns, the first one is the main task
numbers = ["rating"]  # those of them that hold numbers, or []
group = "review"  # a column: rows that belong together stay in one split. Or None
mine = ftlib.load_task(
    "table", path=my_table, label=label, numbers=numbers, group=group, seed=0
)
tasks = {mine.name: mine} | {f"{mine.name}@{q}": question(mine, q) for q in mine.questions}
print(mine.report)

# %%
torch.manual_seed(0)
model = ftlib.load_model("minilm", mine)
strategy = strategies.MultiTask({name: task.outputs for name, task in tasks.items()})
loader = mine.loader("train", tokenizer=model.tokenizer, batch_size=16, shuffle=True)
found = {column: {"metric": task.metric} for column, task in zip(label, tasks.values())}
for when, steps in (("before", 0), ("after", 40)):
    model = strategy.prepare(model)
    if steps:
        model, _ = ftlib.fit(model, loader, strategy, steps=steps, lr=1e-4, verbose=False)
    for column, task in zip(label, tasks.values()):
        held_out = task.loader("validation", tokenizer=model.tokenizer)
        found[column][when] = round(ftlib.evaluate(model, held_out)[task.metric], 2)
pd.DataFrame(found).T

# %% [markdown]
# Numbers are scored by *Pearson's correlation*, which is 1 where the answers rise exactly with the truth. Our table is small,
# so a few sentences change these scores. Where does the main task go wrong?

# %%
plots.confusion(model, mine)

# %%
plots.mistakes(model, mine, n=4)

# %% [markdown]
# **Keep it.** All heads are saved together. Type a sentence of your own. To ask another head, pass its task as `task=`.

# %%
ftlib.save(model, "my_models/three_answers")
again = ftlib.load("my_models/three_answers")
text = "The battery died after two days, and nobody answered my mail."
for column, task in zip(label, tasks.values()):
    print(column, ftlib.predict(again, text, task=task))
widgets.try_model(again, examples=[text], task=list(tasks.values())[1])  # the second head

# %% [markdown]
# ## 8. What to take home (4 minutes)
#
# Three questions: choose an answer and press *Check my answer*.

# %%
widgets.quiz("05_multitask", "where-they-meet", "control", "mean-hides")

# %% [markdown]
# **The decision rule.**
# 1. **You need several answers about one input?** Share a trunk. It costs about as much as one network.
# 2. **You have few labels?** Try a task that asks nearly the same question and brings new examples.
# 3. **Begin with equal weights.** Plot each task's own loss.
# 4. **Compare each task with a network of its own**, and with permuted labels. Never look at the mean alone.
# 5. **A task loses?** Give the trunk more room, or train that task alone.

# %% [markdown]
# ## 9. Lab: surgery for any number of tasks (11 minutes)
#
# Write `pcgrad` for a list of gradients, each a vector. For each task, begin with its own gradient. Go through all other
# tasks in the order of the list. Where the product of the **changed** gradient with the other task's **original**
# gradient is negative, take the conflicting part out. Return the sum of the changed gradients.
#
# The paper draws the order at random in each step. Here it is the order of the list, so that the checker can compare
# numbers. Leave the gradients that you get as they are.


# %% tags=["exercise:pcgrad"]
def pcgrad(gradients: list) -> torch.Tensor:
    ### BEGIN SOLUTION
    total = torch.zeros_like(gradients[0])
    for i, own in enumerate(gradients):
        changed = own.clone()
        for j, other in enumerate(gradients):
            product = changed @ other
            if j != i and product < 0:
                changed = changed - product / (other @ other) * other
        total = total + changed
    return total
    ### END SOLUTION


# %% tags=["check:pcgrad", "points:3"]
teach.check("05_multitask/pcgrad", pcgrad)

# %% [markdown]
# ## 10. Lab: learn the weights (11 minutes)
#
# **Uncertainty weighting** (Kendall et al., 2018) learns a number $s_k$ per task, together with the network. The loss is
#
# $$\sum_k \left(e^{-s_k} L_k + \tfrac{1}{2} s_k\right)$$
#
# for tasks with classes. For a regression, $e^{-s_k}$ is halved. $s_k$ is the logarithm of the noise in task $k$, so a noisy task
# gets a small weight. The second part is the price of ignoring a task. Without it, $s_k$ would grow without end.
#
# Write `uncertainty`. `losses` is a list of tensors with one number each, `s` a tensor with one number per task, and
# `regression` a list of True and False. Return one tensor that training can follow back to the losses and to `s`.


# %% tags=["exercise:uncertainty"]
def uncertainty(losses: list, s: torch.Tensor, regression: list) -> torch.Tensor:
    ### BEGIN SOLUTION
    total = torch.zeros(())
    for loss, one, number in zip(losses, s, regression):
        scale = 0.5 if number else 1.0
        total = total + scale * torch.exp(-one) * loss + one / 2
    return total
    ### END SOLUTION


# %% tags=["check:uncertainty", "points:3"]
teach.check("05_multitask/uncertainty", uncertainty)

# %% [markdown]
# ## 11. Lab: how much room is enough? (12 minutes)
#
# Investigate the recorded runs. **What is the smallest width at which a task loses less than two points?**
#
# Write `enough_room`. `runs` is a table with one row per run, as `ftlib.load_runs("05_multitask")` gives it. Its columns
# are `arm`, `seed`, `purpose` and scores. Take the runs whose purpose is `"measure"`. The network of both tasks is called
# `"together, width 4, weight 1"`, and the one of a task alone `"optical alone, width 4"`. `task` is `"mnist"` or
# `"optical"`, and `metric` is the column of its score.
#
# Pair the runs by seed, and take the mean of *together − alone*. Return the smallest width in `widths` whose mean is
# above −0.02, or `None` if there is none. `widths` may come in any order. A larger width needn't be better.


# %% tags=["exercise:enough_room"]
def enough_room(runs, task: str, metric: str, widths: list) -> int | None:
    ### BEGIN SOLUTION
    measured = runs[runs.purpose == "measure"]
    for width in sorted(widths):
        arms = [f"together, width {width}, weight 1", f"{task} alone, width {width}"]
        both, alone = (measured[measured.arm == arm].set_index("seed")[metric] for arm in arms)
        if (both - alone).mean() > -0.02:
            return width
    return None
    ### END SOLUTION


# %% tags=["check:enough_room", "points:3"]
teach.check("05_multitask/enough_room", enough_room)

# %%
of_digits = ftlib.load_runs("05_multitask")
for task, metric in (("mnist", ""), ("optical", "digits/optical:")):
    try:
        column = f"{metric}validation.accuracy"
        print(task, enough_room(of_digits, task, column, [16, 64, 256]))
    except NotImplementedError:
        print(task, "waits for your function")

# %% [markdown]
# At equal weights 16 units are enough for both tasks, in the mean of six seeds. We leave width 4 out, since its seeds differ by
# tens of points and a mean of them says little.

# %% [markdown]
# ## 12. More questions, and the limits (5 minutes)
#
# Two things come up as soon as each task has data of its own. First take the mean loss **within** each task, and then the
# weighted sum. Otherwise the larger batch decides. And data sets of very unequal size can be drawn instead of taking a batch
# of each in every step, with a probability ∝ (means *proportional to*) n^(1/T). T is called the temperature.

# %%
widgets.quiz("05_multitask", "weight-zero", "unequal-batches", "temperature", "equal-weights")

# %% [markdown]
# **Limits.** Our tasks are small, training is short, and most recorded runs use frozen features. If two data sets train a
# whole network with BatchNorm, they also share its running statistics. We leave that out. Repeat the comparisons on your own
# tasks.
# [05 in depth](05_multitask_depth.ipynb) has adaptive weights, controls and more pairs. Use the board of
# [01](01_full.ipynb) to compare with other strategies.
#
# **Sources.** Caruana, *Multitask Learning*, Machine Learning 28, 1997. Yu et al., *Gradient Surgery for Multi-Task
# Learning*, NeurIPS 2020 (2001.06782). Kendall, Gal and Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses*,
# CVPR 2018 (1705.07115). Maninis, Radosavovic and Kokkinos, *Attentive Single-Tasking of Multiple Tasks*, CVPR 2019
# (1904.08918). Deitsch et al., *Automatic classification of defective photovoltaic module cells*, Solar Energy 185, 2019
# (1807.02894).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
