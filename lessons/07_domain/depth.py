# %% [markdown]
# # 07 Domain adaptation, in depth
#
# **After this notebook you can** say what the other methods of the family do; explain why equal features can force errors, and test
# it; choose between adapted models without target labels, and say when that misleads; and read published numbers beside ours.
#
# **You need** [07 Domain adaptation](07_domain.ipynb), its core. Optional: nothing later depends on it. Time: 40 minutes, in any
# order: each section needs only the first code cell.

# %% tags=["setup"]
import time

began = time.perf_counter()

import numpy as np
import pandas as pd
import torch

import ftlib
from ftlib import plots, teach
from ftlib.strategies import domain, domain_gauge
from ftlib.training.machine import profile

WORDS = {"supported": "recovers", "contradicted": "hurts"}


def recorded(name: str) -> pd.DataFrame:
    return ftlib.load_runs(name).query("purpose == 'measure'")


def judged(runs, metric: str, arm: str, baseline: str = "source") -> dict:
    """arm − baseline, its interval, the verdict for a margin of one point."""
    d = ftlib.paired(runs, metric, arm, baseline)
    return {"difference": d.mean, "low": d.low, "high": d.high,
            "verdict": WORDS.get(d.verdict(0.01), d.verdict(0.01))}  # fmt: skip


# %% [markdown]
# ## 1. Seven more methods (7 minutes)
#
# | method | what it adds |
# |---|---|
# | **CORAL** | after training, target features are given the source's mean and covariance; no gradient |
# | **Deep CORAL** | the distance of the covariances, in the loss |
# | **CDAN** | a discriminator that also sees the answer: features times class probabilities |
# | **MCD** | two heads disagree on the target as much as they can; the features make them agree |
# | **entropy minimisation** | sure answers on the target |
# | **MCC** | answers on the target that do not mix classes up |
# | **pseudo-labels** | own sure answers on the target are taken for labels |
#
# The last three look at answers alone.

# %% [markdown]
# **Entropy** is how unsure an answer is, in nats: 0 for a sure one, ln K for K equal
# chances. **MCC** (minimum class confusion; Jin et al., 2020) asks how often two classes share the probability of the same example.
# What does each say of three sets of answers, all of them *without* a label?

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
by_hand = -(p := sets["knows nothing"].softmax(-1)).mul(p.log()).sum(-1).mean().item()
assert abs(by_hand - np.log(3)) < 1e-6
assert abs(seen["knows nothing"]["entropy"] - by_hand) < 1e-6
assert seen["sure, all the same class"]["entropy"] < 0.01
pd.DataFrame(seen).T.round(3)

# %% [markdown]
# Entropy is as content with one class for all as with right answers: its known failure. Confusion and IM (section 5: high for sure,
# spread answers) do see the collapse: .67, as bad as knowing nothing, and 0. So the *worst class* stands in the table. MNIST →
# photographs, 500 digits, 40 steps, six seeds; default knobs (Deep CORAL: weight 100), the rate of source-only (target-only's
# A-distance is 0, since both of its sets are the target's own: no alignment):

# %%
photos, metric = recorded("07_domain_photos"), "digits/photos:test.accuracy"
wide, rows = photos.pivot(index="seed", columns="arm", values=metric), {}
means = photos.groupby("arm").mean(numeric_only=True)
for arm in [arm for arm in photos.arm.unique() if arm != "source"]:
    gap = domain_gauge.recovered_gap(wide[arm], wide["source"], wide["target"])
    rows[arm] = {**judged(photos, metric, arm), "recovered": gap["recovered"],
                 "spread": gap["spread"], "failed": gap["failed"],
                 "worst class": means["digits/photos:test.worst_class"][arm],
                 "kept": means["test.accuracy"][arm],
                 "A-distance": means["DomainGauge.distance"][arm],
                 "seconds": means["seconds.training"][arm],
                 "memory (MB)": means["memory"][arm] / 1e6}  # fmt: skip
found = pd.DataFrame(rows).T
found.round(3)

# %%
verdicts = found.verdict.drop("target")
assert set(verdicts[verdicts != "recovers"].items()) == {("label-shift", "hurts"),
                                                         ("coral", "undecided")}  # fmt: skip
pair = found.drop("target")[["A-distance", "recovered"]].astype(float)
plots.points(pair, "A-distance", "recovered", "Nearer domains, better answers?",
             "proxy A-distance", "recovered gap")  # fmt: skip

# %% [markdown]
# Eight methods that see target batches *recover*, by 15 to 17 points; one of them is AdaBN, and the others contain what it does.
# CORAL, which only re-colours the last features, is undecided; label-shift, which assumes that looks are alike, *hurts* by 3.1 points
# [1.4, 4.8].
#
# In the figure the eight have distances of 1.83 to 1.87, all others of 1.88 to 1.90. Between the two groups nearer goes with better;
# within the eight it is rather the other way round (rank correlation of distance and gain: +.71). On the cells AdaBN, mono → poly,
# came nearer and lost (section 8 of the lesson).
#
# Forty steps are few. The same with 200, where target-only is a bound; against source-only, against AdaBN, and against AdaBN in the
# *worst class*:

# %%
longer, worst = recorded("07_domain_longer"), "digits/photos:test.worst_class"
means = longer.groupby("arm")[metric].mean()
distances = longer.groupby("arm")["DomainGauge.distance"].mean()
rows = {
    arm: {"mean": mean, "A-distance": distances[arm], **judged(longer, metric, arm),
          **{f"{k}, against AdaBN": v for k, v in judged(longer, metric, arm, "adabn").items()},
          **{f"{k}, worst class": v for k, v in judged(longer, worst, arm, "adabn").items()}}
    for arm, mean in means.items() if arm not in ("source", "adabn")
}  # fmt: skip
found = pd.DataFrame(rows).T
for arm in ("source", "adabn"):
    print(f"{arm}: {means[arm]:.3f}, A-distance {distances[arm]:.2f}; 200 steps, six seeds")
against = found["verdict, against AdaBN"]
assert against["few-10"] == "hurts" and against["target"] == "recovers"
assert set(against.drop(["few-10", "target"])) == {"undecided"}
assert found.drop("target")["difference, worst class"].max() < 0
assert found["verdict, worst class"]["deep-coral"] == "hurts"
found.round(3)

# %% [markdown]
# In accuracy no method can be told from AdaBN; the highest, Deep CORAL, is 2.1 points above it [−1.0, +5.2]. In the *worst class*
# none is above it, and Deep CORAL is 4.0 points below [1.1, 6.9]. CDAN and Deep CORAL bring the domains nearer than AdaBN does
# (A-distance −.15 [−.28, −.02] and −.18 [−.30, −.06]); for DANN, MCD and MMD the interval holds 0. Ten labels stay 12 points below
# AdaBN, and target-only is 7 above: that is what is left to win.

# %% [markdown]
# ## 2. Sentences: twelve pairs (7 minutes)
#
# MiniLM, 200 sentences of a source, 12 steps, DANN to each of three other domains. The shares of the classes differ: 68 % of the
# tweets are positive and 40 % of the newspaper's sentences. Macro-F1 on the target's test, DANN − source-only:

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
twelve.round(3)

# %%
counts = twelve.verdict.value_counts().to_dict()
assert counts == {"undecided": 10, "equivalent": 2}
shown = twelve[["shares differ by", "difference"]].astype(float)
print(f"rank correlation: {shown.corr(method='spearman').iloc[0, 1]:+.2f} over twelve pairs")
plots.points(shown, "shares differ by", "difference", "Other shares, worse adaptation?",
             "difference of the shares", "DANN − source-only, macro-F1")  # fmt: skip

# %% [markdown]
# DANN neither recovers nor hurts on any pair: ten are undecided, two equivalent, all means between −2.2 and +2.3 points. MiniLM has
# no BatchNorm, so what helped on digits is not there to be had. That larger differences of the shares go with worse
# adaptation is not seen: −.10, over twelve pairs which share four domains, so about anything from −.6 to +.5 would be possible. (For
# movies the lowest of four rates was best on validation, an edge.) Little moves in twelve steps, one pass over the 200 sentences.

# %% [markdown]
# So, afterwards, four pairs for **50 steps**, four passes: each domain is a source once and a target once, so that a target-only of as
# many steps is there too. Beside DANN ten labelled sentences of the target (few-10). Each source has a rate of its own, the best of
# four for source-only. Macro-F1, and AUROC, which no threshold moves:

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
        order_of = judged(runs, f"{test}.auroc", arm)
        rows[f"{s} → {t}", arm] = {
            "source-only": runs[runs.arm == "source"][f"{test}.macro_f1"].mean(),
            **judged(runs, f"{test}.macro_f1", arm),
            "AUROC": order_of["difference"], "from": order_of["low"], "to": order_of["high"],
        }  # fmt: skip
four = pd.DataFrame(rows).T.infer_objects()
four.round(3)

# %%
seen = four.verdict.unstack(1).agg(" ".join, axis=1).to_dict()
assert seen == {
    "tweets → amazon": "undecided undecided undecided",
    "amazon → movies": "hurts undecided recovers",
    "movies → nyt": "equivalent undecided recovers",
    "nyt → tweets": "undecided undecided recovers",
}
lost = more[more.task == "sentiment/amazon"]
for column in ("DomainGauge.distance", "sentiment/movies:test.worst_class"):
    d = ftlib.paired(lost, column, "dann", "source")
    print(f"amazon → movies, {column}, DANN − source-only:")
    print(f"  {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]")
    print(" ", lost.groupby("arm")[column].mean().round(2).to_dict())

# %% [markdown]
# **From Amazon to the movies DANN hurts**, by 17.9 points [8.7, 27.0]; at 12 steps that pair had been at −0.8 [−2.0, +0.3]. The three
# others are undecided or equivalent, and so are ten labelled sentences on all four. There was something to win: target-only is 3 to
# 11 points above source-only.
#
# How does it hurt? The *order* of the sentences loses only 3.8 points of AUROC [1.6, 6.1]: most of the loss is answers that go to
# one class, the worst class falls from .50 to .19. That is the threshold of section 2 of the lesson again. The shares differ
# little: 59 % of Amazon's sentences are positive, and 50 % of those on movies. And the domains did not come nearer, but went apart, A-distance
# 1.89 → 1.96 (+.07 [.02, .11]). Section 3 asks again on fresh seeds.

# %% [markdown]
# ## 3. Negative transfer, found and made (9 minutes)
#
# *Found*: in the lesson AdaBN loses on solar cells, mono → poly. Six fresh seeds, 10 to 15, on which nothing was chosen; AdaBN and
# DANN as they are, and with **even** shares (100 intact and 100 defective cells of each kind). And a control, **self**: counted
# anew, but on the source.

# %%
fresh, metric = recorded("07_domain_fresh"), "elpv/poly:test.auroc"
rows = {arm: judged(fresh, metric, arm) for arm in ("adabn", "adabn-self", "dann")}
rows |= {
    f"{m}-even": judged(fresh, metric, f"{m}-even", "source-even") for m in ("adabn", "dann")
}
rows["source-even"] = judged(fresh, metric, "source-even")
rows["adabn − adabn-self"] = judged(fresh, metric, "adabn", "adabn-self")
wide = fresh.pivot(index="seed", columns="arm", values=metric)
gains = pd.DataFrame({"as it is": wide["adabn"] - wide["source"],
                      "even": wide["adabn-even"] - wide["source-even"]})  # fmt: skip
long = gains.rename_axis(columns="arm").stack().rename("gain").reset_index()
rows["adabn: even − as it is"] = judged(long, "gain", "even", "as it is")
found = {name: row["verdict"] for name, row in rows.items()}
assert set(found.values()) == {"undecided"}
pd.DataFrame(rows).T

# %% [markdown]
# **Not confirmed.** On seeds 0 to 5 AdaBN lost 15.8 points [7.8, 23.7], on fresh ones 7.0 [−6.3, 20.4]: the same direction, half the
# size, and an interval that holds 0. The pair was picked since it was the worst of many, and what is picked for its size is smaller
# when it is measured again. That is why a find is confirmed once, on seeds that took no part in it. DANN loses 3.4 points
# [0.2, 6.6], which is below 0 and not beyond the margin of one point.

# %% [markdown]
# The control is at −1.4 [−12, +9], AdaBN − control at −5.6 [−16, +5]: whether it is the target's statistics that cost something is not
# shown on these seeds either. With even shares AdaBN loses
# nothing in the mean (−0.6 [−11, +10]), but the shares of the two kinds hardly differ to begin with, even − as it is holds 0, and
# training on even shares has itself moved source-only by −6 [−19, +7]. So no explanation by shares is shown.

# %% [markdown]
# *Found again*: DANN on sentences, Amazon → movies (section 2). The same fresh seeds, and two questions. Is it the shares (**even**: 100
# positive and 100 negative sentences of each)? Is it the strength (**weak**: a tenth of the weight)?

# %%
texts, rows = recorded("07_domain_text_fresh"), {}
pairs = (("dann", "source"), ("dann-even", "source-even"), ("dann-weak", "source"))
looks = {"macro-F1": "sentiment/movies:test.macro_f1", "AUROC": "sentiment/movies:test.auroc",
         "A-distance": "DomainGauge.distance"}  # fmt: skip
for arm, baseline in pairs:
    for name, column in looks.items():
        d = ftlib.paired(texts, column, arm, baseline)
        rows[f"{arm} − {baseline}", name] = {"difference": d.mean, "low": d.low, "high": d.high,
                                             "verdict": d.verdict(0.01)}  # fmt: skip
found = pd.DataFrame(rows).T
words = found.verdict.unstack(1)
assert set(words["macro-F1"]) == {"undecided"}
assert words["A-distance"]["dann − source"] == "supported"  # farther apart
assert words["A-distance"]["dann-even − source-even"] == "supported"
assert words["A-distance"]["dann-weak − source"] == "contradicted"  # nearer
assert words["AUROC"]["dann-weak − source"] == "equivalent"
found.infer_objects().round(3)

# %% [markdown]
# **Not confirmed either**: −8.5 points [−21.2, +4.1] where six other seeds had −17.9: half the size again, and again the pair had been
# picked as the worst, of four. Even shares leave −5.3 [−16.0, +5.5], so the shares are not shown to be the cause.
#
# What *is* found again: the domains go **apart**, by .07 [.04, .10], and by .11 [.05, .18] with even shares. The discriminator wins,
# and the features are moved all the same. With a tenth of the weight they come *nearer*, by .07 [.01, .13], and
# the order is kept (AUROC +0.1 points [−0.2, +0.4]). Stronger is not more aligned. So read the A-distance before you believe in an
# alignment: it needs no label.

# %% [markdown]
# *Made*: why should other shares hurt? Zhao et al. (2019) prove a general bound; for two classes and equal features it takes three
# lines. Let p of the source and q of the target be positive. If the
# features of both domains are *exactly* alike, every head answers "positive" equally often on both, say with the share a. On the
# source at least |a − p| of the answers are wrong, on the target at least |a − q|. Together:
#
# $$\text{error}_s + \text{error}_t \;\ge\; |a - p| + |a - q| \;\ge\; |p - q|$$

# %%
p, q = 0.68, 0.40  # tweets and newspaper
least = {a: abs(a - p) + abs(a - q) for a in (0.2, 0.4, 0.5, 0.68, 0.9)}
print({a: round(error, 2) for a, error in least.items()}, "errors in sum, at the least")
assert abs(min(least.values()) - abs(p - q)) < 1e-9

# %% [markdown]
# So equal features cost at least 28 points, both errors added, between tweets and the newspaper, however good the network is. The bound is about
# features that are exactly alike; a short training is far from that. Therefore the experiment, in which labels are used to *make*
# the shift, and no method sees them: the unlabelled photographs hold 50 of each digit (**even**), or 90 of 0 to 4 and 10 of 5 to 9
# (**shifted**). The same fresh seeds, MNIST → photographs, DANN:

# %%
digits = recorded("07_domain_balanced")
metric, worst = (f"digits/photos:test.{name}" for name in ("balanced_accuracy", "worst_class"))
pairs = (("dann-even", "source"), ("dann-shifted", "source"), ("dann-shifted", "dann-even"))
rows = {f"{a} − {b}": judged(digits, metric, a, b) for a, b in pairs}
rows |= {f"{a} − {b}, worst class": judged(digits, worst, a, b) for a, b in pairs}
found = {name: row["verdict"] for name, row in rows.items()}
assert [found[f"{a} − {b}"] for a, b in pairs] == ["recovers", "recovers", "undecided"]
distance = digits.groupby("arm")["DomainGauge.distance"].mean().round(2).to_dict()
print("A-distance:", distance)
assert distance["dann-shifted"] == 1.79 and distance["dann-even"] == 1.85
assert [found[f"{a} − {b}, worst class"] for a, b in pairs] == [
    "recovers",
    "recovers",
    "undecided",
]
pd.DataFrame(rows).T

# %% [markdown]
# **No harm is shown.** With nine times as many photographs of one half of the digits as of the other, DANN differs from DANN with even
# ones by −0.4 points [−1.3, +0.5], in the worst class by −0.7 [−7.6, +6.3], which could hide some. The bound above needs features
# that are exactly alike; the general one shrinks as the domains can be told apart, and here they can: A-distance 1.79 after DANN
# with shifted photographs and 1.85 with even ones, of 2. Probably it was the normalisation that helped, and 500 photographs give it
# nearly the same statistics either way; that was not measured.
#
# Whoever does align closely, and has no labels, cannot balance the target. Two things can be done: estimate the factors (BBSE) and
# weigh the source's examples by them *before* aligning; or leave the alignment out and move the threshold alone.

# %% [markdown]
# ## 4. Where the threshold counts (4 minutes)
#
# The solar cells again, now in *balanced accuracy*, which hangs on the threshold. Is the moved threshold (label-shift), which needs
# no training at all, behind the methods that train?

# %%
cells, rows = recorded("07_domain"), {}
for task, other in (("elpv/mono", "elpv/poly"), ("elpv/poly", "elpv/mono")):
    for name in ("auroc", "balanced_accuracy", "worst_class"):
        for arm in ("label-shift", "adabn", "mmd", "dann", "few-10", "target"):
            column = f"{other}:test.{name}"
            rows[f"{task[5:]} → {other[5:]}", name, arm] = judged(
                cells[cells.task == task], column, arm
            )
found = pd.DataFrame(rows).T
still = [rows[shift, "auroc", "label-shift"]["difference"] for shift in {k[0] for k in rows}]
assert max(map(abs, still)) < 0.005  # a moved threshold leaves the order as it is
verdicts = found.verdict
decided = {key: word for key, word in verdicts.items() if word in ("recovers", "hurts")}
assert decided == {
    ("mono → poly", "auroc", "adabn"): "hurts",
    ("mono → poly", "balanced_accuracy", "adabn"): "hurts",
    ("mono → poly", "auroc", "target"): "recovers",
    ("mono → poly", "balanced_accuracy", "target"): "recovers",
    ("poly → mono", "worst_class", "label-shift"): "hurts",
}
found.verdict.unstack(1)

# %%
asked, column = {}, "balanced_accuracy"
pairs = (("label-shift", "source"), ("label-shift", "adabn"), ("label-shift", "dann"))
for task, other in (("elpv/mono", "elpv/poly"), ("elpv/poly", "elpv/mono")):
    runs, shift = cells[cells.task == task], f"{task[5:]} → {other[5:]}"
    for arm, baseline in (*pairs, ("dann", "source")):
        found = judged(runs, f"{other}:test.{column}", arm, baseline)
        asked[shift, f"{arm} − {baseline}"] = found
answers = pd.DataFrame(asked).T
assert answers.verdict["mono → poly", "label-shift − adabn"] == "recovers"
assert (answers.verdict == "undecided").sum() == 7
answers

# %% [markdown]
# No gain by a threshold moved by BBSE is shown: −3.5 points of balanced accuracy [−9.5, +2.5] and −6.8 [−15.6, +2.0]; from poly to mono
# the worst class *loses* 28 [9, 46]. As in section 2 of the lesson: the looks changed, the shares did not, and the factors are
# wrong. **Is it behind the methods that train?** Behind AdaBN it is not: 7.0 points *above*, mono → poly [2.2, 11.7]. Against DANN it is
# undecided, +2.0 [−2.4, +6.4] and −6.8 [−20.4, +6.9]; and DANN − source-only is −5.5 [−12.5, +1.5] and 0.0 [−14, +14]. The baseline
# that is hard to beat here is source-only.

# %% [markdown]
# ## 5. Validators, and how they are fooled (4 minutes)
#
# **IM** (information maximisation) is the entropy of the *mean* answer minus the mean entropy of the answers: high where answers are
# sure and spread over the classes. By hand:
#
# $$\text{IM} = H(\bar p) - \overline{H(p)}$$
#
# **SND** takes, for each target example, its similarity to all others as a distribution, and its entropy: high where each example
# has many near neighbours. **DEV** weighs each held-out source example by how much it looks like the target, and takes the mean
# loss: low is good.


# %%
def im(logits):
    p = logits.softmax(-1)
    mean = p.mean(0)
    return -(mean * mean.log()).sum() + (p * p.log()).sum(-1).mean()


torch.manual_seed(0)
logits = 3 * torch.randn(30, 4)
library = domain_gauge.information_maximisation(logits)
assert abs(im(logits).item() - library) < 1e-5
labels = torch.tensor([0] * 80 + [1] * 20)  # a target of which 20 % are positive
right = torch.where(labels[:, None] == torch.arange(2), 3.0, -3.0)
half = labels.clone()
half[:30] = 1  # 30 negatives called positive: wrong, but spread evenly
even = torch.where(half[:, None] == torch.arange(2), 3.0, -3.0)
for name, answers in (("all right", right), ("30 wrong, evenly spread", even)):
    accuracy = (answers.argmax(-1) == labels).float().mean().item()
    print(f"{name}: accuracy {accuracy:.2f}, IM {im(answers).item():.3f}")
assert im(even) > im(right)

# %% [markdown]
# **IM prefers the wrong ones**, since they are spread evenly, and the right answers are not: under label shift that is no accident.
# Over the recorded DANN arms of the lesson (five arms, ten seeds): how does each validator order the runs, compared with the
# score that it cannot see? First over all runs, then within each seed, where the arms compete:

# %%
ten = recorded("07_domain_unsteady").query("arm != 'source'")
metric, looks = "digits/photos:test.accuracy", {
    "source validation": ten["validation.accuracy"], "IM": ten["DomainGauge.im"],
    "SND": ten["DomainGauge.snd"], "DEV, turned": -ten["DomainGauge.dev"],
    "A-distance, turned": -ten["DomainGauge.distance"],
    "oracle": ten["digits/photos:validation.accuracy"],
}  # fmt: skip
rows = {}
for name, values in looks.items():
    both = pd.DataFrame({"seed": ten.seed, "looks": values, "score": ten[metric]})
    within = [g.looks.corr(g.score, method="spearman") for _, g in both.groupby("seed")]
    mean, low, high = ftlib.compare.interval(np.array(within))
    overall = both.looks.corr(both.score, method="spearman")
    rows[name] = {"all runs": overall, "within a seed": mean, "low": low, "high": high}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# Within a seed the source's validation orders the arms a little, .29 [.00, .58], and DEV, .36 [−.05, .78], is undecided; for IM,
# SND and the A-distance no order is shown (intervals of about ±.4). But even the oracle reaches only .38 [.07, .70]: it looks at other labelled examples of
# the same target, and five arms that differ by two points are hard to order for anybody.

# %% [markdown]
# ## 6. A third domain (1 minute)
#
# *Adapted to a second domain, a network transfers better to others, too*: so says one of the sentences that this kit tests. Texts, in
# the order tweets, Amazon, movies, newspaper, and round again: DANN to the next, scored on the one after that, which neither has
# seen.

# %% tags=["nbval-check-output"]
teach.claim("D3", verdict="open")

# %% [markdown]
# **Undecided**, and close to nothing: −1.0 points [−3.3, +1.2], −0.3 [−1.4, +0.7], −0.1 [−0.8, +0.6] and +0.3 [−1.6, +2.2]. Of the
# digits those adapted to photographs are at +2.4 on the optical ones [−3.7, +8.5], and those adapted to the optical ones at −2.3 on
# photographs [−4.4, −0.1]. Perhaps: where adapting means taking over one domain's statistics, they are
# not another's.

# %% [markdown]
# ## 7. Beside published results (5 minutes)
#
# | who | what they report | what differs from ours |
# |---|---|---|
# | Ganin et al. (2016) | MNIST → MNIST-M, accuracy: DANN 76.7 % | other photographs, all of MNIST, from scratch, long trainings |
# | four re-implementations | the same: 71.9, 79.8, 86.5 and about 94 % | each other: networks, steps, and what chose them |
# | Transfer Learning Library, Office-Home | source-only 46.1 or 58.4, DANN 57.6 or 65.2 (original, re-run) | ResNet-50, 65 classes |
# | the same, Office-Home with a ViT | source-only 75.0, DANN 78.6, MCD 73.0 | a stronger network: a smaller gain, and one loss |
# | the same, one pair with a ResNet (Ar → Pr) | source-only 65.9, DANN 62.6 | negative transfer, in the same file |

# %% [markdown]
# Between 71.9 and 94 % lies "the same" method: networks, steps and what chose them differ, and together that is more than methods are
# said to differ by. Below are ours of 40 steps; after 200 they are .246, .490 and .543 (section 1).

# %%
mean = recorded("07_domain_photos").groupby("arm")["digits/photos:test.accuracy"].mean()
for arm in ("source", "dann", "target"):
    print(f"ours, {arm}: {mean[arm]:.3f}")

# %% [markdown]
# For sentences there is a table on the same data: Hutto & Gilbert (2014), Table 5. Word counts and four classical classifiers, trained
# on half of a domain, three classes (neutral is one), F1. Ours: two classes, 200 sentences, a pretrained network, macro-F1. So the
# columns cannot be compared, but the *fall* from the own domain to another can be put side by side:

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
# The falls go together somewhat: +.48, over pairs that share four domains. In the published table classifiers trained on Amazon or
# the newspaper do best on *tweets*, not at home: a target can be easier than the source. Ours that learned from the newspaper do
# better on Amazon than at home.
#
# VADER itself, a list of words with rules, is trained on none: .96, .61, .63 and .55 (tweets, movies, Amazon, newspaper). No shift
# explains its fall, since it is fitted to none of the four. None of ours is measured by its three classes.

# %% [markdown]
# **Limits.** As in the lesson; and: the twelve pairs share four domains; the shift of the digits' shares is a strong one, made by hand;
# DANN has default knobs everywhere but in section 5 and, once, in section 3. Joint methods that estimate shares *and* align are not built here.
#
# **Sources.** Zhao et al., ICML 2019 (1901.09453). Long et al. (CDAN), NeurIPS 2018 (1705.10667). Saito et al. (MCD), CVPR 2018
# (1712.02560). Jin et al. (MCC), ECCV 2020 (1912.03699). Lee (pseudo-labels), ICML workshop 2013. Sun, Feng & Saenko (CORAL), AAAI
# 2016 (1511.05547). Musgrave et al., 2021 (2111.15672). Saito et al. (SND), ICCV 2021 (2108.10860). You et al. (DEV), ICML 2019.
# Hutto & Gilbert, *VADER*, ICWSM 2014. Jiang et al., *Transfer Learning Library*. The four re-implementations, on GitHub:
# s-chh/PyTorch-DANN, NaJaeMin92/pytorch-DANN, dudevil/DomainAdaptation (its wiki), sghoshjr/Domain-Adversarial-Neural-Network.

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
