# %% [markdown]
# # 08 Augmentation and regularisation
#
# **After this lesson you can** prepare a network for what it will meet in use. You can say which changes of an image
# keep its label true, see from a curve whether a network overfits, and choose a remedy.
# **Use it when** images in use will differ from yours, or the validation loss rises. **You need** [01](01_full.ipynb).
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 10 | 45 | see it work and fail, choose changes, use your own data |
# | **lab** | 11 to 14 | 41 | do it yourself, with checks |
# | **depth** | [another notebook](08_augmentation_depth.ipynb) | 32 | all claims, calibration, texts |
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
from ftlib.tasks import Split, Task
from ftlib.training.machine import profile

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
NETWORK = "efficientnet-lite0"
digits = ftlib.load_task("digits/mnist", n=None if FULL else 200, size=32, held_out=400, seed=0)
cells = ftlib.load_task("elpv", n=None if FULL else 100, size=32, held_out=300, seed=0)


def tiles(images, names):
    """Some images (N, C, H, W), each with its name below."""
    some = {"train": Split(images, torch.arange(len(images)), len(images))}
    return plots.examples(Task("tiles", "image", names, "accuracy", some), len(names))


# %% [markdown]
# ## 1. Digits that are not straight (6 minutes)
#
# We have 200 handwritten digits, all upright. Later, people will hold their cameras at an angle. So we train the same network
# twice. The second time each training image is turned by a random angle of at most 40°, another one in each step.
# Nothing else differs. This is **augmentation**. How many new digits does each network read when they are tilted by 40°?

# %%
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import rotate

my_tilt = 40  # degrees. Try another angle


def learn(strategy):
    torch.manual_seed(0)
    model = ftlib.load_model(NETWORK, digits)
    loader = digits.loader("train", shuffle=True)
    model, _ = ftlib.fit(model, loader, strategy, steps=400 if FULL else 120, lr=1e-3)
    return model


def right_when_tilted(model, degrees) -> float:
    """The share of right answers on validation images that are all turned by one angle."""
    batches = list(digits.loader("validation", batch_size=64))
    for batch in batches:
        batch["pixels"] = rotate(batch["pixels"], degrees, InterpolationMode.BILINEAR)
    return ftlib.evaluate(model, batches)["accuracy"]


# %%
models = {"trained upright": learn(strategies.Full())}
models["trained with turns"] = learn(strategies.Rotation(degrees=40))
before, after = (right_when_tilted(model, my_tilt) for model in models.values())
title = f"New digits, tilted by {my_tilt}°"
plots.before_after(before, after, title, "right answers", names=tuple(models))

# %% [markdown]
# What does it cost on straight digits?

# %%
angles = {"straight": 0, "20°": 20, "40°": 40, "60°": 60}
found = {
    name: {how: right_when_tilted(model, angle) for how, angle in angles.items()}
    for name, model in models.items()
}
table = pd.DataFrame(found).T
table.round(2)

# %% tags=["guard"]
upright, turned = (table.loc[name] for name in models)
assert turned["40°"] > upright["40°"] + 0.15
assert turned["straight"] > upright["straight"] - 0.08
for one in (upright, turned):
    assert max(one["straight"], one["20°"]) > one["40°"] > one["60°"]
assert upright["60°"] < turned["60°"] < turned["straight"] - 0.15
assert FULL or len(digits.splits["train"]) == 200

# %% [markdown]
# On straight digits the second network loses a few points at most. Both networks get worse as the tilt grows, the second one later. At 60°, which
# it never trained on, it still leads, but has lost much. Here is what it saw in training, three digits as they are and five
# draws of each.

# %%
train, shown = digits.splits["train"], [4, 6, 7]
three = train.inputs[[int((train.labels == k).nonzero()[0]) for k in shown]].float() / 255
torch.manual_seed(0)
turns = strategies.Rotation(degrees=40)
draws = [turns.transform({"pixels": three})["pixels"] for _ in range(5)]
names = ["as it is", *(f"draw {k}" for k in range(1, 6))]
rows = torch.stack([three, *draws], 1).flatten(0, 1)  # (18, 1, 32, 32)
tiles(rows, [f"{k}, {name}" for k in shown for name in names])

# %% tags=["guard"]
assert all((draw - three).abs().amax((1, 2, 3)).min() > 0.01 for draw in draws)

# %% [markdown]
# Each draw has its own angle, some too small to see. Here are its most confident mistakes on straight digits, with the true
# digit, its answer and its confidence.

# %%
plots.mistakes(models["trained with turns"], digits, n=6)

# %% [markdown]
# **What people say about augmentation and regularisation**, what we measured, and what to do about it. Skip words that
# you don't know yet. *0.84 times as much* compares the loss on new images at the end with that of training without a change.

# %% tags=["nbval-check-output"]
teach.card("08_augmentation")

# %% [markdown]
# ## 2. By hand, for a whole batch (5 minutes)
#
# Images are changed between the loader and the network, in training only.

# %%
teach.diagram("08_augmentation", "changes")

# %% [markdown]
# A batch of images is a tensor B × C × H × W. A **flip** reverses the last axis. Each image tosses its own coin. So we
# flip the whole batch at once, and then choose for each image:


# %% tags=["by-hand"]
def flip(x):
    """Each image is flipped left to right with probability one half."""
    coins = torch.rand(len(x)) < 0.5  # (B,)
    return torch.where(coins.view(-1, 1, 1, 1).to(x.device), x.flip(-1), x)


# %% [markdown]
# `fit` calls a strategy's `transform` for each training batch. With our flip there, three steps give the same losses as
# with the library's `Flip`.


# %%
class MyFlip(strategies.Full):
    def transform(self, batch):
        return {**batch, "pixels": flip(batch["pixels"])}


losses = {}
for name, strategy in {"ours": MyFlip(), "Flip": strategies.Flip(horizontal=True)}.items():
    torch.manual_seed(0)
    model = ftlib.load_model(NETWORK, cells)
    loader = cells.loader("train", shuffle=True)
    few = {"steps": 3, "lr": 1e-3, "precision": "float32", "verbose": False}
    model, history = ftlib.fit(model, loader, strategy, **few)
    losses[name] = [row["loss"] for row in history]
print({name: [round(x, 4) for x in found] for name, found in losses.items()})
assert all(abs(a - b) < 1e-3 for a, b in zip(*losses.values()))

# %% [markdown]
# **MixUp** (Zhang et al., 2018) goes further. It averages two images *and their labels*, with the same weight λ. A label is
# then a list of probabilities, such as 0.7 for one class and 0.3 for the other. λ is drawn between 0 and 1, from a *Beta
# distribution*. Its one setting α says how even the mixtures are. With α = 0.2 most are nearly pure:

# %%
torch.manual_seed(0)
lambdas = torch.distributions.Beta(0.2, 0.2).sample((1000,))
pure = ((lambdas < 0.1) | (lambdas > 0.9)).float().mean()
print(f"{pure:.0%} of 1,000 draws of λ are below 0.1 or above 0.9")

# %% tags=["guard"]
assert pure > 0.6


# %% tags=["by-hand"]
def mixup(x, y, alpha=0.2):
    """x (B, C, H, W), y (B, K) probabilities. Each row is mixed with the row before it."""
    beta = torch.distributions.Beta(torch.tensor([alpha]), torch.tensor([alpha]))
    share = float(beta.sample())  # λ, one per batch
    return [share * a + (1 - share) * a.roll(1, 0) for a in (x, y)]


# %%
batch = next(iter(cells.loader("train", batch_size=16)))
mixing = strategies.MixUp(alpha=0.2)
mixing.prepare(ftlib.load_model(NETWORK, cells))  # it asks how many classes there are
torch.manual_seed(1)
x, y = mixup(batch["pixels"], F.one_hot(batch["labels"], 2).float())
torch.manual_seed(1)
theirs = mixing.transform(batch)
assert torch.equal(x, theirs["pixels"]) and torch.equal(y, theirs["labels"])
print("the same images and labels, for example", [round(p, 3) for p in y[0].tolist()])

# %% [markdown]
# If you write your own flip or rotation, draw **once per image**. (MixUp's λ may be shared, since each image has another
# partner.) torchvision's transforms draw once for a whole batch. Below is the share of flipped images in eight batches.

# %%
from torchvision.transforms import v2

torch.manual_seed(0)
marked = torch.linspace(0, 1, 32).expand(64, 1, 32, 32)  # dark on the left
for name, change in {"torchvision": v2.RandomHorizontalFlip(), "ours": flip}.items():
    shares = [change(marked)[:, 0, 0, 0].mean().item() for _ in range(8)]
    print(f"{name:12}", [round(share, 2) for share in shares])

# %% [markdown]
# ## 3. May you flip everything? (4 minutes)
#
# A flipped solar cell is a solar cell with the same crack. We also flipped handwritten digits at random in training, 100
# small ones of 8 × 8 pixels, enlarged. Ten seeds are recorded. **Predict first.** Choose an answer, press *Commit my
# prediction*, and go on.

# %%
widgets.predict("08_augmentation", "flipped-digits")

# %%
runs = ftlib.load_runs("08_augmentation_tasks").query("purpose == 'measure'")
runs = runs.query("task == 'digits/optical' and arm in ['none', 'flip']")
names = {"none": "as they are", "flip": "flipped at random"}
runs["arm"] = runs.arm.map(names)
plots.scores(runs, "test.accuracy", "100 digits, ten seeds", "right answers on test")

# %%
lost = ftlib.paired(runs, "test.accuracy", names["flip"], names["none"])
print(f"flips change the right answers by {100 * lost.mean:+.0f} points")
found = "lower" if lost.mean < -0.01 else "higher" if lost.mean > 0.01 else "same"
teach.predict("08_augmentation", "flipped-digits").compare(found)

# %% tags=["guard"]
assert lost.high < -0.1  # the counter-example

# %% [markdown]
# Look at flipped digits. Each column below is one digit. The second row is flipped left to right, the third is turned by
# 180°, which is the same as both flips.

# %%
train, shown = digits.splits["train"], [2, 3, 5, 6, 8, 9]
rows = [int((train.labels == k).nonzero()[0]) for k in shown]
x = train.inputs[rows].float() / 255  # (6, 1, 32, 32)
ways = torch.cat([x, x.flip(-1), x.flip(-1, -2)])
tiles(ways, [f"{k}{how}" for how in ("", ", flipped", ", turned") for k in shown])

# %% [markdown]
# An 8 stays an 8. But a turned 6 is a 9. **A change is safe if the image keeps its label.** And most flipped shapes never
# come in the test, so practising them is a waste. The box asks again, with other digits (50 of MNIST), more steps and new
# seeds. So its numbers differ from our figure's. It also has the cells.

# %% tags=["nbval-check-output"]
teach.claim("A5", verdict="it depends")

# %% [markdown]
# **Look at changed images before you train.** A score on validation would have warned you. But only your eyes say what is
# wrong.

# %% tags=["guard"]
flips = strategies.Flip(horizontal=True, vertical=True)
assert strategies.augmentation.unsafe(flips, "digits/mnist")
assert not strategies.augmentation.unsafe(flips, "elpv")

# %% [markdown]
# ## 4. Break it (4 minutes)
#
# You give the random changes to the whole *data set*. They are drawn anew each time an image is read, on validation too.
# **Predict first:**

# %%
widgets.predict("08_augmentation", "moving-score")

# %%
torch.manual_seed(0)
model = ftlib.load_model(NETWORK, digits)
loader = digits.loader("train", shuffle=True)
model, _ = ftlib.fit(model, loader, strategies.Full(), steps=30, lr=1e-3)
crop_and_turn = ftlib.combine(strategies.Crop(), strategies.Rotation(degrees=10))


def five_scores(change):
    """The same weights, scored five times."""
    batches = list(digits.loader("validation", batch_size=64))
    found = [ftlib.evaluate(model, [change(one) for one in batches]) for _ in range(5)]
    return [one["accuracy"] for one in found]


as_they_are = five_scores(lambda batch: batch)
changed = five_scores(crop_and_turn.transform)
print("as they are:", [f"{score:.3f}" for score in as_they_are])
print("changed:    ", [f"{score:.3f}" for score in changed])

# %%
moves = len(set(as_they_are)) == 1 and len(set(changed)) > 1
assert moves and max(changed) < as_they_are[0]
teach.predict("08_augmentation", "moving-score").compare("moves" if moves else "same")

# %% [markdown]
# **The symptom to remember:** a validation score that moves although no weight has changed. It is lower, too, because changed
# images are harder. Early stopping then stops by luck. With this kit it doesn't happen by accident: in a training only `fit` calls
# `transform`, and on training batches only.
#
# A second bug shows in no score. MixUp mixes the images, and **the labels stay as they were**. Training gives no error, and
# the network learns wrong labels. So look at one batch. Each image below is 30 % of a digit and 70 % of the one before it. Where both are the same digit, the label is right by luck.

# %%
torch.manual_seed(0)
batch = next(iter(digits.loader("train", shuffle=True, batch_size=6)))
mixed = 0.3 * batch["pixels"] + 0.7 * batch["pixels"].roll(1, 0)
real = batch["labels"].tolist()
tiles(mixed, [f"mostly {before}, told {k}" for before, k in zip(real[-1:] + real, real)])

# %% [markdown]
# ## 5. Does it prevent overfitting? (4 minutes)
#
# A network [overfits](../docs/glossary.md#overfitting) when it learns the training examples by heart. It becomes too sure,
# and the [NLL](../docs/glossary.md#negative-log-likelihood) on validation rises again. Solar cells are the hard case. Here
# are 100 of them and 100 steps, far more than is useful, on ten seeds. *Augmented* flips, crops and turns each cell. It
# also changes the light and hides a part. **Predict first:**

# %%
widgets.predict("08_augmentation", "validation-gap")

# %%
names = {"none": "no augmentation", "policy": "augmented"}
curves = ftlib.runs.curves(ftlib.load_records("08_augmentation")).query("purpose == 'measure'")
shown = curves[curves.arm.isin(names)]
shown = shown.assign(arm=shown.arm.map(names))
title = "Without augmentation the validation loss nearly doubles"
plots.curves(shown, "nll", title, "NLL on validation (nats)")

# %% tags=["guard"]
by_step = shown.groupby(["arm", "step"]).nll.mean().unstack("arm")
assert by_step["no augmentation"].idxmin() == by_step.index[0] == 20
assert by_step["no augmentation"].iloc[-1] > 1.9 * by_step["no augmentation"].iloc[0]
assert by_step["augmented"].iloc[-1] < 1.3 * by_step["augmented"].min()

# %% [markdown]
# Thin lines are single seeds. Validation was recorded every 20 steps, so we don't see what happened before the first point. A seed's
# **rise** is its last NLL minus its own lowest. Here are the means.

# %%
by_seed = shown.sort_values("step").groupby(["arm", "seed"])
rise = (by_seed.nll.last() - by_seed.nll.min()).groupby("arm").mean()
last = by_seed.loss.last().groupby("arm").mean()
print(pd.DataFrame({"rise of the NLL": rise, "training loss at the end": last}).round(2))
less, higher = (x["augmented"] - x["no augmentation"] for x in (-rise, last))
found = "not-smaller" if less <= 0 else "smaller-higher" if higher > 0 else "both-smaller"
teach.predict("08_augmentation", "validation-gap").compare(found)

# %% tags=["guard"]
assert round(rise["augmented"] - rise["no augmentation"], 2) == -0.42  # as in the box

# %% [markdown]
# The curves above made five changes at once. The box tests the three that the sentence names, alone and together, on new
# seeds. Below 1 is better.

# %% tags=["nbval-check-output"]
teach.claim("A1", verdict="supported")

# %% [markdown]
# ## 6. How strong is too strong? (6 minutes)
#
# A change that is too strong hides what the label says. Below each of six cells you see how sure a network, trained on other
# cells, is of a defect. *Erasing* puts a patch of noise on the cell. **Your task:** look at the three defective cells first.
# Then raise the strength of *erasing* step by step, until *you* can no longer see one of the defects.
#
# The network's **lead** over guessing is its [balanced accuracy](../docs/glossary.md#balanced-accuracy) on 48 cells, minus
# one half. It is printed below the figure. At which strength is it, for the *first* time, at most half of that at strength 0?
# Type it in place of `None`.

# %%
torch.manual_seed(0)
many = ftlib.load_task("elpv", n=None if FULL else 400, size=32, held_out=300, seed=0)
judge = ftlib.load_model(NETWORK, many)
loader = many.loader("train", shuffle=True)
judge, _ = ftlib.fit(judge, loader, strategies.Full(), steps=400 if FULL else 60, lr=1e-3)
judge = judge.cpu().eval()


def defective(pixels):
    """(B, 1, 32, 32) → the network's probability of a defect, (B,)."""
    with torch.no_grad():
        return judge({"pixels": pixels}).softmax(-1)[:, 1]


# %%
split = many.splits["validation"]
rows = torch.cat([(split.labels == k).nonzero()[:24, 0] for k in (0, 1)])
images, labels = split.inputs[rows].float() / 255, split.labels[rows]
kinds = {
    "erasing": lambda s: strategies.RandomErasing(p=1.0, area=[0.6 * s**2] * 2),
    "crop": lambda s: strategies.Crop(area=[1 - 0.9 * s] * 2, ratio=[1, 1]),
    "rotation": lambda s: strategies.Rotation(degrees=180 * s),
    "light": lambda s: strategies.ColorJitter(brightness=s, contrast=s),
}
playground = widgets.of_lesson("08_augmentation", "samples").samples(
    images, labels, many.labels, kinds, judge=defective
)
playground

# %% tags=["guard"]
torch.manual_seed(0)
for kind, make in kinds.items():
    for s in list(playground.leads[kind])[1:]:
        changed = make(s).transform({"pixels": images})["pixels"]
        assert ((changed - images).abs().amax((1, 2, 3)) > 0).all(), (kind, s)
leads = playground.leads["erasing"]
assert 0.2 <= min(s for s in leads if leads[s] <= leads[0] / 2) <= 0.8  # not at either end

# %%
strength = None  # one of the strengths on the buttons

teach.check("08_augmentation/samples", (strength, playground.leads["erasing"]))

# %% [markdown]
# Your limit needn't be the network's. It has never seen a patch of noise, and may take it for a defect. Beyond *your* limit
# it is no longer augmentation but label noise. So choose strengths with your eyes first, and on validation afterwards.

# %% [markdown]
# ## 7. Other ways to hold a network back (2 minutes)
#
# Augmentation is one kind of **regularisation**, which means everything that keeps a network from learning by heart.
#
# | name | what it does |
# |---|---|
# | label smoothing | the labels say 0.95 and 0.05 in place of 1 and 0 |
# | dropout | hides half of the features before the head, a different half in each step |
# | weight decay | shrinks each weight by the share *learning rate* × *decay rate* in each step |
# | L2-SP | pulls the weights back to their pretrained values |
# | early stopping | ends training, and goes back to the best weights |
#
# Here they are on the 100 cells of section 5. Lower is better. All other rows have the default decay of 0.01.

# %%
names = {"none": "none of these", "decay": "weight decay 0.1", "dropout": "dropout"}
names |= {"mixup": "MixUp", "policy": "augmented", "l2sp": "L2-SP"}
names |= {"none-es": "early stopping", "smoothing": "label smoothing"}
recorded = ftlib.load_runs("08_augmentation").query("purpose == 'measure'")
shown = recorded[recorded.arm.isin(names)]
shown = shown.sort_values("arm", key=lambda arm: arm.map(list(names).index))
shown, title = shown.assign(arm=shown.arm.map(names)), "100 solar cells, 100 steps, ten seeds"
plots.scores(shown, "test.nll", title, "NLL on test (nats)")

# %%
found = {}
for name, metric in {"NLL": "test.nll", "score": "test.balanced_accuracy"}.items():
    table = ftlib.table(recorded, metric, "none").loc[list(names)].rename(names)
    found |= {name: table["mean"].round(2), f"{name}, against none": table.reading.fillna("")}
pd.DataFrame(found)

# %% tags=["guard"]
read = {name: found[f"{name}, against none"].drop("none of these") for name in ("NLL", "score")}
unclear = ["weight decay 0.1", "dropout"]
assert set(read["NLL"].drop(unclear)) == {"lower"}
assert set(read["NLL"][unclear]) == set(read["score"]) == {"not distinguishable here"}
decay = ftlib.paired(recorded, "test.nll", "decay", "none")
score = recorded.groupby("arm")["test.balanced_accuracy"].mean()
assert score.idxmin() == "none-es" and found["NLL"]["early stopping"] < 0.7
assert decay.mean < 0 and set(recorded[recorded.arm == "decay"].lr) == {0.001}
assert round(1 - (1 - 0.001 * 0.1) ** 100, 2) == 0.01 and recorded.arm.nunique() == 13

# %% [markdown]
# Five methods lower the NLL. The mean with weight decay is lower, too. But we compared twelve methods with *none* (five are
# in depth only), and among so many one such gap can be luck. As far as ten seeds can tell, no score is higher. Early stopping has
# the lowest mean. **A lower loss isn't a higher score.** Decide which you need before you train.
#
# Do you need honest probabilities? First divide the logits by one number, the *temperature* ([in
# depth](08_augmentation_depth.ipynb), section 6). If that isn't enough, try label smoothing or early stopping.

# %% [markdown]
# ## 8. Your own data (3 minutes)
#
# Only you know which changes keep *your* labels true. Put your folder in place of ours, and list what is safe. The words
# are `horizontal`, `vertical`, `turn` (by 180°), `rotation` (by 15° at most), `crop`, `colour` and `erasing`. Then look at
# the draws.

# %%
my_images = ftlib.tasks.example("folder")  # or "C:/photos/birds", with one folder per class
safe = ["horizontal", "rotation", "crop"]
mine = ftlib.load_task("folder", path=my_images, size=64, safe=safe, seed=0)
augment = strategies.build(strategies.augmentation.policy(mine))
mine_train = mine.splits["train"]
classes = range(min(3, len(mine.labels)))  # one image of each class, of three at most
first = [int((mine_train.labels == k).nonzero()[0]) for k in classes]
some = mine_train.inputs[first].float() / 255
torch.manual_seed(0)
draws = [augment.transform({"pixels": some})["pixels"] for _ in range(5)]
names = [f"{mine.labels[k]}, {how}" for k in classes for how in ("as it is", *"12345")]
tiles(torch.stack([some, *draws], 1).flatten(0, 1), names)

# %% [markdown]
# Would you still give each tile the name below it? If not, take a word out of the list. Then compare with and without.


# %%
def on_mine(strategy):
    torch.manual_seed(0)
    model = ftlib.load_model(NETWORK, mine)
    model, _ = ftlib.fit(model, mine.loader("train", shuffle=True), strategy, steps=40, lr=1e-3)
    return model, ftlib.evaluate(model, mine.loader("validation"))


found = {name: on_mine(s) for name, s in {"none": strategies.Full(), "yours": augment}.items()}
columns = ["balanced_accuracy", "nll"]
pd.DataFrame({name: scores for name, (_, scores) in found.items()}).loc[columns].round(3)

# %% [markdown]
# Keep the better one by validation. Where the scores are equal, the lower NLL decides. Our eight validation images
# make that close to a coin toss. Then look at the test split, once, and save the
# model. Do your mistakes lie on their side? Then 15° don't imitate them: `strategies.Rotation(degrees=90)` does, if it
# keeps your labels true. If no change imitates a mistake, collect more images like it.

# %%
best = max(found, key=lambda k: (found[k][1]["balanced_accuracy"], -found[k][1]["nll"]))
print("kept:", best, "of", len(mine.splits["validation"]), "validation images")
plots.confusion(found[best][0], mine, split="test")

# %% tags=["guard"]
assert len(mine.splits["validation"]) == 8

# %%
ftlib.save(found[best][0], "my_models/augmented")
plots.mistakes(found[best][0], mine, split="test", n=4)

# %% [markdown]
# ## 9. Change it (5 minutes)
#
# Write a policy for **digits** that will be held straight. Return at least two different augmentations that keep the label
# of every digit true. The checker allows turns of 15°. Choose from `Flip`, `Crop`,
# `Rotation`, `ColorJitter`, `RandomErasing`, and from `RandAugment` and `TrivialAugment`, which draw from a fixed list. Replace `# YOUR CODE HERE` and the next line.


# %% tags=["exercise:digit_policy"]
def digit_policy() -> list:
    """At least two different augmentations that keep the labels of handwritten digits true."""
    ### BEGIN SOLUTION
    return [strategies.Crop(), strategies.Rotation(degrees=10)]
    ### END SOLUTION


# %% tags=["check:digit_policy", "points:1"]
teach.check("08_augmentation/digit_policy", digit_policy)

# %% [markdown]
# ## 10. What to take home (4 minutes)

# %%
widgets.quiz("08_augmentation", "labels-mixed", "where-augmented", "one-draw")

# %% [markdown]
# **The decision rule.**
# 1. **What will differ in use?** Train with it.
# 2. **Look at changed images.** Is each label true?
# 3. **Change training images only.**
# 4. **Does the validation loss rise?** Augment, smooth the labels, or stop early. For honest probabilities alone, fit a
#    temperature.
# 5. **Do you need a better score?** Compare on validation, over seeds.

# %% [markdown]
# ## 11. Lab: CutMix (12 minutes)
#
# **CutMix** (Yun et al., 2019) puts a box of one image into another, and mixes the labels by area. Write `cutmix`. Boxes and
# partners are given.
#
# - `pixels` is (B, C, H, W), and `labels` is (B, K) with probabilities. The partner of row i is row `order[i]`.
# - `box` is (top, bottom, left, right). Rows top to bottom − 1 and columns left to right − 1 come from the partner.
# - Return the mixed pixels and the mixed labels. λ is the weight of a row's own label. It is the share of its own area that
#   can still be seen.
# - Don't change the tensors that you are given.


# %% tags=["exercise:cutmix"]
def cutmix(pixels, labels, order, box):
    """Images with a box of their partners in them, and labels mixed by area."""
    ### BEGIN SOLUTION
    top, bottom, left, right = box
    mixed = pixels.clone()
    mixed[..., top:bottom, left:right] = pixels[order][..., top:bottom, left:right]
    H, W = pixels.shape[-2:]
    own = 1 - (bottom - top) * (right - left) / (H * W)  # λ, the share that is left
    return mixed, own * labels + (1 - own) * labels[order]
    ### END SOLUTION


# %% tags=["check:cutmix", "points:3"]
teach.check("08_augmentation/cutmix", cutmix)

# %%
train, three = digits.splits["train"], [1, 4, 7]
pixels = train.inputs[[int((train.labels == k).nonzero()[0]) for k in three]].float() / 255
try:
    mixed, labels = cutmix(pixels, torch.eye(3), torch.tensor([1, 2, 0]), (16, 32, 4, 32))
    names = [", ".join(f"{k}: {100 * p:.0f} %" for p, k in zip(y, three) if p) for y in labels]
    shown = tiles(mixed, names)
except NotImplementedError:
    shown = "waits for your function"
shown

# %% [markdown]
# ## 12. Lab: R-Drop (12 minutes)
#
# Dropout makes two networks of one. Run the same batch twice, and you get two answers. **R-Drop** (Liang et al., 2021)
# wants them to agree. Let p and q be the probabilities of the two passes. The loss is
#
# $$\tfrac{1}{2}\,[H(y, p) + H(y, q)] + \tfrac{\alpha}{4}\,[KL(p \,\|\, q) + KL(q \,\|\, p)]$$
#
# Write `rdrop`. It returns this as a **sum** over the examples of the batch. H is the cross-entropy with
# `batch["labels"]`, which are class numbers. `model(batch)` gives logits (B, K), with new dropout in each call. KL(p ‖ q)
# is the sum of p (log p − log q) over the classes. The gradient must flow through both passes.


# %% tags=["exercise:rdrop"]
def rdrop(model, batch, alpha: float):
    """Sum over the batch: mean of two cross-entropies + alpha / 4 · (KL(p‖q) + KL(q‖p))."""
    ### BEGIN SOLUTION
    first, second = model(batch), model(batch)  # dropout draws anew
    labels, total = batch["labels"], {"reduction": "sum"}
    fit = F.cross_entropy(first, labels, **total) + F.cross_entropy(second, labels, **total)
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    apart = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum()  # both directions of KL
    return fit / 2 + alpha / 4 * apart
    ### END SOLUTION


# %% tags=["check:rdrop", "points:3"]
teach.check("08_augmentation/rdrop", rdrop)

# %% [markdown]
# Does it train? A strategy has a slot `loss` for this.


# %%
class RDrop(strategies.Dropout):
    """Dropout before the head, and two passes that must agree."""

    def loss(self, model, batch):
        (term,) = batch["n"]
        return {term: rdrop(model, batch, alpha=1.0)}


torch.manual_seed(0)
model = ftlib.load_model(NETWORK, cells)
try:
    loader = cells.loader("train", shuffle=True)
    model, history = ftlib.fit(model, loader, RDrop(head=0.3), steps=10, lr=1e-3)
    print(f"loss {history[0]['loss']:.3f} → {history[-1]['loss']:.3f}")
except NotImplementedError:
    print("waits for your function")

# %% [markdown]
# ## 13. Lab: measure overfitting (12 minutes)
#
# Investigate the recorded curves. `recorded_curves` is a table with a row for each validation during a run. Its columns are
# `arm` (the method), `seed`, `step`, `purpose`, `nll`, `balanced_accuracy` and more. The rows are in no particular order.
# `purpose` is `"measure"`, or `"tune"` for runs that only searched a learning rate.
#
# Write `overfitting`. From the measured runs alone it returns two numbers.
#
# 1. The mean **rise** over the seeds. The rise is the NLL of the *last* step minus that seed's own lowest NLL.
# 2. The mean over the seeds of the rise of `arm` minus the rise of `"none"`, seed by seed. Leave out a seed that only one
#    of them has.
#
# Careful: the name `"none-es"` begins with `"none"`.


# %% tags=["exercise:overfitting"]
def overfitting(recorded_curves, arm: str) -> tuple[float, float]:
    """(mean rise of the NLL above a seed's own minimum, mean of that minus that of "none")."""
    ### BEGIN SOLUTION
    measured = recorded_curves[recorded_curves.purpose == "measure"].sort_values("step")

    def rises(name):
        nll = measured[measured.arm == name].groupby("seed").nll
        return nll.last() - nll.min()  # one per seed

    own = rises(arm)
    return own.mean(), (own - rises("none")).mean()  # a missing partner is left out
    ### END SOLUTION


# %% tags=["check:overfitting", "points:3"]
teach.check("08_augmentation/overfitting", overfitting)

# %%
everything = ftlib.runs.curves(ftlib.load_records("08_augmentation"))
for arm in ("policy", "flip", "mixup", "dropout", "decay", "ema"):
    try:
        rise, against = overfitting(everything, arm)
        print(f"{arm:8} rises by {rise:.2f} nats, {against:+.2f} against none")
    except NotImplementedError:
        print(arm, "waits for your function")

# %% [markdown]
# There is a trap. *ema* keeps an average of the weights, and uses it after training. Its curve was taken on the way, with
# the weights that were being trained. So its row says nothing of the average. Always ask which weights a curve belongs to.

# %% [markdown]
# ## 14. More questions, and the limits (5 minutes)

# %%
widgets.quiz("08_augmentation", "decay-arithmetic", "training-loss")

# %%
widgets.quiz("08_augmentation", "temperature", "smoothing-floor")

# %% [markdown]
# **Limits.** Small images, one network and short runs. Nearly all methods have the learning rate that is best for *none*,
# which favours *none*. No strength was tuned. [08 in depth](08_augmentation_depth.ipynb) has the other claims. Use the board
# of [01](01_full.ipynb) to compare with other strategies.
#
# **Sources.** Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018 (1710.09412). Yun et al., *CutMix*,
# ICCV 2019 (1905.04899). Liang et al., *R-Drop: Regularized Dropout for Neural Networks*, NeurIPS 2021 (2106.14448).
# Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016 (1512.00567). Deitsch et al., *Automatic
# Classification of Defective Photovoltaic Module Cells*, Solar Energy 2019 (1807.02894).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
