# %% [markdown]
# # 02 Layer freezing, in depth
#
# **After this notebook you can** measure what fine-tuning changed in each stage, and count the memory that freezing
# saves. You can say whether freezing prevents overfitting, and what to train when the inputs look new.
#
# **You need** [02 Layer freezing](02_freezing.ipynb), its core. Nothing later depends on this notebook. Time: 20
# minutes, in any order. Each section needs only the first code cell.
#
# People say that freezing lowers the risk of overfitting on small data, and that it limits how well a network adapts to
# a task that differs much. Both are **claims** here. Their rules were written before their runs. The boxes show the
# verdict first, and the evidence when you unfold them.

# %% tags=["setup"]
import time

began = time.perf_counter()
import pandas as pd
import torch

import ftlib
from ftlib import plots, strategies, teach
from ftlib.strategies.freezing import relative_gradient_norms
from ftlib.training.machine import profile

FULL = profile() == "full"
N, STEPS = (None, 300) if FULL else (200, 40)
task = ftlib.load_task("elpv", n=N, size=64, seed=0)
NETWORK = "efficientnet-lite0"

# %% [markdown]
# ## 1. What did fine-tuning change? (3 minutes)
#
# We fine-tune everything on solar cells, and compare each stage before and after. Two measures:
#
# - the **relative change** of its weights, ‖θ − θ₀‖ / ‖θ₀‖
# - **linear CKA** (Kornblith et al., 2019), which compares the outputs for the same images. It is 1 when two sets of
#   outputs agree up to rotation and scale, and lower the less they have in common. With more outputs than images it
#   doesn't reach 0.

# %%
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, task)
images = next(iter(task.loader("validation", batch_size=256)))


def at_each_stage(model) -> list[torch.Tensor]:
    """Outputs of each stage for the images, averaged over positions: (256, C)."""
    with torch.no_grad():
        outputs = [model.forward_to(k, images) for k in range(1, len(model.stages) + 1)]
    return [h.mean((2, 3)) if h.ndim == 4 else h for h in outputs]


def cka(x: torch.Tensor, y: torch.Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return ((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())).item()


first = at_each_stage(model.eval())
start = [torch.cat([p.detach().flatten() for p in s.parameters()]) for s in model.stages]
loader = task.loader("train", shuffle=True)
model, _ = ftlib.fit(model, loader, strategies.Full(), steps=STEPS, lr=1e-3)

# %%
last = at_each_stage(model.cpu().eval())
end = [torch.cat([p.detach().flatten() for p in s.parameters()]) for s in model.stages]
changes = pd.DataFrame(
    {
        "stage": model.stage_names,
        "change": [((b - a).norm() / a.norm()).item() for a, b in zip(start, end)],
        "CKA": [cka(x, y) for x, y in zip(first, last)],
    }
)
assert changes.CKA.between(0, 1.001).all() and changes.CKA.iloc[0] > changes.CKA.iloc[-1]
changes.round(3)

# %% [markdown]
# The first stage still says nearly what it said before, and the last one doesn't. But be careful with such a table.
#
# - The last stages stand on all others, so their CKA adds up what changed below. It doesn't say that *they* had to
#   change.
# - CKA also falls because BatchNorm's averages moved. *Change* doesn't count those.
# - AdamW moves each weight by about the learning rate in each step. A large relative change can mean that the weights were small.
#
# This is one seed. To find out which stages need to change, train some of them and compare, as in section 7 of the
# lesson.

# %% [markdown]
# ## 2. How much memory does it save? (2 minutes)
#
# A layer's output is kept for the backward pass only if a gradient will come back to it. So a frozen bottom saves
# memory, and a frozen top doesn't. We count the bytes.


# %%
def kept_for_backward(strategy) -> float:
    """Megabytes that the forward pass of 32 images keeps for the backward pass."""
    model = ftlib.load_model(NETWORK, task).train()
    strategy.before_step(strategy.prepare(model), progress=0.5)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    batch, kept = next(iter(task.loader("train", batch_size=32))), {}

    def keep(t):  # autograd calls it for each tensor that it keeps
        storage = t.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        model(batch)
    return sum(kept.values()) / 1e6


megabytes = {
    f"first {k} frozen": kept_for_backward(strategies.FreezeFirst(k)) for k in (0, 3, 5, 7, 9)
}
megabytes["last 5 frozen"] = kept_for_backward(strategies.TuneOnly([0, 1, 2, 3]))
pd.Series(megabytes, name="MB kept").round(1).to_frame()

# %%
saved = 1 - megabytes["first 5 frozen"] / megabytes["first 0 frozen"]
print(f"five frozen first stages save {saved:.0%} of these bytes")
assert saved > 0.5 and megabytes["last 5 frozen"] > 2 * megabytes["first 5 frozen"]

# %% [markdown]
# The bottom holds few weights and most of this memory, because it sees the whole image. If memory is short, freeze from
# the image on. If the weights themselves are too many, LoRA in [lesson 04](04_peft.ipynb) is made for that.

# %% [markdown]
# ## 3. Does freezing prevent overfitting? (4 minutes)
#
# We train 100 handwritten digits for 100 steps, far longer than is useful. The figure shows the
# [NLL](../docs/glossary.md#negative-log-likelihood) on validation in the first six runs. *freeze-5* means that the first
# five of nine stages are frozen.

# %%
long = ftlib.load_records("02_freezing_long")
long = [record for record in long if record["spec"]["purpose"] == "measure"]
curves = ftlib.runs.curves(long).query("task == 'digits/optical' and arm != 'full-es'")
plots.curves(
    curves,
    "nll",
    "100 digits: full fine-tuning starts far off and comes down",
    "NLL on validation (nats)",
)

# %% tags=["nbval-check-output"]
teach.claim("Z2", verdict="it depends")

# %% [markdown]
# On the reviews the network with half of it frozen ends with a *higher* NLL than full fine-tuning. Why? Each method took the
# learning rate that scores best, and the frozen one took a rate thirty times as high. Here are the tuning runs.

# %%
tried = ftlib.load_runs("02_freezing_confirm_long").query(
    "purpose == 'tune' and arm != 'probe'"
)
at_rate = tried.pivot_table("validation.nll", "lr", "arm")
assert (at_rate.half < at_rate.full).all()
at_rate.round(2)

# %% tags=["guard"]
runs = ftlib.load_runs("02_freezing_confirm_long").query("task == 'sentiment/amazon'")
rate = runs.query("purpose == 'measure'").groupby("arm").lr.max()
assert round(rate.half / rate.full) == 30

# %% [markdown]
# At each shared rate the frozen network has the lower NLL. (These are two seeds.) So at a shared rate freezing seems to lower
# it, and the higher rate more than undoes that. Look at the NLL when you choose a rate, and not only at the score.
#
# An NLL that *rises* during training is overfitting. An NLL that is high from the first steps on is something else,
# since long training can't be its cause. Full fine-tuning begins high on the digits and much higher on the solar cells
# (not drawn). So look at the curve before you blame the length of the training. A thin line is one seed.
#
# The table has the means at the end. `full-es` is full fine-tuning with early stopping, and `ece` says how far its
# confidence is from the truth.

# %%
ends = ftlib.runs.frame(long).groupby(["task", "arm"])[
    ["test.nll", "test.ece", "test.accuracy"]
]
ends.mean().round(3)

# %% tags=["guard"]
nll = ftlib.runs.curves(long).groupby(["task", "arm", "step"]).nll.mean()
for name in ("elpv", "digits/optical"):
    assert nll[name, "full", 20] > nll[name, "full", 100]
    assert nll[name, "full", 20] > 2 * nll[name, "probe", 20]
assert nll["elpv", "full", 20] > 1.5 * nll["digits/optical", "full", 20]
means = ends.mean()["test.accuracy"]["digits/optical"]
shown = ftlib.runs.frame(long).query("task == 'digits/optical'")
d = ftlib.paired(shown, "test.accuracy", "probe", "full")
assert d.high < 0 and means["probe"] < means["full"] - 0.02

# %% [markdown]
# A low NLL isn't everything. On the digits the probe has fewer right answers than full fine-tuning. Choose by the measure
# that you need.

# %% [markdown]
# ## 4. When the inputs look new (3 minutes)
#
# A *different task* can mean other labels, other objects or other cameras. We change only the camera. The same solar
# cells come as they are (first row), with noise (second row), or with 15 % of their contrast (third row). Images: Deitsch
# et al., CC BY-NC-SA 4.0.

# %%
rows = []
for name in ("elpv", "elpv+noise3", "elpv+contrast5"):
    cells = ftlib.load_task(name, n=50, size=96, seed=0).splits["train"].inputs[:8, 0]
    framed = torch.nn.functional.pad(cells, (4, 4, 4, 4), value=255)  # white between the cells
    rows.append(torch.cat(list(framed), dim=1))
plots.image(
    torch.cat(rows).numpy(),
    "Three rows with the same eight solar cells. First as they are, then with noise that hides "
    "fine cracks, then nearly uniform grey, with 15 % of the contrast.",
)

# %% tags=["nbval-check-output"]
teach.claim("Z3", verdict="open")

# %% [markdown]
# Mean scores over six seeds, for training one end, everything, or the head alone. Then their NLL.

# %%
cells = ftlib.load_runs("02_freezing", "02_freezing_far").query(
    "purpose == 'measure' and task != 'sentiment/amazon'"
)
cells = cells[cells.arm.isin(["full", "probe", "top", "bottom"])]
means = cells.groupby(["task", "arm"])["test.balanced_accuracy"].mean().unstack()
means.loc[["elpv", "elpv+noise3", "elpv+contrast5"]].round(3)

# %%
unsure = cells.groupby(["task", "arm"])["test.nll"].mean().unstack()
unsure.loc[["elpv", "elpv+noise3", "elpv+contrast5"]].round(2)

# %% tags=["guard"]
for name in ("elpv", "elpv+noise3", "elpv+contrast5"):
    d = ftlib.paired(cells[cells.task == name], "test.balanced_accuracy", "full", "probe")
    assert ftlib.reading(d) == "not distinguishable here"
    d = ftlib.paired(cells[cells.task == name], "test.nll", "full", "probe")
    assert d.low > 0
assert (means.loc["elpv+noise3"] < means.loc["elpv"]).all()
little = cells[cells.task == "elpv+contrast5"]
d = ftlib.paired(little, "test.balanced_accuracy", "bottom", "top")
assert ftlib.reading(d) == "not distinguishable here"
assert means.loc["elpv+contrast5"].idxmax() == "bottom"

# %% [markdown]
# Two warnings. Noise can make the task *harder* and not only more distant, and all four means fall with it. And a loss
# of contrast could largely be undone by BatchNorm's averages alone, which a probe keeps frozen. On none of the three can six seeds
# tell full fine-tuning from the probe by its score. On all three full fine-tuning has the higher NLL.
#
# Lee et al. (2023) found that the *first* block should learn when the images are corrupted. On cells with little
# contrast *bottom* has the highest mean here. Six seeds can't tell it from *top*, but 64 fresh seeds can: the bottom is ahead by 1.2 points
# (claim Z0, in the lesson). Compare both ends on your own data.

# %% [markdown]
# ## 5. Which stage asks to be changed? (2 minutes)
#
# Lee et al. (2023) choose what to train by the **relative gradient norm**. That is the length of the gradient of a
# stage, divided by the length of its weights. A network that was fine-tuned on clean cells now meets corrupted ones.

# %%
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, task)
loader = task.loader("train", shuffle=True)
model, _ = ftlib.fit(model, loader, strategies.Full(), steps=STEPS, lr=1e-3)
asked = {}
for name in ("elpv", "elpv+noise3", "elpv+contrast5"):
    other = ftlib.load_task(name, n=50, size=64, seed=0)  # it has not learned from these cells:
    batches = [b for _, b in zip(range(2), other.loader("validation", batch_size=32))]
    asked[name] = relative_gradient_norms(model, batches)
share = pd.DataFrame(asked, index=model.stage_names)
share = share / share.sum()
assert (share > 0).all().all() and share["elpv"].iloc[:3].sum() > share["elpv"].iloc[6:].sum()
share.round(3)

# %% [markdown]
# Each column adds up to 1. On clean cells the first three stages already have a larger share than the last three, since
# their weights are few and small. So a single column says little. Compare the columns: which stages gain with noise, and
# which with little contrast? This is a rule for choosing, tried with one seed on a network that is hardly trained. Train
# both ends and compare before you trust it.

# %% [markdown]
# ## 6. Other small subsets (3 minutes)
#
# - *bias* trains every bias (BitFit, Ben Zaken et al., 2022). Lite0's convolutions have none, so these are BatchNorm's
#   shifts.
# - *norm* trains scale and shift of every BatchNorm, and lets its averages follow the batches.
# - *gradual* wakes one stage after another (Howard & Ruder, 2018).
#
# The head learns in all of them.

# %%
recorded = ftlib.load_runs("02_freezing").query("purpose == 'measure'")
solar = recorded.query("task == 'elpv'").sort_values("parameters.trainable", kind="stable")
share = solar["parameters.trainable"] / solar["parameters.total"]
named = solar.assign(arm=solar.arm + share.map(" ({:.1%})".format))
plots.differences(
    named,
    "test.balanced_accuracy",
    "full (100.0%)",
    "Solar cells: no subset differs clearly from full fine-tuning",
    "balanced accuracy on test, minus that of full fine-tuning",
)

# %% tags=["guard"]
found = ftlib.table(named, "test.balanced_accuracy", "full (100.0%)")
assert set(found.reading.dropna()) == {"not distinguishable here"} and len(found) == 9
assert found["mean"].idxmax() == "bias (0.7%)" and found["mean"].idxmin().startswith("norm")
assert found["mean"]["bias (0.7%)"] - found["mean"]["probe (0.1%)"] < 0.01

# %% [markdown]
# In brackets is the share of the weights that learn. The intervals are corrected for eight comparisons, and all of them
# hold 0. *bias* and the probe have nearly the same mean, and train less than one weight in a hundred. The probe is the
# smaller one: try it first when you must store many models. On the reviews we compare three subsets, first by their score:

# %%
reviews = recorded.query("task == 'sentiment/amazon'")
plots.differences(
    reviews,
    "test.macro_f1",
    "full",
    "Reviews: the top alone is ahead of full fine-tuning",
    "macro-F1 on test, minus that of full fine-tuning",
)

# %% [markdown]
# Now by their NLL, where lower is better:

# %%
plots.differences(
    reviews,
    "test.nll",
    "full",
    "Reviews: each subset has a higher NLL than full fine-tuning",
    "NLL on test, minus that of full fine-tuning (nats)",
)

# %% tags=["guard"]
score = ftlib.table(reviews, "test.macro_f1", "full").reading
assert dict(score.dropna()) == {"top": "higher", "probe": "lower", "bottom": "lower"}
assert set(ftlib.table(reviews, "test.nll", "full").reading.dropna()) == {"higher"}
assert ftlib.paired(reviews, "test.macro_f1", "top", "full").mean < 0.02

# %% [markdown]
# Training the top alone is ahead in macro-F1, by less than two points. It also has a higher NLL than full fine-tuning.
# So it is surer where it is wrong. If somebody acts on how sure the model is, look at both figures.

# %% [markdown]
# ## 7. Beside published results (1 minute)
#
# | who | what they found | what differs from ours |
# |---|---|---|
# | Lee, Tang & Lin (2019) | training the last quarter of BERT's layers reaches 90 % of the full quality | larger models and data; their 90 % is of a score, not of a difference |
# | Lee et al. (2023) | on corrupted images tuning the *first* block matches or beats full fine-tuning; on new labels the last | they adapt a network that was trained on the clean images, with 1,000 examples |
# | Howard & Ruder (2018) | one more layer per epoch, rates divided by 2.6 per layer | recurrent language model, many epochs |
#
# Read the third column before you compare.
#
# **Limits.** Two networks, small tasks, short training. Noise and contrast of one or two data sets stand for "inputs that
# look new". *Open* refutes nothing.
#
# **Sources.** Kornblith et al., *Similarity of Neural Network Representations Revisited*, ICML 2019 (1905.00414). Lee et al.,
# *Surgical Fine-Tuning Improves Adaptation to Distribution Shifts*, ICLR 2023 (2210.11466). Ben Zaken, Ravfogel & Goldberg,
# *BitFit*, ACL 2022 (2106.10199). Howard & Ruder, ACL 2018 (1801.06146). Lee, Tang & Lin, 2019 (1911.03090).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
