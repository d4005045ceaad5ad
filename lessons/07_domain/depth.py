# %% [markdown]
# # 07 Domain adaptation, in depth
#
# **After this notebook you can** tell a misplaced threshold from lost knowledge, and mend it. You know the other
# methods of the family. You can explain why equal features can force errors, choose between adapted models without
# target labels, and say when that misleads.
#
# **You need** [07 Domain adaptation](07_domain.ipynb), its core. Take what interests you, in about 57 minutes.
# Each section needs only the first code cell.
#
# One reading rule holds for all tables here. A 95 % interval over paired seeds that leaves out zero is *above* or
# *below*. Otherwise we *can't tell*. The intervals are not corrected for the number of rows, so among twenty rows
# without an effect about one will still read *above* or *below*. Only the board corrects its intervals, and says so.

# %% tags=["setup"]
import time

began = time.perf_counter()

import numpy as np
import pandas as pd
import torch

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.strategies import domain, domain_gauge, domain_shift
from ftlib.training.machine import profile

PHOTOS = "digits/photos:test"


def recorded(name: str) -> pd.DataFrame:
    return ftlib.load_runs(name).query("purpose == 'measure'")


def judged(runs, metric: str, arm: str, baseline: str = "source") -> dict:
    """arm − baseline, its 95 % interval, and whether that leaves out zero."""
    d = ftlib.paired(runs, metric, arm, baseline)
    word = "above" if d.low > 0 else "below" if d.high < 0 else "can't tell"
    return {"difference": d.mean, "low": d.low, "high": d.high, "reading": word}


# %% [markdown]
# ## 1. A threshold that looks like lost knowledge (5 minutes)
#
# Solar cells of two kinds, monocrystalline and polycrystalline, which look grainy. A linear probe learns on the first
# and is asked about the second.

# %%
mono, poly = (ftlib.load_task(f"elpv/{kind}", size=64) for kind in ("mono", "poly"))
torch.manual_seed(0)
probe, loader = ftlib.load_model("efficientnet-lite0", mono), mono.loader("train", shuffle=True)
probe, _ = ftlib.fit(probe, loader, strategies.LinearProbe(), steps=60, lr=1e-2)
known, unknown = (
    ftlib.predict_logits(probe, task.loader("validation", batch_size=64))
    for task in (mono, poly)
)


def scored(out, bias=0.0) -> pd.Series:
    found = ftlib.metrics.classification((out["logits"] + bias).numpy(), out["labels"].numpy())
    return pd.Series(found)[["accuracy", "balanced_accuracy", "auroc"]].round(2)


table = {"mono": scored(known), "poly": scored(unknown)}
intact = (unknown["labels"] == 0).float().mean().item()
print(f"always 'intact' would be right on {intact:.0%} of the poly cells")
assert table["poly"]["accuracy"] < intact - 0.2
pd.DataFrame(table)

# %% [markdown]
# Accuracy has collapsed, and [AUROC](../docs/glossary.md#auroc) has hardly moved. It asks for the *order* of the
# cells alone. Accuracy also asks where the **threshold** is. If all scores move, a good order looks bad.
#
# There are two ways to move the threshold without a label of the target.
#
# - **Same shares**: answer "defective" as often as on the source.
# - **BBSE**, black-box shift estimation (Lipton et al., 2018). Let C hold the shares of (answer i, true class j) on
#   held-out *source* examples, and let μ hold the shares of the answers on the target. If *only* the shares of the
#   classes changed, by factors w, then each class keeps its answers, and μᵢ = Σⱼ Cᵢⱼ wⱼ. Solve that. A class that is w
#   times as frequent is w times as likely, so add log w to its logit.


# %%
def factors(answers, labels, target_answers, classes: int):
    """w (K,): how many times as frequent each class is on the target."""
    C = torch.zeros(classes, classes, dtype=torch.float64)
    for i, j in zip(answers, labels):
        C[i, j] += 1 / len(labels)
    now = torch.bincount(target_answers, minlength=classes).double() / len(target_answers)
    more = torch.linalg.pinv(C, rtol=1e-3) @ (now - C.sum(1))  # C w = μ, solved for w − 1
    return (1 + more).clamp(min=0)


answers, target_answers = (out["logits"].argmax(-1) for out in (known, unknown))
w = factors(answers, known["labels"], target_answers, 2)
library = domain_shift.label_shift(answers, known["labels"], target_answers, 2)
assert torch.allclose(w, library, atol=1e-6)

# %%
table["poly, BBSE"] = scored(unknown, w.clamp(min=1e-3).log().float())
score = unknown["logits"] @ torch.tensor([-1.0, 1.0])  # above 0: "defective"
shares = [(task.splits["train"].labels == 1).float().mean().item() for task in (mono, poly)]
# added to "intact": as large a share is called defective as in the source
move = torch.tensor([score.quantile(1 - shares[0]).item(), 0.0])
table["poly, same shares"] = scored(unknown, move)
print(f"factor of the defective: BBSE {w[1]:.2f}, the labels {shares[1] / shares[0]:.2f}")
assert w[1] > 2 > shares[1] / shares[0]
plain, mended = table["poly"], table["poly, same shares"]
assert mended["balanced_accuracy"] > plain["balanced_accuracy"] + 0.05
assert abs(mended["auroc"] - plain["auroc"]) < 0.02  # the order stays
pd.DataFrame(table)

# %% [markdown]
# A moved threshold can't change the order, so AUROC stays. That is why the lesson measures the gap of the cells in
# AUROC. BBSE fails here. The shares are nearly the same, and it finds others, since the *looks* changed. Where the
# shares do change, "same shares" would fail. Use each under its own assumption only. Which one holds? A few labels
# tell, or what you know of the two places.

# %% [markdown]
# ## 2. Two checks (4 minutes)
#
# The 10 in the lesson's ramp is a setting, γ. A tiny γ keeps λ at 0. With **λ = 0** the discriminator still learns, but its gradient no longer reaches the features. If the network also
# keeps the *source's* statistics (`norm="source"`) and gradients are not clipped, the rest must be source-only, to the
# last bit.


# %%
source, target = (ftlib.load_task(f"digits/{d}", n=500, size=32) for d in ("mnist", "photos"))


def fresh():
    torch.manual_seed(0)
    return ftlib.load_model("efficientnet-lite0", source)


def weights_after(strategy, loaders) -> dict:
    settings = {"steps": 4, "lr": 1e-3, "precision": "float32", "max_norm": np.inf}
    model, _ = ftlib.fit(fresh(), loaders, strategy, **settings)
    return model.cpu().state_dict()


first_four = {
    name: [b for _, b in zip(range(4), task.loader("train", shuffle=True))]
    for name, task in (("train", source), ("target", target))
}
plain = weights_after(strategies.Full(), first_four["train"])
zero = weights_after(strategies.DANN(gamma=1e-30, norm="source"), first_four)
equal = sum(torch.equal(zero[name], value) for name, value in plain.items())
print(f"{equal} of {len(plain)} tensors are equal to the last bit; new ones:")
print([name for name in zero if name not in plain])
assert equal == len(plain) and domain.ramp(1.0, 1e-30) == 0

# %% [markdown]
# The second check is about a famous bug that no loss shows: **a label of the target is read**. Then a method seems to
# work wonders. Here labels are taken out of every target batch, so reading one is an error. Where a method is allowed a
# few labels, they are counted.


# %%
class Cheating(strategies.MMD):
    def loss(self, model, batch):
        return {
            "loss": torch.nn.functional.cross_entropy(
                model(batch["target"]), batch["target"]["labels"]
            )
        }


pair = {"train": source.loader("train"), "target": target.loader("train")}
try:
    ftlib.fit(fresh(), pair, Cheating(), steps=1, lr=1e-3)
    raise AssertionError("a label of the target was read")
except KeyError as error:
    print("refused:", error.args[0])
few, ten = strategies.FewLabels(), ftlib.load_task("digits/photos", n=10, size=32)
pair = {"train": source.loader("train"), "labelled": ten.loader("train")}
ftlib.fit(fresh(), pair, few, steps=2, lr=1e-3)
print(f"a few labels: {few.labels:.0f} of the target were read")
assert few.labels == 10

# %% [markdown]
# ## 3. Distances between domains, by hand (3 minutes)
#
# Instead of a discriminator, a formula can say how far apart the features of two batches are. The distance is then
# added to the loss. **Deep CORAL** (Sun & Saenko, 2016) compares the covariance matrices C of D features. **MMD**,
# maximum mean discrepancy (Long et al., 2015), compares all pairs through a *kernel* k, which is 1 for equal points and
# falls with their distance. A bar is the mean over all pairs.
#
# $$\text{CORAL} = \frac{\lVert C_s - C_t \rVert_F^2}{4 D^2}, \qquad
# \text{MMD} = \overline{k(s, s')} + \overline{k(t, t')} - 2\, \overline{k(s, t)}$$


# %%
def coral(s, t):
    return (torch.cov(s.T) - torch.cov(t.T)).square().sum() / (4 * s.shape[1] ** 2)


def mmd(s, t, width: float):
    both = torch.cat([s, t])
    squared = torch.cdist(both, both).square()  # (B + M, B + M)
    k = torch.exp(-squared / (width * squared.mean()))
    b = len(s)
    return k[:b, :b].mean() + k[b:, b:].mean() - 2 * k[:b, b:].mean()


s, t = torch.randn(40, 5), 2 * torch.randn(30, 5)
assert coral(s, s) == 0 and abs(mmd(s, s, 1.0)) < 1e-5  # identical samples
torch.testing.assert_close(coral(s, t), domain.coral(s, t))
torch.testing.assert_close(mmd(s, t, 0.5), domain.mmd(s, t, widths=[0.5]))
print(f"moved by 3: CORAL {coral(s, s + 3):.0e}, MMD {mmd(s, s + 3, 1.0):.2f}")
assert coral(s, s + 3) < 1e-8 < mmd(s, s + 3, 1.0)

# %% [markdown]
# CORAL doesn't see a mean that has moved, and MMD does. A third distance needs no formula. Train a linear classifier to
# tell the domains apart on one half of the examples. Its error on the other half is ε. The **proxy A-distance** is 2 (1
# − 2 ε). It is 0 for guessing. Here are all three on the pretrained features, and for two halves of *one* domain.

# %%
source, target = (ftlib.load_task(f"digits/{d}", n=500, size=32) for d in ("mnist", "photos"))
model = ftlib.load_model("efficientnet-lite0", source).eval()
(h_s,), (h_t,) = (
    domain_shift.features_of(model, task.loader("train", batch_size=64))
    for task in (source, target)
)
far = {}  # every other row, since they lie class by class: halves hold the same digits
for name, (a, b) in {"halves": (h_s[::2], h_s[1::2]), "domains": (h_s, h_t)}.items():
    distance = domain_gauge.proxy_a_distance(a, b)
    far[name] = {"CORAL": coral(a, b).item(), "MMD": mmd(a, b, 1.0).item(), "A": distance}
assert all(far["domains"][k] > far["halves"][k] for k in far["domains"])
pd.DataFrame(far)

# %% [markdown]
# ## 4. Where AdaBN should work best (1 minute)
#
# AdaBN can only move and scale channels. So take solar cells and change nothing but the *images*, by low contrast, blur
# or noise. The classes keep their shares. AUROC on the changed test, six seeds:

# %%
inputs, rows = recorded("07_domain_inputs"), {}
for kind in ("contrast", "blur", "noise"):
    metric = f"elpv+{kind}4:test.auroc"
    means = inputs.groupby("arm")[[metric, "test.auroc"]].mean()
    rows[kind] = {"clean images": means["test.auroc"]["source"],
                  "source-only": means[metric]["source"],
                  **judged(inputs, metric, f"adabn-{kind}")}  # fmt: skip
found = pd.DataFrame(rows).T
found

# %% tags=["guard"]
assert found.reading.to_dict() == {
    "contrast": "can't tell", "blur": "above", "noise": "can't tell"
}  # fmt: skip

# %% [markdown]
# What **blur** had cost is made good in the mean. Low **contrast** is the purest change of scale. In the mean it gains nearly as
# much, but its interval holds zero. **Noise** had cost source-only little, so there was little to win. Measure the loss before
# you choose a remedy.

# %% [markdown]
# ## 5. Each method with its own learning rate (2 minutes)
#
# In the lesson all methods take the rate that source-only chose, which favours source-only. Here each has the best of
# four, chosen on the source's validation. Digits over photographs, 40 steps, six seeds. **Entropy** minimisation asks
# for sure answers on the target. Each row is compared with AdaBN, in accuracy and in the *worst class*, the class that
# is right least often.

# %%
own, rows = recorded("07_domain_rates"), {}
for arm in ["source", "mmd", "dann", "entropy"]:
    for name in ("accuracy", "worst_class"):
        column = f"{PHOTOS}.{name}"
        means = own.groupby("arm")[["lr", column]].mean()
        rows[arm, name] = {"rate": means.lr[arm], "mean": means[column][arm],
                           "AdaBN": means[column]["adabn"],
                           **judged(own, column, arm, "adabn")}  # fmt: skip
print(f"AdaBN chose the rate {own[own.arm == 'adabn'].lr.mean():g}")
found = pd.DataFrame(rows).T.infer_objects()
found.round(3)

# %% tags=["guard"]
told = found.reading.unstack(1).agg(" | ".join, axis=1).to_dict()  # accuracy, worst class
at_source = recorded("07_domain_photos").groupby("arm")[f"{PHOTOS}.accuracy"].mean()
for arm, low, high in (("adabn", 0.075, 0.085), ("dann", 0.055, 0.07)):
    mine = own[own.arm == arm]
    assert set(mine.lr) == {0.003} and set(own[own.arm == "source"].lr) == {0.001}
    assert low < mine[f"{PHOTOS}.accuracy"].mean() - at_source[arm] < high
assert told == {"source": "below | below", "mmd": "can't tell | below",
                "dann": "can't tell | below", "entropy": "below | below"}  # fmt: skip

# %% [markdown]
# AdaBN and DANN both chose three times the rate of source-only. In accuracy DANN can't be told from AdaBN. But its **worst
# class** is lower by 15 points [4, 25]. So a fair rate changes the level, and not the conclusion. In these 40 steps all
# three methods that add a loss have a lower worst class than AdaBN. At 200 steps (section 9) DANN's can't be told from
# AdaBN's. Look at the worst class before you use an adapted network.

# %% [markdown]
# ## 6. The board (7 minutes)
#
# Choose a shift and a measure. *Recovered gap* is each seed's gain over source-only, divided by the mean gap of all
# seeds. *Kept on the source* is the score on the source's own test. *Target-only* has an A-distance of 0, since both
# of its sets come from the target. Four methods are new. *label-shift* moves the threshold by BBSE. *coral* gives
# target features the source's covariance after training. *cdan* also shows the discriminator the answers. *mcc* asks
# for answers that do not mix classes up.
#
# **Your task:** MNIST → photographs, measure *worst class*. How far, in points, is AdaBN above or below source-only?
# Type the number in place of `None` below the figure, and run that cell.

# %%
shifts = {
    "mono → poly": ("07_domain", "elpv/mono", "elpv/poly:test"),
    "poly → mono": ("07_domain", "elpv/poly", "elpv/mono:test"),
    "MNIST → photographs": ("07_domain_photos", "digits/mnist", PHOTOS),
    "the same, 200 steps": ("07_domain_longer", "digits/mnist", PHOTOS),
    "MNIST → optical": ("07_domain_optical", "digits/mnist", "digits/optical:test"),
}
arms, parts = ["source", "adabn", "label-shift", "coral", "mmd", "dann", "cdan", "mcc"], []
arms += ["few-10", "target"]  # the board has ten colours
for shift, (grid, task, place) in shifts.items():
    runs = recorded(grid).drop(columns="n")
    runs = runs[(runs.task == task) & runs.arm.isin(arms)]
    metric = "auroc" if "elpv" in task else "accuracy"
    score = runs.set_index("seed")[f"{place}.{metric}"]
    by_arm = {arm: score[(runs.arm == arm).to_numpy()] for arm in ("source", "target")}
    gap = (by_arm["target"] - by_arm["source"]).mean()
    assert gap > 0
    gain = score.to_numpy() - by_arm["source"][runs.seed].to_numpy()
    parts.append(runs.assign(task=shift, recovered=gain / gap, score=score.to_numpy(),
                             kept=runs[f"test.{metric}"], worst=runs[f"{place}.worst_class"],
                             distance=runs["DomainGauge.distance"]))  # fmt: skip
everything = pd.concat(parts, ignore_index=True)

# %%
measures = {"recovered gap": "recovered", "score on the target": "score"}
measures |= {"worst class": "worst", "kept on the source": "kept"}
measures |= {"proxy A-distance (0 to 2)": "distance"}
board = widgets.board(everything, measures, baseline="source")
board

# %%
points_above = None  # in points, with a decimal point

teach.check("07_domain/board", points_above)

# %%
readings = {}
for shift, runs in everything.groupby("task", sort=False):
    for arm in [arm for arm in runs.arm.unique() if arm not in ("source", "target")]:
        readings[shift, arm] = judged(runs, "score", arm)["reading"]
readings = pd.Series(readings).unstack(0)[list(shifts)].fillna("–")
readings

# %% tags=["guard"]
words = readings.agg(" | ".join, axis=1).to_dict()
assert words == {
    "adabn": "below | can't tell | above | above | above",
    "mmd": "can't tell | can't tell | above | above | –",
    "dann": "can't tell | can't tell | above | above | above",
    "few-10": "can't tell | can't tell | above | above | can't tell",
    "label-shift": "can't tell | can't tell | below | – | –",
    "coral": "– | – | can't tell | – | can't tell",
    "cdan": "– | – | above | above | –",
    "mcc": "– | – | above | – | –",
}
level = everything.groupby(["task", "arm"])[["distance", "kept", "score"]].mean()
for shift in [shift for shift in shifts if shift != "poly → mono"]:
    adabn, source = level.loc[(shift, "adabn")], level.loc[(shift, "source")]
    assert adabn.distance < source.distance and adabn.kept < source.kept - 0.02, shift
short = level.loc["MNIST → photographs"].score
assert short["target"] < min(short["adabn"], short["dann"])

# %% [markdown]
# The board shows three things. **Digits** gain from every method that normalises by the target's statistics. **What
# was kept:** in the mean such a network loses on the source, so keep two sets of statistics if you need both. And **nearer is
# not always better**. On these six seeds of cells, mono → poly, AdaBN brings the domains nearer, and the score falls. Section
# 11 asks again, and can't confirm the fall. From poly to mono AdaBN brings them no nearer.
#
# Target-only should be an upper bound. At 40 steps it is *below* AdaBN and DANN, because training was too short. So the
# lesson shows 200 steps.

# %% [markdown]
# ## 7. Is it less steady? (2 minutes)
#
# A method is unsteady if its seeds differ. The **spread** is the mean distance of a seed's score from the method's
# median, over ten seeds. Besides the usual DANN there are four others. *constant* has no ramp, *weak* a tenth of the
# weight, *strong* three times the weight, and *wide* a wider discriminator.

# %%
from ftlib.evidence.contrasts import spread

ten = recorded("07_domain_unsteady")
wide = ten.pivot(index="seed", columns="arm", values=f"{PHOTOS}.accuracy")
steady = pd.DataFrame({
    "median": wide.median(), "spread": (wide - wide.median()).abs().mean(),
    "below source-only": wide.lt(wide.source, axis=0).mean(),
    "seconds": ten.groupby("arm")["seconds.training"].mean(),
})  # fmt: skip
d = spread(ten, f"{PHOTOS}.accuracy", "dann", "source")
print(f"DANN − source-only, spread: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
steady.round(3)

# %% tags=["guard"]
assert (steady["below source-only"] == 0).all() and d.low < 0 < d.high
slower = steady.seconds.drop("source") / steady.seconds["source"]
assert slower.min() > 1.6 and slower.max() < 2.6
assert judged(ten, f"{PHOTOS}.accuracy", "dann-weak", "dann")["reading"] == "can't tell"

# %% tags=["nbval-check-output"]
teach.claim("D2", verdict="open")

# %% [markdown]
# None of the five settings ended below source-only on any of the ten seeds. But DANN is certainly more *complex*. A step
# takes 1.7 to 2.5 times as long, since it reads two batches. (*weak* and *strong* compute the same, so differences among
# these are the computer's.) And there are four more hyperparameters: weight, γ, width, and
# whose statistics are kept. With a tenth of the weight DANN can't be told from the usual one.

# %% [markdown]
# ## 8. Choosing without labels (6 minutes)
#
# Somebody must choose those hyperparameters without a label of the target. **Validators** try.
#
# - **Source validation** is the network's score on the source.
# - **IM**, information maximisation, is the entropy of the *mean* answer minus the mean entropy of the answers,
#   $H(\bar p) - \overline{H(p)}$. It is high where answers are sure and spread over the classes.
# - **SND** is high where each target example has many near neighbours.
# - **DEV** is the source's loss, weighted to look like the target's. Low is good.
# - The **oracle** looks at target labels. Nobody has it, and it is shown for comparison.
#
# Which of two models does IM prefer? **Predict first:**

# %%
widgets.predict("07_domain", "fooled")


# %%
def im(logits):
    p = logits.softmax(-1)
    mean = p.mean(0)
    return -(mean * mean.log()).sum() + (p * p.log()).sum(-1).mean()


torch.manual_seed(0)
logits = 3 * torch.randn(30, 4)
assert abs(im(logits).item() - domain_gauge.information_maximisation(logits)) < 1e-5
labels = torch.tensor([0] * 80 + [1] * 20)  # a target of which 20 % are positive
right = torch.where(labels[:, None] == torch.arange(2), 3.0, -3.0)
half = labels.clone()
half[:30] = 1  # 30 negatives called positive: wrong, but spread evenly
even = torch.where(half[:, None] == torch.arange(2), 3.0, -3.0)
for name, answers in (("all right", right), ("30 wrong, evenly spread", even)):
    accuracy = (answers.argmax(-1) == labels).float().mean().item()
    print(f"{name}: accuracy {accuracy:.2f}, IM {im(answers).item():.3f}")

# %%
assert im(even) > im(right)
teach.predict("07_domain", "fooled").compare("even" if im(even) > im(right) else "right")

# %% [markdown]
# IM rewards even shares of the answers. Where the true shares are uneven, it rewards wrong answers. Now the five recorded
# settings of DANN from section 7, on ten seeds. Each validator chooses one on each seed. The table compares the choices with the oracle's.

# %%
runs = recorded("07_domain_unsteady").query("arm != 'source'")
looks = {"source validation": ("validation.accuracy", 1), "IM": ("DomainGauge.im", 1),
         "SND": ("DomainGauge.snd", 1), "DEV": ("DomainGauge.dev", -1),
         "oracle": ("digits/photos:validation.accuracy", 1)}  # fmt: skip
chosen = []
for name, (column, sign) in looks.items():
    best = runs.loc[(sign * runs[column]).groupby(runs.seed).idxmax()]
    chosen.append(best.assign(arm=name))
default = runs[runs.arm == "dann"].assign(arm="default settings")
chosen = pd.concat([*chosen, default], ignore_index=True)
metric = f"{PHOTOS}.accuracy"
means = chosen.groupby("arm", sort=False)[metric].mean()
found = {
    arm: {"mean": means[arm], **judged(chosen, metric, arm, "oracle")}
    for arm in means.index
    if arm != "oracle"
}
print(f"the oracle's choices: {means['oracle']:.3f}")
found = pd.DataFrame(found).T.infer_objects()
found.round(3)

# %% tags=["guard"]
assert dict(found.reading[found.reading != "can't tell"]) == {"IM": "below"}
assert found.difference.min() > -0.02

# %% [markdown]
# IM chose below the oracle (only just), and for the others we can't tell. All are within two points of it in the mean. Five
# settings that are this much alike leave little to choose. Where methods differ more, the choice matters more. Musgrave et al. (2021)
# found that a bad choice costs more than methods differ by. So say how you chose, beside what you chose.

# %% [markdown]
# ## 9. Seven more methods (6 minutes)
#
# | method | what it adds |
# |---|---|
# | **CORAL** | after training, target features get the source's mean and covariance, without a gradient |
# | **Deep CORAL** | the distance of the covariances, in the loss |
# | **CDAN** | a discriminator that also sees the answer, as features times class probabilities |
# | **MCD** | two heads disagree on the target as much as they can, and the features make them agree |
# | **entropy minimisation** | sure answers on the target |
# | **MCC** | answers on the target that do not mix classes up (Jin et al., 2020) |
# | **pseudo-labels** | its own sure answers on the target are taken for labels |
#
# The last three look at answers alone. **Entropy** is how unsure an answer is, in nats. *Confusion*, MCC's measure,
# asks how often two classes share the probability of the same example. What does each say of three sets of answers?

# %%
sets = {
    "sure, spread over classes": 8 * torch.eye(3).repeat(4, 1),
    "sure, all the same class": 8 * torch.eye(3)[[0] * 12],
    "knows nothing": torch.zeros(12, 3),
}
seen = {
    name: {"entropy": domain.entropy(logits).mean().item(),
           "confusion": domain.class_confusion(logits, 1.0).item(),
           "IM": domain_gauge.information_maximisation(logits)}
    for name, logits in sets.items()
}  # fmt: skip
assert abs(seen["knows nothing"]["entropy"] - np.log(3)) < 1e-6
assert seen["sure, all the same class"]["entropy"] < 0.01
pd.DataFrame(seen).T.round(3)

# %% [markdown]
# Entropy is as content with one class for all as with right answers. That is its known failure. Confusion and IM do see
# the collapse. So the *worst class* is in the table below. MNIST → photographs, 40 steps, six seeds, the rate of
# source-only.

# %%
photos, metric = recorded("07_domain_photos"), f"{PHOTOS}.accuracy"
wide, rows = photos.pivot(index="seed", columns="arm", values=metric), {}
means = photos.groupby("arm").mean(numeric_only=True)
for arm in [arm for arm in photos.arm.unique() if arm != "source"]:
    gap = domain_gauge.recovered_gap(wide[arm], wide["source"], wide["target"])
    rows[arm] = {**judged(photos, metric, arm), "recovered": gap["recovered"],
                 "worst class": means[f"{PHOTOS}.worst_class"][arm],
                 "kept": means["test.accuracy"][arm],
                 "A-distance": means["DomainGauge.distance"][arm]}  # fmt: skip
found = pd.DataFrame(rows).T
found.infer_objects().round(3)

# %%
pair = found.drop("target")[["A-distance", "recovered"]].astype(float)
fig = plots.points(pair, "A-distance", "recovered", "Eight gain alike, none comes close",
                   "proxy A-distance", "recovered gap")  # fmt: skip
names = {"dann": "adabn, dann, deep-coral", "pseudo": "pseudo, mcc", "mcd": "mmd, cdan, mcd"}
crowded = ("adabn", "deep-coral", "mcc", "mmd", "cdan")  # named at their neighbours
fig.data[0].text = ["" if arm in crowded else names.get(arm, arm) for arm in pair.index]
fig.add_scatter(x=[1.81, 1.91], y=[-0.5, 1.75], mode="none", showlegend=False)  # room for names

# %% tags=["guard"]
readings = found.reading.drop("target")
assert dict(readings[readings != "above"]) == {"label-shift": "below", "coral": "can't tell"}
eight = pair.drop(["label-shift", "coral", "few-10", "few-50"])
assert len(eight) == 8 and eight["A-distance"].max() < 1.875 < 1.88 - 0.001
assert eight.corr(method="spearman").iloc[0, 1] > 0.5

# %% [markdown]
# Eight methods that normalise by the target's batches gain about alike. AdaBN is one of them, and the others contain
# it. CORAL only changes the last features, and can't be told from source-only. Label-shift assumes that the looks stay
# the same, and loses. On the scale from 0 to 2 all are far apart. The eight are a little nearer than CORAL and label-shift.
# Within the eight, nearer is rather worse, and fifty labels gain without coming nearer. So don't choose a method by the
# distance alone. (A recovered gap above 1 means that target-only was trained too briefly.)
#
# Forty steps are few. Here are 200, compared with AdaBN in accuracy and in the worst class.

# %%
longer, rows = recorded("07_domain_longer"), {}
for arm in [arm for arm in longer.arm.unique() if arm not in ("source", "adabn")]:
    for name in ("accuracy", "worst_class"):
        rows[arm, name] = {"mean": longer[longer.arm == arm][f"{PHOTOS}.{name}"].mean(),
                           **judged(longer, f"{PHOTOS}.{name}", arm, "adabn")}  # fmt: skip
found = pd.DataFrame(rows).T.infer_objects()
found.round(3)

# %% tags=["guard"]
told = found.reading.unstack(1)
assert told.accuracy["few-10"] == "below" and told.accuracy["target"] == "above"
assert set(told.accuracy.drop(["few-10", "target"])) == {"can't tell"}
below = {"deep-coral", "mmd", "few-10"}
assert set(told.index[told.worst_class == "below"]) == below
assert found.drop("target", level=0).xs("worst_class", level=1).difference.max() < 0

# %% [markdown]
# In accuracy no method without labels can be told from AdaBN. In the worst class none is above it in the mean. Deep
# CORAL is 4.0 points below [1.1, 6.9], and MMD is below, too, but only just. Ten labels stay far below AdaBN. Target-only is above
# it in accuracy, so there is still something to win. Begin with AdaBN, and add a loss only if it helps on your own
# check.

# %% [markdown]
# ## 10. Sentences (4 minutes)
#
# MiniLM has no BatchNorm, so there is no AdaBN. Four domains of sentences, 200 of a source, 12 steps, DANN to each of
# the three others. The shares of the classes differ, since tweets are more often positive than newspapers. Macro-F1 on
# the target's test, DANN − source-only:

# %%
text, order, rows = recorded("07_domain_text"), ["tweets", "amazon", "movies", "nyt"], {}
positive = {
    d: ftlib.load_task(f"sentiment/{d}").splits["train"].labels.float().mean().item()
    for d in order
}
for i, s in enumerate(order):
    runs = text[text.task == f"sentiment/{s}"]
    for k in (1, 2, 3):
        t = order[(i + k) % 4]
        column = f"sentiment/{t}:test.macro_f1"
        rows[f"{s} → {t}"] = {"source-only": runs[runs.arm == "source"][column].mean(),
                              **judged(runs, column, f"dann-{k}"),
                              "shares differ by": abs(positive[s] - positive[t])}  # fmt: skip
twelve = pd.DataFrame(rows).T
twelve.infer_objects().round(3)

# %% tags=["guard"]
assert (twelve.difference.astype(float).abs() < 0.03).all()
assert (twelve.reading != "can't tell").sum() == 1 and twelve.reading[
    "amazon → tweets"
] == "above"

# %% [markdown]
# Little moves in twelve steps, which is one pass over the sentences. So four pairs were trained for **50 steps**. Each
# domain is a source once and a target once, so there is a target-only too. *few-10* has ten labelled sentences of the
# target. Macro-F1, with AUROC beside it, which no threshold moves:

# %%
more, rows = recorded("07_domain_text_longer"), {}
for s, t in zip(order, [*order[1:], order[0]]):
    runs, test = more[more.task == f"sentiment/{s}"], f"sentiment/{t}:test"
    columns = {f"{test}.{name}": f"test.{name}" for name in ("macro_f1", "auroc")}
    home = more[(more.task == f"sentiment/{t}") & (more.arm == "source")]
    home = home.assign(
        arm="target", task=f"sentiment/{s}", **{c: home[n] for c, n in columns.items()}
    )
    runs = pd.concat([runs, home], ignore_index=True)
    for arm in ("dann", "few-10", "target"):
        rows[f"{s} → {t}", arm] = {
            "source-only": runs[runs.arm == "source"][f"{test}.macro_f1"].mean(),
            **judged(runs, f"{test}.macro_f1", arm),
            "AUROC": judged(runs, f"{test}.auroc", arm)["difference"],
            "AUROC reads": judged(runs, f"{test}.auroc", arm)["reading"],
        }  # fmt: skip
four = pd.DataFrame(rows).T.infer_objects()
four.round(3)

# %%
lost = more[more.task == "sentiment/amazon"]
columns = {
    "DomainGauge.distance": "A-distance",
    "sentiment/movies:test.worst_class": "worst class",
}
lost.groupby("arm")[list(columns)].mean().rename(columns=columns).round(2)

# %% tags=["guard"]
told = four.reading.unstack(1).dann.to_dict()
assert told == {"tweets → amazon": "can't tell", "amazon → movies": "below",
                "movies → nyt": "can't tell", "nyt → tweets": "can't tell"}  # fmt: skip
assert abs(four.AUROC["amazon → movies", "dann"]) < 0.05

# %% [markdown]
# **From Amazon to the movies DANN loses** by 17.9 points [8.7, 27.0]. How? Many answers go to one class, so the worst class
# falls. But the *order* of the sentences loses too, as the column AUROC shows. How much a moved threshold would bring back was
# not run. And the domains did not come nearer. They went apart. Section 11 asks again on fresh seeds.

# %% [markdown]
# ## 11. Negative transfer: asked again, and provoked (6 minutes)
#
# *Asked again, first*: in the lesson AdaBN loses on solar cells, mono → poly. Here are six fresh seeds on which nothing was chosen.
# *Even* has 100 intact and 100 defective cells of each kind. *Self* is a control, whose statistics are recomputed on
# the source.

# %%
fresh_seeds, metric = recorded("07_domain_fresh"), "elpv/poly:test.auroc"
rows = {arm: judged(fresh_seeds, metric, arm) for arm in ("adabn", "adabn-self", "dann")}
rows |= {
    f"{m}-even": judged(fresh_seeds, metric, f"{m}-even", "source-even")
    for m in ("adabn", "dann")
}
rows["adabn − adabn-self"] = judged(fresh_seeds, metric, "adabn", "adabn-self")
found = pd.DataFrame(rows).T
found.infer_objects().round(3)

# %% tags=["guard"]
assert set(found.reading.drop("dann")) == {"can't tell"} and found.reading["dann"] == "below"

# %% [markdown]
# **AdaBN's loss is not confirmed.** On the first six seeds it was 15.8 points [7.8, 23.7]. On fresh ones the
# direction is the same, the size is half, and the interval holds zero. We picked this pair because it was the worst
# of many. Results that are picked for their size are usually smaller when they are measured again. DANN now reads
# *below*, which it didn't on the first seeds. Whether the shares or the new statistics are the cause, these seeds can't
# tell. So confirm a surprising result once, on seeds that took no part in finding it.
#
# *Asked again, second*: DANN on sentences, Amazon → movies. The same fresh seeds, and two questions. Is it the shares (*even*)?
# Is it the strength (*weak*, a tenth of the weight)?

# %%
texts, rows = recorded("07_domain_text_fresh"), {}
pairs = (("dann", "source"), ("dann-even", "source-even"), ("dann-weak", "source"))
looks = {"macro-F1": "sentiment/movies:test.macro_f1", "AUROC": "sentiment/movies:test.auroc",
         "A-distance": "DomainGauge.distance"}  # fmt: skip
for arm, baseline in pairs:
    for name, column in looks.items():
        rows[f"{arm} − {baseline}", name] = judged(texts, column, arm, baseline)
found = pd.DataFrame(rows).T.infer_objects()
found.round(3)

# %% tags=["guard"]
words = found.reading.unstack(1)
assert set(words["macro-F1"]) == {"can't tell"}
assert words["A-distance"].to_dict() == {"dann − source": "above",
                                         "dann-even − source-even": "above",
                                         "dann-weak − source": "below"}  # fmt: skip

# %% [markdown]
# **In macro-F1 not confirmed either.** Again the loss is half as large, and the interval holds zero. But two things are found
# again. The order loses, by 2.6 points of AUROC [0.4, 4.8]. And the domains go **apart**, by .07 [.04, .10], with even
# shares too. The discriminator wins, and the features are moved all the same. With a tenth of the weight they come *nearer*,
# and the order is kept. So read the A-distance before you believe in an alignment. It needs no label.

# %% [markdown]
# *Provoked*: why should other shares hurt? Zhao et al. (2019) prove a general bound. For two classes and equal features it
# takes three lines. Let p of the source and q of the target be positive. If the features of both domains are *exactly*
# alike, every head answers "positive" equally often on both, say with the share a. On the source at least |a − p| of
# the answers are wrong, and on the target at least |a − q|. Together:
#
# $$\text{error}_s + \text{error}_t \;\ge\; |a - p| + |a - q| \;\ge\; |p - q|$$

# %%
p, q = 0.68, 0.40  # tweets and newspapers
least = {a: abs(a - p) + abs(a - q) for a in (0.2, 0.4, 0.5, 0.68, 0.9)}
print({a: round(error, 2) for a, error in least.items()}, "errors in sum, at the least")
assert abs(min(least.values()) - abs(p - q)) < 1e-9

# %% [markdown]
# So equal features cost that much between tweets and newspapers, however good the network is. The bound is about
# features that are exactly alike, and a short training is far from that. Therefore an experiment, in which labels
# *make* the shift, and no method sees them. The unlabelled photographs hold 50 of each digit (**even**), or 90 of 0 to
# 4 and 10 of 5 to 9 (**shifted**).

# %%
digits, rows = recorded("07_domain_balanced"), {}
pairs = (("dann-even", "source"), ("dann-shifted", "source"), ("dann-shifted", "dann-even"))
for name in ("balanced_accuracy", "worst_class"):
    for arm, baseline in pairs:
        rows[f"{arm} − {baseline}", name] = judged(digits, f"{PHOTOS}.{name}", arm, baseline)
found = pd.DataFrame(rows).T.infer_objects()
found.round(3)

# %% tags=["guard"]
distance = digits.groupby("arm")["DomainGauge.distance"].mean()
assert distance.drop("source").min() > 1.7
words = found.reading.unstack(1).agg(" | ".join, axis=1)
assert words.to_dict() == {"dann-even − source": "above | above",
                           "dann-shifted − source": "above | above",
                           "dann-shifted − dann-even": "can't tell | can't tell"}  # fmt: skip

# %% [markdown]
# **No harm is shown.** The shifted photographs change the result by −0.4 points [−1.3, +0.5]. The features are far from
# alike, so the bound says little here. If you do align closely: without labels you can't draw a target set with equal shares.
# Papers estimate the factors and weigh the source by them before aligning. We didn't run that, and BBSE's factors are wrong
# where the looks changed too (section 1). What you can always do is count the classes in a few labelled examples.

# %% [markdown]
# ## 12. Where the threshold counts (2 minutes)
#
# The solar cells again, now in *balanced accuracy*, which depends on the threshold. Does the moved threshold
# (*label-shift*), which changes nothing in the network, keep up with AdaBN and DANN?

# %%
cells, rows = recorded("07_domain"), {}
pairs = (("label-shift", "source"), ("adabn", "source"), ("dann", "source"))
pairs += (("label-shift", "adabn"), ("label-shift", "dann"))
for task, other in (("elpv/mono", "elpv/poly"), ("elpv/poly", "elpv/mono")):
    runs, shift = cells[cells.task == task], f"{task[5:]} → {other[5:]}"
    for arm, baseline in pairs:
        column = f"{other}:test.balanced_accuracy"
        rows[shift, f"{arm} − {baseline}"] = judged(runs, column, arm, baseline)
    still = judged(runs, f"{other}:test.auroc", "label-shift")
    assert abs(still["difference"]) < 0.005  # a moved threshold leaves the order as it is
found = pd.DataFrame(rows).T.infer_objects()
found.round(3)

# %% tags=["guard"]
told = {key: word for key, word in found.reading.items() if word != "can't tell"}
assert told == {("mono → poly", "adabn − source"): "below",
                ("mono → poly", "label-shift − adabn"): "above"}  # fmt: skip

# %% [markdown]
# The moved threshold is ahead of AdaBN from mono to poly, and can't be told from DANN. But no gain over source-only is
# shown for any of the three. The looks changed and the shares did not, so the factors of BBSE are wrong here. The
# baseline that is hard to beat is source-only.

# %% [markdown]
# ## 13. A third domain (2 minutes)
#
# Claim D3 in the lesson asks whether adapting to one domain helps in another. Here are the first runs about it, DANN −
# source-only on a domain that took no part in training. The first four rows are sentences, by their source. The last
# three are MNIST digits, by the domain that they were adapted to.

# %%
names = {"tweets": "movies", "amazon": "nyt", "movies": "tweets", "nyt": "amazon"}
text_runs, rows = recorded("07_domain_text"), {}
for s, third in names.items():
    runs = text_runs[text_runs.task == f"sentiment/{s}"]
    rows[f"{s}, asked about {third}"] = judged(
        runs, f"sentiment/{third}:test.macro_f1", "dann-1"
    )
for name, grid, third in (("photos, 40 steps", "07_domain_photos", "optical"),
                          ("photos, 200 steps", "07_domain_longer", "optical"),
                          ("optical, 40 steps", "07_domain_optical", "photos")):  # fmt: skip
    rows[f"{name}, asked about {third}"] = judged(
        recorded(grid), f"digits/{third}:test.accuracy", "dann"
    )
found = pd.DataFrame(rows).T
found.infer_objects().round(3)

# %% tags=["guard"]
assert (found.reading == "can't tell").sum() == len(found) - 1
assert found.reading.iloc[-1] == "below"

# %% [markdown]
# On sentences nothing moves in twelve steps. Digits that were adapted to optical ones read *below* over photographs. It is one
# of seven rows, and its interval ends at −0.1 points, so that may be chance.

# %% [markdown]
# ## 14. Beside published results (5 minutes)
#
# | who | what they report | what differs from ours |
# |---|---|---|
# | Ganin et al. (2016) | MNIST → MNIST-M, accuracy: DANN 76.7 % | other photographs, all of MNIST, from scratch, long trainings |
# | four re-implementations | the same: 71.9, 79.8, 86.5 and about 94 % | each other: networks, steps, and what chose them |
# | Transfer Learning Library, Office-Home | source-only 46.1 or 58.4, DANN 57.6 or 65.2 (original, re-run) | ResNet-50, 65 classes |
# | the same, Office-Home with a ViT | source-only 75.0, DANN 78.6, MCD 73.0 | a stronger network: a smaller gain, and one loss |
# | the same, one pair with a ResNet (Ar → Pr) | source-only 65.9, DANN 62.6 | negative transfer, in the same file |

# %% [markdown]
# The same method gets between 71.9 and 94 %. Networks, steps and the way to choose them differ. So compare two methods
# only where the same code ran both. Here are ours.

# %%
ours = {f"{steps} steps": recorded(grid).groupby("arm")[f"{PHOTOS}.accuracy"].mean()
        for steps, grid in ((40, "07_domain_photos"), (200, "07_domain_longer"))}  # fmt: skip
pd.DataFrame(ours).loc[["source", "adabn", "dann", "target"]].round(3)

# %% [markdown]
# For sentences there is a table on the same data, Table 5 of Hutto & Gilbert (2014). It has four classical classifiers,
# trained on half of a domain, with three classes and F1. Ours have two classes, 200 sentences, a pretrained network and
# macro-F1. So the columns can't be compared. But the *fall* from the own domain to another can.

# %%
order = ["tweets", "movies", "amazon", "nyt"]
published = pd.DataFrame(
    [[.84, .56, .58, .46], [.56, .75, .51, .45], [.69, .55, .61, .48], [.59, .56, .51, .50]],
    index=order, columns=order,
)  # fmt: skip
text = recorded("07_domain_text").query("arm == 'source'")
ours = pd.DataFrame(index=order, columns=order, dtype=float)
for s in order:
    runs = text[text.task == f"sentiment/{s}"]
    for t in order:
        column = "test.macro_f1" if s == t else f"sentiment/{t}:test.macro_f1"
        ours.loc[s, t] = runs[column].mean()
fall = [m.sub(np.diag(m), axis=0) for m in (published, ours)]  # against the own domain
off = ~np.eye(4, dtype=bool)
rho = pd.Series(fall[0].to_numpy()[off]).corr(
    pd.Series(fall[1].to_numpy()[off]), method="spearman"
)
print(f"rank correlation of the falls over twelve pairs: {rho:+.2f}")
assert published.idxmax(axis=1).to_dict() == {"tweets": "tweets", "movies": "movies",
                                              "amazon": "tweets", "nyt": "tweets"}  # fmt: skip
print("published, the best of each (rows: trained on):")
print(published, "\n\nours, source-only:")
ours.round(2)

# %% [markdown]
# The two sets of falls go together somewhat, over pairs that share four domains. In the published table classifiers
# trained on Amazon or on newspapers do best on *tweets*, not at home. A target can be easier than the source. VADER
# itself, a list of words with rules, is trained on none of the four. It reaches .96 on tweets and .55 on newspapers,
# so no shift explains its fall. Ask how hard a target is before you blame the shift.

# %% [markdown]
# **Limits.** As in the lesson. Also, the twelve pairs share four domains. The shift of the digits' shares is strong and
# made by hand. DANN has default settings, except in sections 5, 7 and 8 and once in section 11. Joint methods that
# estimate shares *and* align are not built here. For other comparisons use the board of [01 Full
# fine-tuning](01_full.ipynb).

# %% [markdown]
# **Sources.** Lipton, Wang & Smola (BBSE), ICML 2018 (1802.03916). Zhao et al., ICML 2019 (1901.09453). Long et al.
# (MMD), ICML 2015 (1502.02791). Long et al. (CDAN), NeurIPS 2018 (1705.10667). Saito et al. (MCD), CVPR 2018
# (1712.02560). Jin et al. (MCC), ECCV 2020 (1912.03699). Lee (pseudo-labels), ICML workshop 2013. Sun, Feng & Saenko
# (CORAL), AAAI 2016 (1511.05547). Sun & Saenko, *Deep CORAL*, 2016 (1607.01719). Musgrave et al., 2021 (2111.15672).
# Saito et al. (SND), ICCV 2021 (2108.10860). You et al. (DEV), ICML 2019. Hutto & Gilbert, *VADER*, ICWSM 2014. Jiang
# et al., *Transfer Learning Library*. The four re-implementations, on GitHub: s-chh/PyTorch-DANN,
# NaJaeMin92/pytorch-DANN, dudevil/DomainAdaptation (its wiki), sghoshjr/Domain-Adversarial-Neural-Network.

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
