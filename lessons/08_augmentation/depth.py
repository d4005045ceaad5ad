# %% [markdown]
# # 08 Augmentation and regularisation, in depth
#
# **After this notebook you can** say how much weight decay does in a short run, test whether a gain depends on the number
# of examples, and look for robustness where nobody trained for it. You can mend a network that is too sure, and average
# weights without breaking BatchNorm. **You need** the core of [08](08_augmentation.ipynb). Take what interests you, in
# about 32 minutes. Each section needs only the first code cell.

# %% tags=["setup"]
import time

began = time.perf_counter()

import pandas as pd
import torch

import ftlib
from ftlib import metrics, plots, strategies, teach, widgets
from ftlib.training.machine import profile

N, STEPS = (None, 400) if profile() == "full" else (100, 60)
NETWORK = "efficientnet-lite0"
task = ftlib.load_task("elpv", n=N, size=32, seed=0)
pilot = ftlib.load_runs("08_augmentation").query("purpose == 'measure'")


def differences(runs, metric, arms, baseline="none"):
    """Mean difference, 95 % interval and reading. One row per method."""
    rows = {}
    for arm in arms:
        d = ftlib.paired(runs, metric, arm, baseline)
        rows[arm] = [*(round(x, 3) for x in (d.mean, d.low, d.high)), ftlib.reading(d)]
    return pd.DataFrame(rows, ["difference", "low", "high", "reading"]).T


# %% [markdown]
# ## 1. How much does weight decay decay? (3 minutes)
#
# **Decoupled weight decay** (Loshchilov & Hutter, 2019) shrinks every weight a little in each step, beside Adam's own
# step. With the learning rate η it is
#
# $$\theta \leftarrow (1 - \eta\lambda)\,\theta$$
#
# After T steps a weight without a gradient is $(1 - \eta\lambda)^T$ of what it was. Here are three doses over 100 steps
# with η = 0.001.

# %%
for decay in (0.1, 1.0, 10.0):
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    optimizer = torch.optim.AdamW([weight], lr=1e-3, weight_decay=decay)
    for _ in range(100):
        optimizer.step()
    formula = (1 - 1e-3 * decay) ** 100
    print(f"λ = {decay:4}: {weight.item():.3f} is left, by the formula {formula:.3f}")
    assert abs(weight.item() - formula) < 1e-4

# %% [markdown]
# The usual 0.1 takes one per cent. In a training of 100,000 steps the same λ would remove every weight that no gradient
# asks for. So weight decay matters in long trainings. It usually leaves out biases and normalisations.

# %%
model = ftlib.load_model(NETWORK, task)
named = [(name, p) for name, p in model.named_parameters()]
for group in strategies.WeightDecay(rate=0.1).groups([{"params": named}]):
    count = sum(p.numel() for _, p in group["params"])
    print(f"λ = {group['weight_decay']}: {len(group['params'])} tensors, {count:,} numbers")
    assert all((p.ndim > 1) == (group["weight_decay"] > 0) for _, p in group["params"])

# %% [markdown]
# **Dropout** (Srivastava et al., 2014) hides a share p of the features before the head, a different one in each step, and
# multiplies the rest by 1 / (1 − p). In evaluation mode it is off.

# %% tags=["nbval-check-output"]
teach.claim("A2", verdict="it depends")

# %% [markdown]
# Here are all methods of the first runs, with 100 cells and 100 steps. All but *raters* take the learning rate that is
# best for *none*. *trivial* is TrivialAugment, and *ema* is an average of the weights (section 7).

# %%
columns = ["test.nll", "test.ece", "test.balanced_accuracy"]
pilot.groupby("arm")[columns].mean().sort_values("test.nll").round(3)

# %% tags=["guard"]
score, nll = (ftlib.table(pilot, f"test.{m}", "none") for m in ("balanced_accuracy", "nll"))
assert set(score.reading.drop("none")) == {"not distinguishable here"}
better = {"smoothing", "l2sp", "mixup", "policy", "ema", "trivial", "none-es"}
assert set(nll.index[nll.reading == "lower"]) == better

# %% [markdown]
# Seven of them have a lower NLL on test than *none*. No score can be told from that of *none*, when we allow for twelve
# comparisons. So here regularisation makes a network more honest, and not visibly better. Section 6 tries one number, fitted after training, that may do the same.

# %% [markdown]
# ## 2. Most where data are scarce? (5 minutes)
#
# *policy* and *none* on 50 to 800 cells, 100 steps each, ten seeds. In this figure you can choose the size and the measure.
# Its thin lines bound the 95 % interval of a mean. (In section 5 of the lesson they were single seeds.)
# With 100 cells you can also choose other methods (*Beside*). Choose 800 examples and *balanced accuracy*. Which curve is
# higher at the end?

# %%
files = ("08_augmentation", "08_augmentation_sizes")
records = [r for r in ftlib.load_records(*files) if r["spec"]["purpose"] == "measure"]
per_size = [
    ftlib.runs.curves([r for r in records if r["spec"]["options"]["n"] == n]).assign(n=n)
    for n in (50, 100, 200, 800)
]
rows = pd.concat(per_size).query("arm not in ['none-es', 'raters']")
rows["gap.nll"] = rows.nll - rows.loss  # validation − training
measures = {"NLL": "nll", "NLL − training loss": "gap.nll"}
measures |= {"balanced accuracy": "balanced_accuracy", "calibration error": "ece"}
widgets.of_lesson("08_augmentation", "curves").curves(rows, measures)

# %% [markdown]
# With 800 cells the policy has the lower NLL on validation, and the lower score. In 100 steps these cells were seen four times each. Changed images may take longer to learn. Here is
# the score on test by size, and the claim about it.

# %%
sizes = ftlib.load_runs(*files).query("purpose == 'measure' and arm in ['none', 'policy']")
plots.sweep(
    sizes,
    "test.balanced_accuracy",
    "Solar cells: the policy's mean is lower at each size",
    "balanced accuracy on test",
)

# %% tags=["nbval-check-output"]
teach.claim("A3", verdict="supported")

# %% [markdown]
# Would more steps help? Six seeds with 800 cells and 300 steps (asked after the loss had been seen), beside the ten with
# 100 steps. AUROC looks at the *order* of the cells and at no threshold.

# %%
longer = ftlib.load_runs("08_augmentation_longer").query("n == 800")
found = {
    (steps, metric): differences(runs, f"test.{metric}", ["policy"]).loc["policy"]
    for steps, runs in ((100, sizes[sizes.n == 800]), (300, longer))
    for metric in ("balanced_accuracy", "auroc", "nll")
}
pd.DataFrame(found).T

# %% tags=["guard"]
assert found[100, "balanced_accuracy"].high < -0.01
assert found[300, "balanced_accuracy"].high > 0 > found[300, "nll"].high
assert all(found[steps, "auroc"].low < 0 < found[steps, "auroc"].high for steps in (100, 300))

# %% [markdown]
# At 100 steps the policy loses score. At 300 steps the score can't be told apart, and the NLL is lower. The AUROC can't be
# told apart at either length. So a part of the loss may be the threshold, because a network that is less sure may call fewer
# cells defective. Where classes are unequal, look at both.
#
# Does pretraining hide a gain? Here are runs from scratch, with 200 steps and six seeds.

# %%
scratch = ftlib.load_runs("08_augmentation_scratch").query("purpose == 'measure'")
found = {
    (n, metric): differences(runs, f"test.{metric}", ["scratch-policy"], "scratch").iloc[0]
    for n, runs in scratch.groupby("n")
    for metric in ("balanced_accuracy", "nll")
}
pd.DataFrame(found).T

# %% tags=["guard"]
assert found[800, "balanced_accuracy"].high < 0 and found[800, "nll"].high < 0
assert found[50, "balanced_accuracy"].low < 0 < found[50, "balanced_accuracy"].high
assert found[50, "nll"].high < 0

# %% [markdown]
# From scratch the policy lowers the NLL at both sizes. It costs score at 800 cells. So at 800 cells pretraining isn't what
# hides a gain. Measure the score and the loss, and count the passes over your data.

# %% [markdown]
# ## 3. Robust against what nobody trained for? (2 minutes)

# %% tags=["nbval-check-output"]
teach.claim("A4", verdict="supported")

# %% [markdown]
# So say 50 digits. The first runs asked this of 200 solar cells, with 60 steps and six seeds, and couldn't tell. *shapes* flips, crops, turns and erases.
# *light* changes brightness and contrast. Then the test cells were spoiled in five ways. None was trained on, but two of
# them resemble *light*.

# %%
robust = ftlib.load_runs("08_augmentation_robust").query("purpose == 'measure'")
tests = {"as they are": "test.balanced_accuracy"}
for kind in ("noise", "blur", "contrast", "brightness", "jpeg"):
    tests[kind] = f"elpv+{kind}3:test.balanced_accuracy"
found = {name: differences(robust, m, ["shapes", "light"]) for name, m in tests.items()}
against = pd.concat(found)
plain = robust[robust.arm == "none"]
print("none:", {name: round(float(plain[m].mean()), 2) for name, m in tests.items()})
against

# %% tags=["guard"]
assert (against.low < 0).all() and (against.high > 0).all()  # every interval holds 0
assert plain[tests["noise"]].mean() < 0.55

# %% [markdown]
# On the cells no difference can be told from zero, not even that of *light* against brightness. And noise takes the network without
# augmentation down to guessing. These runs don't show that training with the change helps. Section 1 of the lesson does, for turns.

# %% [markdown]
# ## 4. Less dependent on which examples you have? (1 minute)
#
# Each seed draws another training set. If augmentation made the choice of examples matter less, its scores would lie
# closer together. A spread is harder to measure than a mean.

# %% tags=["nbval-check-output"]
teach.claim("A6", verdict="no difference")

# %% [markdown]
# ## 5. When nobody is sure (4 minutes)
#
# **Label smoothing** (Szegedy et al., 2016) says that no label is certain. With ε = 0.1 and two classes it puts 0.95 and
# 0.05 in place of 1 and 0, for every cell.
#
# These cells have something that may be better. The expert who judged them, the **rater**, also said how sure each judgement
# was. Where it wasn't sure, the file says one third or two thirds. Both ways move the labels by the same amount on average.

# %%
p = torch.tensor(ftlib.tasks.elpv.table()[0])  # the rater's probability of "defective"
moved = torch.minimum(p, 1 - p).mean().item()
unsure = ((p > 0) & (p < 1)).float().mean().item()
smoothing = strategies.LabelSmoothing(epsilon=0.1)
smoothing.prepare(ftlib.load_model(NETWORK, task))
smoothed = smoothing.transform(next(iter(task.loader("train"))))["labels"].min().item()
print(f"the rater moves a label by {moved:.3f}, all of it on {unsure:.0%} of the cells")
print(f"smoothing moves a label by {smoothed:.3f}, on every cell")
assert abs(moved - 0.05) < 0.002 and abs(smoothed - 0.05) < 1e-6

# %% [markdown]
# On test each cell has the label that the rater thought likelier. **Predict first:**

# %%
widgets.predict("08_augmentation", "soft-labels")

# %%
arms = ["none", "smoothing", "raters"]
columns = ["test.balanced_accuracy", "test.nll", "test.ece"]
table = pilot[pilot.arm.isin(arms)].groupby("arm")[columns].mean().loc[arms]
gap = table["test.nll"]["raters"] - table["test.nll"]["smoothing"]
found = "raters" if gap < -0.02 else "smoothing" if gap > 0.02 else "alike"
teach.predict("08_augmentation", "soft-labels").compare(found)

# %%
table.round(3)

# %% [markdown]
# Is it the learning rate? *raters* had chosen 0.003 on validation, and the others 0.001. So it was run again at 0.001, after
# this had been seen.

# %%
both = pd.concat([pilot, ftlib.load_runs("08_augmentation_raters")])
found = {
    metric: differences(both, f"test.{metric}", ["raters-same"], "smoothing").iloc[0]
    for metric in ("nll", "ece", "balanced_accuracy")
}
pd.DataFrame(found).T

# %% tags=["guard"]
assert found["nll"].reading == found["ece"].reading == "higher"
assert found["balanced_accuracy"].reading.startswith("not")

# %% [markdown]
# It isn't the learning rate. The rater is unsure of 15 % of the cells. Of all others the network is still told to be certain.
# The likely reason is that the NLL is made by answers that are very sure and wrong, and smoothing holds back *every*
# answer. So smooth the labels for the NLL, and use the rater's doubts to find cells that somebody should judge again.

# %% [markdown]
# ## 6. Too sure, and how to mend it (4 minutes)
#
# A network is [calibrated](../docs/glossary.md#calibration) if it is right in 80 % of the cases in which it is 80 % sure. The
# **expected calibration error** (`ece`) is the mean distance between the two. **Temperature scaling** (Guo et al., 2017)
# divides all logits by one number T. It is chosen on validation by the NLL, and can't change an answer.

# %%
torch.manual_seed(0)
arms = {
    "none": strategies.Full(),
    "policy": strategies.build(strategies.augmentation.policy("elpv")),
}
found, bins = {}, []
for name, strategy in arms.items():
    model = ftlib.load_model(NETWORK, task)
    loader = task.loader("train", shuffle=True)
    model, _ = ftlib.fit(model, loader, strategy, steps=STEPS, lr=1e-3, verbose=False)
    validation, test = (
        ftlib.train.predict_logits(model, task.loader(s, batch_size=64))
        for s in ("validation", "test")
    )
    T = metrics.temperature(validation["logits"].numpy(), validation["labels"].numpy())
    for how, by in (("as it is", 1.0), ("with temperature", T)):
        logits, labels = test["logits"].numpy() / by, test["labels"].numpy()
        found[name, how] = {"T": by, **metrics.classification(logits, labels)}
        bars = pd.DataFrame(metrics.reliability(logits, labels))
        bins.append(bars.assign(arm=f"{name}, {how}"))
plots.reliability(pd.concat(bins))

# %% [markdown]
# Each point stands for the cells in one of 15 bins of confidence. Here is how many cells that is, by the upper end of the
# bin. Don't read much into a point of a few cells.

# %%
counts = pd.concat(bins)
counts["up to"] = [round(-(-15 * sure // 1) / 15, 2) for sure in counts.confidence]
counts["cells"] = counts["share"] * len(labels)
counts.pivot_table(index="arm", columns="up to", values="cells", fill_value=0).round().astype(
    int
)

# %%
table = pd.DataFrame(found).T[["T", "accuracy", "nll", "brier", "ece"]].astype(float)
for name in arms:
    assert (
        table.loc[(name, "as it is"), "accuracy"]
        == table.loc[(name, "with temperature"), "accuracy"]
    )
assert table.loc[("none", "with temperature"), "nll"] < table.loc[("none", "as it is"), "nll"]
table.round(3)

# %% [markdown]
# Points below the diagonal mean that the network is too sure. A temperature above 1 pulls its probabilities towards one half,
# and the accuracy stays the same. So a better `ece` alone is no reason for a regulariser. Fit a temperature first. (This
# is one live run.)

# %% [markdown]
# ## 7. Averages of weights (3 minutes)
#
# **EMA** keeps an average of the weights that slowly forgets. **SWA** (Izmailov et al., 2018) takes the plain mean over the
# last part of a run. Neither changes the training. They change which weights are used afterwards. Here is EMA by hand, for
# the head.


# %%
class ByHand(strategies.Full):
    """Full fine-tuning that also averages the head: θ̄ ← 0.9 θ̄ + 0.1 θ after each step."""

    def prepare(self, model):
        self.begun, self.average = False, None
        return super().prepare(model)

    def before_step(self, model, progress):
        if self.begun:  # the weights before the first step are no result of training
            self.see(model)
        self.begun = True

    def see(self, model):
        now = model.head.weight.detach().clone()
        self.average = now if self.average is None else 0.9 * self.average + 0.1 * now

    def finish(self, model, loaders):
        self.see(model)


# %%
hand, last = ByHand(), {}
arms = {"hand": hand, "EMA": strategies.EMA(decay=0.9), "SWA": strategies.SWA()}
settings = {"steps": 20, "lr": 1e-3, "verbose": False, "precision": "float32"}
for name, strategy in arms.items():
    torch.manual_seed(0)
    model = ftlib.load_model(NETWORK, task)
    model, _ = ftlib.fit(model, task.loader("train", shuffle=True), strategy, **settings)
    last[name] = model.cpu().head.weight.detach()
torch.testing.assert_close(last["EMA"], hand.average.cpu(), atol=1e-4, rtol=1e-3)
assert not torch.allclose(last["SWA"], last["hand"], atol=1e-6)
print("the library's EMA is the average by hand")

# %% [markdown]
# **The trap is BatchNorm.** SWA's mean weights never existed during training. So the statistics that BatchNorm collected
# belong to other weights. One pass over the training data counts the right ones, as torch's `update_bn` does. EMA averages
# the statistics too, since they are averages of the same kind.

# %% [markdown]
# ## 8. Mixtures, and what goes together (2 minutes)
#
# The loss on mixed labels is the mixed loss, because cross-entropy is linear in the label.

# %%
import torch.nn.functional as F

torch.manual_seed(0)
logits, y = torch.randn(8, 2), F.one_hot(torch.arange(8) % 2, 2).float()
other, share = y.roll(1, 0), 0.7
mixed = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, other)
torch.testing.assert_close(F.cross_entropy(logits, share * y + (1 - share) * other), mixed)
print(f"{mixed:.4f} either way")

# %% [markdown]
# Strategies combine in any order. Parts that change images run before those that mix. Two parts that can't both be true are
# refused with a reason.

# %%
parts = strategies.MixUp(0.2), strategies.Flip(), strategies.LabelSmoothing(), strategies.EMA()
both = ftlib.combine(*parts)
assert repr(both).index("Flip") < repr(both).index("MixUp")
print(both)
for pair in (
    (strategies.MixUp(), strategies.CutMix()),
    (strategies.EMA(), strategies.SWA()),
    (strategies.Flip(), strategies.TokenDropout()),
):
    try:
        ftlib.combine(*pair)
        raise AssertionError("this should have been refused")
    except ValueError as error:
        print("-", error)

# %% [markdown]
# ## 9. Texts (2 minutes)
#
# Words can't be averaged or turned. Three things are left. Hide some words (**token dropout**), hide a run of words (**span
# cut**), or average two sentences behind the embedding, where they are vectors.

# %%
reviews = ftlib.load_task("sentiment/amazon", n=100, seed=0)
minilm = ftlib.load_model("minilm", reviews)
batch = next(iter(reviews.loader("train", tokenizer=minilm.tokenizer, batch_size=100)))
row = int((batch["attention_mask"].sum(1) - 20).abs().argmin())  # one of about 20 tokens
there = batch["attention_mask"][row].bool()
words = minilm.tokenizer.convert_ids_to_tokens(batch["input_ids"][row][there].tolist())
print("as it is:", " ".join(words))
torch.manual_seed(0)
for strategy in (strategies.TokenDropout(p=0.3), strategies.SpanCut(share=0.3)):
    mask = strategy.transform(batch)["attention_mask"][row][there]
    print(f"{strategy}: {' '.join(w if m else '_' for w, m in zip(words, mask))}")
    assert mask[0] == 1 and mask.sum() < there.sum()

# %%
texts = ftlib.load_runs("08_augmentation_tasks").query("purpose == 'measure'")
texts = texts.query("task == 'sentiment/amazon'")
compared = ftlib.table(texts, "test.macro_f1", baseline="none")
compared[["mean", "difference", "diff_low", "diff_high", "reading"]].round(3)

# %% tags=["guard"]
assert set(compared.reading.drop("none")) == {"not distinguishable here"}
assert compared.detectable.max() < 0.031

# %% [markdown]
# Neither can be told from *none* after 20 steps on 100 reviews, with six seeds. A gain or loss of about four points would have
# shown. So don't expect much of them here.

# %% [markdown]
# ## 10. Validation stands still, and what it costs (3 minutes)
#
# For each augmentation and mixture of the kit that fits images, validation must be the same before and after training, to
# the last bit.

# %%
changing = ["Flip", "Crop", "Rotation", "ColorJitter", "RandomErasing", "RandAugment"]
changing += ["TrivialAugment", "MixUp", "CutMix", "LabelSmoothing"]
small = ftlib.load_task("elpv", n=32, size=32, held_out=64, seed=0)
plain = [batch["pixels"].clone() for batch in small.loader("validation", batch_size=32)]
for name in changing:
    torch.manual_seed(0)
    model, strategy = ftlib.load_model(NETWORK, small), strategies.get(name)()
    loader = small.loader("train")
    model, _ = ftlib.fit(model, loader, strategy, steps=1, lr=1e-3, verbose=False)
    held_out = small.loader("validation", batch_size=32)
    assert ftlib.evaluate(model, held_out) == ftlib.evaluate(model, held_out), name
    for batch, before in zip(held_out, plain, strict=True):
        assert torch.equal(batch["pixels"], before), name
print(len(changing), "augmentations and mixtures leave validation as it was")

# %% [markdown]
# Does it slow training down? The kit changes a whole batch at once. Here is the time of the policy beside that of a training
# step on this computer, measured once. [The benchmark](../docs/benchmarks.md) has more.

# %%
augment = strategies.build(strategies.augmentation.policy("elpv"))
batch = next(iter(task.loader("train", batch_size=32)))
start = time.perf_counter()
for _ in range(20):
    augment.transform(batch)
changed = (time.perf_counter() - start) / 20
model = ftlib.load_model(NETWORK, task)
start = time.perf_counter()
ftlib.fit(model, task.loader("train"), strategies.Full(), steps=10, lr=1e-3, verbose=False)
step = (time.perf_counter() - start) / 10
print(f"policy {1000 * changed:.1f} ms, step {1000 * step:.0f} ms")

# %% [markdown]
# ## 11. Beside published results (1 minute)
#
# torchvision's recipe for ResNet-50 on ImageNet (Vryniotis, 2021), in points of accuracy. Each row comes on top of those
# above it.
#
# | change | points |
# |---|---|
# | another rate schedule, and TrivialAugment | +0.7 together |
# | **training longer** | **+1.8** |
# | random erasing | +0.2 |
# | label smoothing | +0.3 |
# | MixUp | +0.1 |
# | CutMix | +0.3 |
# | weight decay tuned | +0.5 |
# | EMA | +0.3 |
#
# Each trick alone brings about half a point at most. Training longer brings three times as much. And *Tune It or Don't Use
# It* (Brigato et al., 2021) tuned the learning rate, weight decay and batch size on six small data sets. There plain
# cross-entropy beat all but one of eight methods that were made for small data. These are other networks and data. So tune
# the basics first.

# %% [markdown]
# **Limits.** As in the lesson. Sections 6 and 7 are one live run each.
#
# **Sources.** Vryniotis, *How to Train State-Of-The-Art Models Using TorchVision's Latest Primitives*, PyTorch blog, 2021.
# Brigato et al., *Tune It or Don't Use It*, ICCV Workshops 2021 (2108.13122). Guo et al., *On Calibration of Modern Neural
# Networks*, ICML 2017 (1706.04599). Izmailov et al., *Averaging Weights Leads to Wider Optima*, UAI 2018 (1803.05407).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
