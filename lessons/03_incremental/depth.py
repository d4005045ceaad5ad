# %% [markdown]
# # 03 Incremental learning, in depth
#
# **After this notebook you can** say when EWC and its relatives help, read published tables of this field, and plan for a
# stream that changes slowly. **You need** the core of [03](03_incremental.ipynb). Take what interests you, in about 37
# minutes. Each section needs only the first code cell.

# %% tags=["setup"]
import time

began = time.perf_counter()

from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.models.adapters import load_adapter, save_adapter, switch
from ftlib.strategies.rehearsal import stacked
from ftlib.tasks import portion
from ftlib.training.machine import profile

FULL = profile() == "full"  # on a GPU: all images, more steps; elsewhere: quick
STEPS = 200 if FULL else 40
digits = ftlib.load_task("digits/mnist", n=None if FULL else 500, size=32, seed=0)
PAIRS = ["0,1", "2,3", "4,5", "6,7", "8,9"]
low, high = portion(digits, "0,1,2,3,4"), portion(digits, "5,6,7,8,9")
runs = ftlib.load_runs("03_incremental").query("purpose == 'measure'")
more = ftlib.load_runs("03_incremental_more")

# %% [markdown]
# ## 1. All methods on new classes (6 minutes)
#
# Five pairs of digits, 100 images and 20 steps each, six seeds. *All at once* is training on everything, and *random
# portions* see the same images in five random parts. *Class means* freezes the stages, and gives an image the class whose
# mean features are nearest. DER++ keeps 200 images.

# %%
untold = runs[~runs.arm.str.contains("told")]
names = {"joint": "all at once", "portions": "random portions", "naive": "nothing kept"}
names |= {"derpp": "DER++", "lwf": "LwF"}
untold = untold.assign(arm=untold.arm.replace(names))
best_first = untold.groupby("arm")["test.accuracy"].mean().sort_values(ascending=False)
ordered = untold.assign(arm=pd.Categorical(untold.arm, best_first.index)).sort_values("arm")
plots.scores(
    ordered.assign(arm=ordered.arm.astype(str)),
    "test.accuracy",
    "Five pairs of digits, and two runs without such pairs",
    "right answers on test",
)

# %%
columns = ["test.accuracy", "sequence.learning", "sequence.forgetting"]
table = untold.groupby("arm")[columns].mean().loc[best_first.index].round(2)
mean = best_first
assert mean["nothing kept"] < 0.3 < mean["replay-50"] < mean["all at once"]
table

# %% [markdown]
# All at once has no tasks, so it has no learning and no forgetting. Class means take no gradient step, so these weren't
# recorded for them, and their stages never change. Still an old class can lose images to a new class whose mean is nearer. Run replay and class means first,
# before anything clever.

# %% [markdown]
# ### Is the memory alone enough?
#
# *GDumb* (Prabhu et al., 2020) fills a memory with the same number of images of each class. Then it trains a fresh network
# on the memory alone. It never trains on the stream, so it can forget nothing that the memory holds. It is a test for every
# other method that keeps 200 images. Is it better than a fresh network that sees nothing else?

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", digits)
memory = strategies.Replay(200, keep="balanced")
for pair in PAIRS:
    memory.finish(model, {"train": portion(digits, pair).loader("train")})
shuffled = [memory.rows[i] for i in torch.randperm(len(memory.rows))]
batches = [stacked(shuffled[i : i + 32]) for i in range(0, len(shuffled), 32)]
model, _ = ftlib.fit(model, batches, strategies.Full(), steps=100, lr=1e-3)
gdumb = ftlib.evaluate(model, digits.loader("validation", batch_size=64))["accuracy"]
means = untold.groupby("arm")["validation.accuracy"].mean()
print(f"GDumb {gdumb:.0%}; means of six seeds: replay-200 {means['replay-200']:.0%},", end=" ")
print(f"DER++ {means['DER++']:.0%}, everything at once {means['all at once']:.0%}")
assert gdumb > max(means["replay-200"], means["DER++"])

# %% [markdown]
# In this one run, no method with 200 images reaches GDumb. The memory holds 40 % of all images, and 100 steps on it alone
# come close to training on everything. GDumb can answer only at the end, and it trains anew each time. If you can afford
# that, compare with it first.

# %% [markdown]
# ### Another order
#
# The pairs came as 0 and 1, then 2 and 3, and so on. Was that a lucky order? In two others, 8 and 9 come first, or each pair
# joins digits that are far apart, such as 0 and 5.

# %%
columns = ["test.accuracy", "sequence.forgetting"]
orders = more[more.arm.str.contains("first")].groupby("arm")[columns].mean()
orders = orders.rename(columns={"sequence.forgetting": "forgetting"})
usual = runs[runs.arm.isin(["naive", "replay-50"]) & (runs.seed < 2)].groupby("arm")
usual = (
    usual[["test.accuracy", "sequence.forgetting"]]
    .mean()
    .rename(lambda arm: f"{arm}, 0,1 first")
)
usual.columns = orders.columns
orders = pd.concat([orders, usual]).sort_index()
orders.round(2)

# %% [markdown]
# Naive training forgets more than half in every order. Replay varies from order to order, and two seeds are few. Test several
# orders before you trust a small difference.

# %% [markdown]
# ## 2. If the task is told (5 minutes)
#
# Many papers tell the network, in training and in the test, which pair of digits it is looking at. Then only these two
# answers compete. The kit writes it as `"digits/mnist[0,1 only]"`, and then each batch has `batch["answers"]`, the allowed
# ones. Without "only" there is no such entry, so no method can use it by mistake. **Predict first:**

# %%
widgets.predict("03_incremental", "told")

# %%
told = runs[runs.arm.str.endswith("told")]
columns = ["sequence.average", "sequence.learning", "sequence.forgetting"]
by_arm = pd.concat([runs[runs.arm == "naive"], told]).groupby("arm")[columns].mean()
free, known = by_arm["sequence.forgetting"][["naive", "naive told"]]
share = "none" if known < 0.01 else "little" if known < free / 2 else "most"
teach.predict("03_incremental", "told").compare(share if known <= free else "more")

# %%
by_arm.round(3)

# %% [markdown]
# **Break it:** here is a famous mistake with heads per task. The old task is scored with the *new* head. We let a network
# learn 0 to 4 and ask it about a 0 or a 1, but allow only the answers 8 and 9.

# %%
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", digits)
model, _ = ftlib.fit(
    model, low.loader("train", shuffle=True), strategies.Full(), steps=STEPS, lr=1e-3
)
own_head = portion(digits, "0,1 only").loader("validation", batch_size=64)
new_head = [
    {**batch, "answers": torch.arange(10).expand(len(batch["labels"]), 10) > 7}
    for batch in own_head
]
own, new = (ftlib.evaluate(model, loader)["accuracy"] for loader in (own_head, new_head))
print(f"own head: {own:.0%} right, new head: {new:.0%} right")
assert own > 0.8 and new == 0

# %% [markdown]
# **The symptom to remember, if the task is told:** an old pair at exactly 0 %. Two answers compete, so forgetting leaves
# something near 50 %. Among all ten answers, 0 % is ordinary forgetting.

# %% [markdown]
# ### EWC on the pretrained network
#
# EWC holds each weight $\theta_i$ at its value after the old task, by a spring of strength $\lambda F_i$. The Fisher
# information $F_i$ says how much the old answers depend on that weight. Nobody knows λ beforehand, so here are five values,
# each ten times the last. *Online* EWC keeps one spring per weight for all old tasks, with λ = 100.

# %%
columns = ["sequence.average", "sequence.learning", "sequence.forgetting"]
two_seeds = told[(told.arm == "naive told") & (told.seed < 2)]
springs = pd.concat([more[more.arm.str.contains("ewc")], two_seeds])
springs = springs.groupby("arm")[columns].mean().sort_index()
lost, learned = springs["sequence.forgetting"], springs["sequence.learning"]
assert max(lost["ewc 1 told"], lost["ewc 10 told"]) < lost["naive told"] - 0.05
assert learned["ewc 1 told"] > learned["ewc 100 told"] > learned["ewc 10000 told"] + 0.05
springs.round(3)

# %% [markdown]
# In these two seeds a small λ already forgets less than naive training. From λ = 10 on, learning keeps falling and forgetting
# doesn't. Two seeds are few, so choose λ on your own data.

# %% [markdown]
# ## 3. A small network, as in most papers (11 minutes)
#
# Most papers train a small network from scratch on MNIST, in five pairs. It has two layers of 400 units. This is quick
# enough to try many things live, with all 3,187 training images.

# %%
mnist = ftlib.load_task("digits/mnist", seed=0)


class Perceptron(torch.nn.Module):
    """The network of most papers on this: two layers of 400 units, from scratch."""

    def __init__(self):
        super().__init__()
        layers = [torch.nn.Flatten(), torch.nn.Linear(784, 400), torch.nn.ReLU()]
        self.stages = torch.nn.Sequential(*layers, torch.nn.Linear(400, 400), torch.nn.ReLU())
        self.head = torch.nn.Linear(400, 10)

    def forward(self, batch):
        logits = self.head(self.stages(batch["pixels"]))
        return logits.masked_fill(~batch["answers"], -1e4) if "answers" in batch else logits


# %%
def sequence(strategy, only: str = "") -> np.ndarray:
    """R of a perceptron that learns five pairs of digits. only: " only" tells it the pair."""
    torch.manual_seed(0)
    model, R = Perceptron(), []
    parts = [portion(mnist, pair + only) for pair in PAIRS]
    for part in parts:
        loader = part.loader("train", batch_size=128, shuffle=True)
        model, _ = ftlib.fit(model, loader, strategy, steps=40, lr=1e-3, verbose=False)
        loaders = [one.loader("validation", batch_size=500) for one in parts]
        R.append([ftlib.evaluate(model, one)["accuracy"] for one in loaders])
    return np.array(R)


# %% [markdown]
# ### EWC: how strong?
#
# EWC again, on new classes, with λ from 1 to a million. **Predict first:**

# %%
widgets.predict("03_incremental", "ewc-strength")

# %%
found = {}
for strength in tqdm((1e0, 1e2, 1e4, 1e6), leave=False):
    R = sequence(strategies.EWC(strength, examples=100))
    found[f"{strength:g}"] = ftlib.metrics.forgetting(R)
by_strength = pd.DataFrame(found).T[["average", "learning", "forgetting"]]
by_strength.round(2)

# %%
weak, strong = by_strength.iloc[0], by_strength.iloc[-1]
stuck = strong["learning"] < weak["learning"] - 0.1
teach.predict("03_incremental", "ewc-strength").compare("stuck" if stuck else "nothing")

# %% [markdown]
# With a small λ nothing is held, and with a very large one the network is stiff. In between the average doesn't rise
# here. The penalty holds weights. The old answers lose because nothing pulls them *up*, as section 2 of the core showed.
# If you use EWC, search λ over factors of ten, and look at learning as well as at forgetting.

# %% [markdown]
# **Break it:** the Fisher information must be taken on the *old* task, at its end. Here is EWC with the pair told. Once it is
# right, and once the Fisher information comes from the next pair.


# %%
def with_fisher(of_next: bool) -> dict[str, float]:
    """Scores of EWC if the pair is told. of_next: the Fisher information of the new task."""
    torch.manual_seed(0)
    model, ewc, R = Perceptron(), strategies.EWC(1e5, examples=100), []
    parts = [portion(mnist, pair + " only") for pair in PAIRS]
    loaders = [part.loader("train", batch_size=128, shuffle=True) for part in parts]
    for i, loader in enumerate(loaders):
        model, _ = ftlib.fit(model, loader, ewc, steps=40, lr=1e-3, verbose=False)
        if of_next and i + 1 < len(loaders):
            ewc.anchors.pop()
            ewc.finish(model, {"train": loaders[i + 1]})
        looks = [part.loader("validation", batch_size=500) for part in parts]
        R.append([ftlib.evaluate(model, look)["accuracy"] for look in looks])
    return ftlib.metrics.forgetting(R)


rows = {"of the old task": with_fisher(False), "of the new task": with_fisher(True)}
wrong = pd.DataFrame(rows).T[["average", "learning", "forgetting"]]
right, bug = wrong.iloc[0], wrong.iloc[1]
assert bug["learning"] < right["learning"] - 0.02 and bug["average"] < right["average"] - 0.03
wrong.round(3)

# %% [markdown]
# **The symptom to remember:** new pairs are learned less well, and old ones are forgotten more. EWC with the wrong Fisher
# information holds the weights that the *next* task needs. Told the pair, naive training is already very good here, so this
# run shows the harm of a wrong Fisher and no gain of the right one.

# %% [markdown]
# ### The published protocol, Split-MNIST
#
# Hsu et al. (2018) ran many methods under equal conditions. We follow their protocol with fewer images, fewer steps and a
# smaller buffer.

# %%
methods = {"naive": strategies.Full, "EWC": lambda: strategies.EWC(1e4, examples=100)}
methods |= {"LwF": strategies.LwF}
methods["replay (ours 200, theirs 1,100)"] = lambda: strategies.Replay(200, 128)
# Hsu et al., table 2: percent, mean of ten runs; ours is one run
published = {"naive": (19.7, 93.5), "EWC": (19.8, 97.7), "LwF": (24.2, 99.6)}
published |= {"replay (ours 200, theirs 1,100)": (90.8, 99.4)}
rows = {}
for name, make in methods.items():
    ours = [100 * sequence(make(), only)[-1].mean() for only in ("", " only")]
    rows[name] = [ours[0], published[name][0], ours[1], published[name][1]]
columns = pd.MultiIndex.from_product([["new classes", "told the pair"], ["ours", "Hsu"]])
split_mnist = pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(1)
ours = split_mnist["new classes"]["ours"]
assert max(ours["naive"], ours["EWC"], ours["LwF"]) < 35 < 75 < ours.iloc[-1]
assert split_mnist["told the pair"]["ours"].min() > 90
split_mnist

# %% [markdown]
# On new classes the picture is the same. Only replay helps, and the rest is hardly better than nothing. Told the pair, our
# naive training is already so good that little is left to gain. In the paper's table, naive training gains about as much
# from SGD instead of Adam as from EWC. Ask of each table which scenario and which optimizer it shows.

# %% [markdown]
# ### What the ends of tasks hide
#
# R has one row per task. De Lange et al. (2023) looked within the tasks, too.

# %%
replay = strategies.Replay(20, 128)
torch.manual_seed(0)
model, first = Perceptron(), portion(mnist, "0,1").loader("validation", batch_size=500)
curve, ends = [], []
for pair in PAIRS[:3]:
    look = ftlib.Validation(lambda model: ftlib.evaluate(model, first), every=1)
    loader = portion(mnist, pair).loader("train", batch_size=128, shuffle=True)
    model, history = ftlib.fit(
        model, loader, replay, steps=40, lr=1e-3, validation=look, verbose=False
    )
    curve += [row["validation"]["accuracy"] for row in history]
    ends.append(len(curve) - 1)
steps = pd.DataFrame({"step": range(len(curve)), "accuracy": curve, "arm": "replay"})
steps = steps.assign(task="digits 0 and 1", model="two layers", seed=0, purpose="measure")
plots.curves(
    steps,
    "accuracy",
    "Replay with 20 images: 0 and 1 fall within each new task",
    "right answers",
)

# %%
lowest = [min(curve[a + 1 : b]) for a, b in pairwise(ends)]
print(f"at the ends of tasks: {[round(curve[end], 2) for end in ends]}")
print(f"lowest within the second and the third task: {[round(low, 2) for low in lowest]}")
assert lowest[0] < curve[ends[1]] - 0.2

# %% [markdown]
# Tasks end at steps 39 and 79. This is the *stability gap*. Within the second task the first pair falls, with 20 remembered
# images as well. Then it comes back, and R shows nothing of it. If people use your network while it learns, also evaluate within a task.
# `ftlib.metrics.stability` sums it up.

# %% [markdown]
# ## 4. The other claims (3 minutes)
#
# People say that incremental learning needs long training. Compared with what?

# %% tags=["nbval-check-output"]
teach.claim("I3", verdict="it depends")

# %% [markdown]
# Replay doubles the batch from the second task on, so it trains on 1.8 times as many images.
#
# People also say that one must design it with care.

# %% tags=["nbval-check-output"]
teach.claim("I4", verdict="supported")

# %% [markdown]
# And that small portions spare the old, which learning all at once would destroy. In one of the rows the digits get
# noisier, either at once or step by step. That row has stayed open twice, by two rules with 32 seeds each.

# %% tags=["nbval-check-output"]
teach.claim("I5", verdict="open")

# %%
stream = ftlib.load_runs("03_incremental_confirm_noise")
noise = stream.groupby("arm")[["test.accuracy", "sequence.average"]].mean()
noise.columns = ["digits without noise", "digits with the last noise"]
assert noise.iloc[:, 1]["in portions"] < noise.iloc[:, 1]["at once"]
noise.round(3)

# %% [markdown]
# In portions the noisiest digits got 20 steps instead of 80, and they were learned less well. So measure both tasks before
# you choose.

# %% [markdown]
# ## 5. Another domain each time (8 minutes)
#
# Sentences from tweets, Amazon reviews, film reviews and newspapers. The question stays the same, positive or negative,
# and the language changes. MiniLM, 400 sentences in all.

# %%
sentences = ftlib.load_runs("03_incremental_confirm").query("task == 'sentiment'")
there = sentences.groupby("seed").arm.nunique()
sentences = sentences[sentences.seed.isin(there[there == 2].index)]  # pairs only
plots.scores(
    sentences,
    "test.macro_f1",
    "Four domains, one after the other",
    "macro-F1 on test, all four",
)

# %%
domains = sentences.groupby("arm")["test.macro_f1"].mean()
domains.round(3)

# %% [markdown]
# The question is the same in each domain, so a new one also practises the old ones. Naive training comes much closer to
# training on everything than with new classes. These runs have a learning rate of 0.0003,
# and three of the naive ones collapse. At 0.0001, the rate in the box of claim I1, the order makes no difference that
# matters. Measure the old domains first. You may not need a memory.
#
# Does it even help a domain that comes later? That is *forward transfer*, the score on the next task before training on it,
# minus the score of a network that learned nothing.

# %%
later = ftlib.load_task("sentiment/movies", seed=0)
now = ftlib.load_task("sentiment/tweets", n=100, seed=0)
torch.manual_seed(0)
model = ftlib.load_model("minilm", now)
look = later.loader("validation", tokenizer=model.tokenizer, batch_size=64)
untrained = ftlib.evaluate(model, look)["macro_f1"]
loader = now.loader("train", tokenizer=model.tokenizer, batch_size=16, shuffle=True)
model, _ = ftlib.fit(model, loader, strategies.Full(), steps=30, lr=3e-4, verbose=False)
forward = ftlib.evaluate(model, look)["macro_f1"] - untrained
print(f"film reviews, after tweets only: forward transfer {100 * forward:+.0f} points")
assert forward > 0.02

# %% [markdown]
# A network that has learned tweets also does better on film reviews, which it hasn't seen. With
# new classes there is none, as the zeros above the diagonal of R show.
#
# ### Solar cells, mono and then poly
#
# Solar cells come from two kinds of modules. Here the network learns monocrystalline cells first, then polycrystalline ones,
# three seeds. The first score is for both kinds on test, and the last column is the fall of the mono cells on validation.

# %%
columns = ["test.balanced_accuracy", "sequence.average", "sequence.forgetting"]
cells = more[more.task == "elpv"].groupby("arm")[columns].mean()
fell = cells["sequence.forgetting"]
assert fell["mono, then poly"] > fell["with replay-50"] > 0
cells.round(3)

# %% [markdown]
# Mono cells lose some points to the poly cells, and 50 remembered cells hold most of them. Three seeds are few, so take it
# as an example and not as a verdict.

# %% [markdown]
# ### An adapter per domain
#
# If you know the domain of each text, you can keep one set of small weights per domain. Lesson 04 explains LoRA. The base
# stays frozen, and each domain has its own adapter and its own head. Learning another domain doesn't touch them.

# %%
from pathlib import Path
from tempfile import mkdtemp

folder, before = Path(mkdtemp()), {}
tasks = {d: ftlib.load_task(f"sentiment/{d}", n=100, seed=0) for d in ("tweets", "amazon")}
for domain, task in tasks.items():
    torch.manual_seed(0)
    model = ftlib.load_model("minilm", task)
    loader = task.loader("train", tokenizer=model.tokenizer, batch_size=16, shuffle=True)
    model, _ = ftlib.fit(model, loader, strategies.LoRA(), steps=20, lr=1e-3)
    loader = task.loader("validation", tokenizer=model.tokenizer)
    before[domain] = ftlib.evaluate(model, loader)["macro_f1"]
    save_adapter(model, folder / domain)

# %%
base = ftlib.load_model("minilm", tasks["tweets"])
for domain in tasks:
    load_adapter(base, folder / domain, domain)
for domain, task in tasks.items():
    loader = task.loader("validation", tokenizer=base.tokenizer)
    after = ftlib.evaluate(switch(base, domain), loader)["macro_f1"]
    size = sum(file.stat().st_size for file in (folder / domain).iterdir()) / 1e6
    print(
        f"{domain}: macro-F1 {before[domain]:.3f}, with both loaded {after:.3f}, {size:.1f} MB"
    )
    assert abs(after - before[domain]) < 1e-6

# %% [markdown]
# Nothing is forgotten, by construction. The price is the size above for each domain, and that somebody must name the domain
# of every text. Domains don't help each other either.

# %% [markdown]
# ### A class that nobody expected
#
# A new class needs a new row in the head. Load a network for the larger task, and copy the stages and the old rows. The old
# classes must keep their places, so the new class comes last.

# %%
bigger_task = ftlib.load_task("digits/mnist", n=200, size=32, seed=0)  # has classes 0 to 9
smaller = ftlib.load_model("efficientnet-lite0", bigger_task)
smaller.head = torch.nn.Linear(smaller.head.in_features, 9)  # a network for 0 to 8
bigger = ftlib.load_model("efficientnet-lite0", bigger_task)
bigger.stages.load_state_dict(smaller.stages.state_dict())
with torch.no_grad():
    bigger.head.weight[:9] = smaller.head.weight
    bigger.head.bias[:9] = smaller.head.bias
batch = next(iter(bigger_task.loader("validation", batch_size=8)))
with torch.no_grad():
    same = torch.equal(bigger.eval()(batch)[:, :9], smaller.eval()(batch))
print("the old nine logits are the same:", same)
assert torch.allclose(bigger(batch)[:, :9], smaller(batch), atol=1e-5)

# %% [markdown]
# ## 6. A language model (2 minutes)
#
# SmolLM2 learns to continue sentences from newspapers, 20 steps with LoRA. Then it learns tweets for 20 more, once with
# tweets alone, and once with one remembered newspaper sentence for every eight tweets. Two seeds. We count how many tokens
# of the second half of a sentence it predicts correctly.

# %%
language = ftlib.load_records("03_incremental_llm")
watched = ["instructions/nyt:validation", "instructions/tweets:validation"]
rows = {}
for record in language:
    R = ftlib.runs.matrix(record)
    rows[record["spec"]["arm"], record["spec"]["seed"]] = [*R.iloc[0], *R.iloc[-1]]
moments = pd.MultiIndex.from_product(
    [["after newspapers", "after tweets"], ["newspapers", "tweets"]]
)
llm = pd.DataFrame.from_dict(rows, orient="index", columns=moments)
llm.index = pd.MultiIndex.from_tuples(llm.index, names=["method", "seed"])
lost = (llm["after newspapers"] - llm["after tweets"])["newspapers"].groupby("method").mean()
assert lost["newspapers, then tweets"] > 2 * lost["with a tenth of newspapers"]
assert ((llm["after tweets"] - llm["after newspapers"])["tweets"] > 0.05).all()
llm.groupby("method").mean().round(3)

# %% [markdown]
# The tweets are learned in both, by seven points or more. The newspapers lose about one point without memory, and a fifth of
# that with it. This is mild, because a new domain of the same language is no new class. Mix in some old text. One old
# sentence for every eight new ones kept most of the skill here.

# %% [markdown]
# **Limits.** Small images, two networks, short training, five tasks at most.
#
# **Sources.** Kirkpatrick et al., *Overcoming Catastrophic Forgetting in Neural Networks*, PNAS 2017 (1612.00796). Li &
# Hoiem, *Learning without Forgetting*, ECCV 2016 (1606.09282). Buzzega et al., *Dark Experience for General Continual
# Learning*, NeurIPS 2020 (2004.07211). Prabhu et al., *GDumb*, ECCV 2020. Hsu et al., *Re-evaluating Continual Learning
# Scenarios*, 2018 (1810.12488). De Lange et al., *Continual Evaluation for Lifelong Learning*, ICLR 2023 (2205.13452).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
