# %% [markdown]
# # 04 Parameter-efficient fine-tuning
#
# **After this lesson you can** fine-tune a language model on an ordinary computer. You can write LoRA and an adapter
# yourself, prove that they are right, and choose rank and learning rate. You know what they save and what they don't.
# **Use it when** memory or storage is short, or when many tasks share one large model. **You need**
# [01](01_full.ipynb), its core.
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 9 | 45 | see it work, build it, find its limits, use it on your own data |
# | **lab** | 10 to 13 | 38 | do it yourself, with checks |
# | **depth** | [another notebook](04_peft_depth.ipynb) | 42 | other methods, many tasks, four bits, published results |
#
# Each section needs only the first code cell. Late? Run that one, and start at any heading. Run cell by cell with
# `Shift+Enter`. *Run All Cells* would show you the answers before the questions.

# %% tags=["setup"]
import time

began = time.perf_counter()

import json
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

import ftlib
from ftlib import plots, strategies, teach, widgets
from ftlib.models.adapters import load_adapter, save_adapter, switch
from ftlib.models.chat import prompt_text
from ftlib.training.machine import model_device, profile

FULL = profile() == "full"  # on a GPU: all sentences, more steps; elsewhere: quick
N, STEPS = (None, 200) if FULL else (200, 20)
LINE_STEPS = 200 if FULL else 16
reviews = ftlib.load_task("sentiment/amazon", n=N, seed=0)  # positive or negative?

# %% [markdown]
# ## 1. A language model fills in a table (6 minutes)
#
# *SmolLM2-135M*, a small language model, writes one [token](../docs/glossary.md#token) after the other. It reads a
# review and writes a line for a table: the opinion, and the first word of the review.

# %%
rows, ask = [], "Is this review positive or negative?\n\n"
for split, most in (("train", 64), ("validation", 8), ("test", 8)):  # of each opinion
    part = reviews.splits[split]
    for k, opinion in enumerate(reviews.labels):
        for text in [x for x, label in zip(part.inputs, part.labels) if label == k][:most]:
            line = f"{opinion} | {text.split()[0]}"
            rows.append({"instruction": ask + text, "output": line, "split": split})
file = Path("my_models") / "lines.jsonl"
file.parent.mkdir(exist_ok=True)
file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
lines = ftlib.load_task("chats", path=str(file), split="split", metric="exact_match", seed=0)
print(rows[0]["instruction"], "→", rows[0]["output"])

# %%
torch.manual_seed(0)
llm = ftlib.load_model("smollm2", lines)
asked, right = (lines.splits["validation"].columns[name] for name in ("prompt", "answer"))
my_review = "The battery died after two days and nobody answered my mail."  # or yours
before = llm.generate(asked, max_new_tokens=10)
mine_before = llm.generate([ask + my_review], max_new_tokens=16)[0]
print(my_review, "→", mine_before)

# %% [markdown]
# It only repeats the review. But does it know the opinion? Which of the two words is the likelier first token?


# %%
def likelier(prompt: str) -> str:
    words = [llm.tokenizer(w, add_special_tokens=False).input_ids[0] for w in reviews.labels]
    text = prompt_text(llm.tokenizer, prompt)
    ids = llm.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        logits = llm({"input_ids": ids.to(model_device(llm))})[0, -1]  # (V,)
    return reviews.labels[int(logits[words].argmax())]


untuned = sum(line.startswith(likelier(p)) for p, line in zip(asked, right)) / len(right)

# %% [markdown]
# `strategies.LoRA` trains a few new weights, for about a minute.

# %%
loader = lines.loader("train", tokenizer=llm.tokenizer, batch_size=4, shuffle=True)
llm, history = ftlib.fit(llm, loader, strategies.LoRA(r=8), steps=LINE_STEPS, lr=2e-3)
held_out = lines.loader("validation", tokenizer=llm.tokenizer, batch_size=4)
print(f"whole lines right: {ftlib.evaluate(llm, held_out)['exact_match']:.0%}")
after = llm.generate(asked, max_new_tokens=10)
mine_after = llm.generate([ask + my_review], max_new_tokens=16)[0]
print(f"before: {mine_before}\nafter:  {mine_after}")
pd.DataFrame({"after": after, "right": right}).iloc[::4]

# %% [markdown]
# Code checks all 16 held-out lines.


# %%
def graded(answer: str, right: str) -> dict:
    said, wanted = answer.split(" | "), right.split(" | ")
    valid = len(said) == 2 and said[0] in reviews.labels
    same = {"opinion": said[0] == wanted[0], "first word": said[-1] == wanted[1]}
    return {"form": valid, **{name: valid and found for name, found in same.items()}}


table = {"before": before, f"after {LINE_STEPS} steps": after}
table = {name: pd.DataFrame(map(graded, said, right)).mean() for name, said in table.items()}
table["before, the likelier word"] = pd.Series({"opinion": untuned})
shares = pd.DataFrame(table).T[["form", "opinion", "first word"]]
assert shares["form"]["before"] == 0 and shares["form"].iloc[1] > 0.8
shares.round(2)

# %% [markdown]
# The last row is the opinion before training: right on 11 of 16, and after it about as often. Guessing gets 8. So it mostly learned
# *how* to answer. Ask for this row when somebody shows you a fine-tuned model. Your own review:

# %%
my_review = "It arrived late, but it works perfectly."  # yours
print(llm.generate([ask + my_review], max_new_tokens=16)[0])

# %% [markdown]
# **What people say about parameter-efficient fine-tuning**, what we measured, and what to do about it.

# %% tags=["nbval-check-output"]
teach.card("04_peft")

# %% [markdown]
# ## 2. LoRA by hand (7 minutes)

# %%
teach.diagram("04_peft", "beside_and_behind")

# %% [markdown]
# A linear layer computes W x. W has d_out rows and d_in columns. **LoRA** (low-rank adaptation, Hu et al., 2022) freezes W
# and adds a product of two thin matrices:
#
# $$h = W x + \frac{\alpha}{r}\, B A x, \qquad A: r \times d_{in}, \quad B: d_{out} \times r$$
#
# r is the [rank](../docs/glossary.md#rank). Only A and B learn. A starts at random and **B at zero**. So at first the update
# is zero, and the network is still the pretrained one. The factor α / r keeps the size of the update when you change r.


# %% tags=["by-hand"]
class Low(nn.Module):
    """A frozen linear layer with an update of low rank beside it."""

    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__()
        self.base, self.scale = base, alpha / r
        self.A = nn.Parameter(torch.empty(r, base.in_features))  # (r, d_in)
        self.B = nn.Parameter(torch.zeros(base.out_features, r))  # (d_out, r)
        nn.init.kaiming_uniform_(self.A, a=5**0.5)

    def update(self):
        return self.scale * self.B @ self.A  # (d_out, d_in)

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)


# %% [markdown]
# The other half: freeze the stages, and put the new layer in place of each linear one. *MiniLM* is a small text network.
# Its new head stays as it is, and learns.


# %%
def insert(model, r: int, alpha: float) -> list[Low]:
    model.stages.requires_grad_(False)
    for parent in list(model.stages.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Low(child, r, alpha))
    return [m for m in model.modules() if isinstance(m, Low)]


def without_dropout(model):  # dropout draws at random, so two networks would differ
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


torch.manual_seed(0)
model = without_dropout(ftlib.load_model("minilm", reviews))
loader = reviews.loader("train", tokenizer=model.tokenizer, batch_size=8, shuffle=True)
batches = [batch for _, batch in zip(range(8), loader)]

# %%
with torch.no_grad():
    pretrained = model(batches[0])
    layers = insert(model, r=8, alpha=16)
    inserted = model(batches[0])
trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
total = sum(p.numel() for p in model.parameters())
print(f"{len(layers)} layers, {trained:,} of {total:,} parameters trained")
assert torch.equal(inserted, pretrained)  # to the last bit, since zero was added
assert trained == 6 * 8 * (4 * (384 + 384) + 2 * (384 + 1536)) + 770

# %% [markdown]
# The last line counts. Each of six layers has four matrices of 384 × 384 and two of 384 × 1,536. Each costs 8 times the
# sum of its two sides. The head has 770. Now the library's LoRA gets the same A, and both take eight steps on the same batches.

# %%
torch.manual_seed(0)
twin = without_dropout(ftlib.load_model("minilm", reviews))
strategies.LoRA(r=8).prepare(twin)  # `fit` below sees it, and inserts nothing
model.head.load_state_dict(twin.head.state_dict())
theirs = [p for name, p in twin.named_parameters() if ".lora_A." in name]
for layer, a in zip(layers, theirs, strict=True):
    layer.A.data.copy_(a)
W = layers[0].base.weight.detach().clone()
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
losses = []
for batch in batches:
    optimizer.zero_grad()
    loss = F.cross_entropy(model.train()(batch), batch["labels"])
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

# %%
same = {"steps": 8, "lr": 1e-3, "precision": "float32", "max_norm": 1e9}
twin, history = ftlib.fit(twin, batches, strategies.LoRA(r=8), **same)
print([round(x, 3) for x in losses])
print([round(row["loss"], 3) for row in history])
assert all(abs(row["loss"] - x) < 1e-3 for row, x in zip(history, losses))

# %% [markdown]
# The same losses. Three things are true after training. W hasn't changed. Each update has rank 8 at most. And you can
# **merge**: add the update to W once, and the network costs no more than the original one.

# %%
assert torch.equal(layers[0].base.weight, W)
ranks = [torch.linalg.matrix_rank(layer.update(), rtol=1e-5).item() for layer in layers]
model.eval()
with torch.no_grad():
    beside = model(batches[0])
    for layer in layers:
        layer.base.weight += layer.update()
        layer.B.zero_()
    merged = model(batches[0])
print(f"ranks {min(ranks)} to {max(ranks)}; merging moves the outputs by", end=" ")
print(f"{(merged - beside).abs().max():.0e}")
assert max(ranks) <= 8 and torch.allclose(merged, beside, atol=1e-4)

# %% [markdown]
# ## 3. Break it (3 minutes)
#
# Somebody thinks that zeros can't learn, and draws B at random, as A. **Predict first:**

# %%
widgets.predict("04_peft", "b-random")


# %%
def at_the_start(random_b: bool) -> tuple[float, float]:
    torch.manual_seed(0)
    model = ftlib.load_model("minilm", reviews)
    batch = next(iter(reviews.loader("validation", tokenizer=model.tokenizer, batch_size=64)))
    with torch.no_grad():
        pretrained = model.features(batch)  # (64, 384)
        model = strategies.LoRA(r=8).prepare(model).eval()
        for name, p in model.named_parameters():
            if random_b and ".lora_B." in name:
                nn.init.kaiming_uniform_(p, a=5**0.5)
        features = model.features(batch)
        loss = F.cross_entropy(model.head(features), batch["labels"])
    return ((features - pretrained).norm() / pretrained.norm()).item(), loss.item()


found = {"B = 0": at_the_start(False), "B random": at_the_start(True)}
for name, (moved, loss) in found.items():
    print(f"{name:9} features moved by {moved:.1%}, loss {loss:.3f} (log 2 is 0.693)")

# %%
moved = found["B random"][0]
assert found["B = 0"][0] == 0
teach.predict("04_peft", "b-random").compare(
    "much" if moved > 0.1 else "little" if moved else "still"
)

# %% [markdown]
# **The symptom to remember:** there is none. A fresh head guesses either way, so both losses are near
# log 2. But the features moved by more than their own length: they are no longer the pretrained ones. So **compare the
# outputs before and after insertion**. B = 0 does learn: its gradient is that of the output times A x, which isn't zero. If both were zero, nothing would
# learn.

# %% [markdown]
# ## 4. An adapter by hand (2 minutes)
#
# LoRA puts its weights *beside* a matrix. An **adapter** (Houlsby et al., 2019) puts a small network *behind* a layer, as on
# the right of the diagram in section 2. Its output is h + U relu(D h).


# %%
class Bottleneck(nn.Module):
    """An adapter behind a frozen layer."""

    def __init__(self, base: nn.Module, d: int, w: int):
        super().__init__()
        self.base, self.D, self.U = base, nn.Linear(d, w), nn.Linear(w, d)
        nn.init.zeros_(self.U.weight)
        nn.init.zeros_(self.U.bias)

    def forward(self, x):
        h = self.base(x)
        return h + self.U(F.relu(self.D(h)))  # (…, d)


# %% [markdown]
# The library puts two of them into each layer of MiniLM, behind attention and behind the feed-forward part. Is one of its
# adapters the same as ours?

# %%
model = ftlib.load_model("minilm", reviews)
model = strategies.Adapter(width=16, placement="houlsby").prepare(model).eval()
theirs = next(module for module in model.modules() if hasattr(module, "down"))
ours = Bottleneck(theirs.base, 384, 16)
x = torch.randn(4, 12, 384)  # 4 texts, 12 tokens
assert torch.equal(ours(x), theirs.base(x))  # at first nothing is added
nn.init.normal_(theirs.up.weight)  # as if it had learned
ours.D, ours.U = theirs.down, theirs.up
assert torch.equal(ours(x), theirs(x)) and not torch.equal(ours(x), theirs.base(x))
print("the same outputs")

# %% [markdown]
# The relu is the difference. LoRA's update is a matrix, so it can be merged into W. An adapter can't, so it costs a
# little time in every answer. Begin with LoRA. [In depth](04_peft_depth.ipynb) compares six methods.

# %% [markdown]
# ## 5. What does it save? (4 minutes)
#
# *Parameters*: r (d_in + d_out) per matrix, not d_in · d_out. *Storage*: only A, B and the head are kept for a task.
# *Memory*: for each trained parameter there are a gradient and AdamW's two numbers, 12 bytes in all. For MiniLM that is
# 271 MB with full fine-tuning and 4 MB with LoRA. Activations come on top, and LoRA keeps most of them.
#
# And *time*? A training step has three large parts: forward, the gradients of the activations, and the gradients of the
# weights. Each has about the same number of operations. The optimizer's update comes on top. **Predict first:**

# %%
widgets.predict("04_peft", "step-time")

# %%
timed = ftlib.load_runs("04_peft_confirm_cost")
parts = ["forward", "backward", "optimizer"]
ms = timed[[f"seconds.{part}" for part in parts]].div(timed.steps, axis=0).mul(1000)
ms.columns = parts
ms["sum"] = ms.sum(axis=1)
ms["trained parameters"] = timed["parameters.trainable"]
ms = ms.groupby([timed.task, timed.arm], sort=False).mean()
lora, full = (ms.loc["sentiment/amazon"].loc[arm] for arm in ("lora-8", "full"))
assert lora.backward < full.backward and lora.forward > full.forward
assert [round(12 * run["trained parameters"] / 1e6) for run in (full, lora)] == [271, 4]  # MB
ms = ms.rename({"sentiment/amazon": "reviews, MiniLM", "elpv": "solar cells, Lite0"})
ms.round(0).astype(int).map("{:,}".format)

# %%
saved = 1 - lora["sum"] / full["sum"]
found = "nearly-all" if saved > 0.7 else "third" if saved > 0.1 else "none"
print(f"in these runs on the reviews, LoRA of rank 8 saves {saved:.0%} of a step")
teach.predict("04_peft", "step-time").compare(found)

# %% tags=["guard"]
steps = ftlib.load_runs("04_peft_cost").query("task == 'sentiment/amazon'")
steps = steps.groupby("arm")["seconds.training"].mean()
assert 0.035 < 1 - steps["lora-8"] / steps["full"] < 0.045  # the 4 % of the earlier series

# %% [markdown]
# These are milliseconds per step, averaged over eight timed runs on one computer. An earlier series of six runs found
# 4 % on the reviews. So expect little or some, and never nearly all. The gradient must still travel through every frozen
# layer, down to the first A. LoRA skips only the gradients of the large matrices and most of the optimizer's work. It adds
# the thin products. You can see them in the column *forward*.

# %% tags=["nbval-check-output"]
teach.claim("P1", verdict="supported")

# %% [markdown]
# So when somebody says *efficient*, ask what it saves: storage, memory or time.

# %% [markdown]
# ## 6. Which rank, which learning rate? (4 minutes)
#
# LoRA with three ranks, and full fine-tuning, each at four learning rates. MiniLM, 200 reviews, 20 steps, six seeds.
# **Predict first:**

# %%
widgets.predict("04_peft", "best-rate")

# %%
grid = ftlib.load_runs("04_peft").query("purpose == 'measure'")
grid = grid.assign(arm=grid.arm.str.partition("@")[0], **{"learning rate": grid.lr})
plots.sweep(
    grid,
    "test.macro_f1",
    "On MiniLM, LoRA wants a higher learning rate than full fine-tuning",
    "macro-F1 on test",
    by="learning rate",
)

# %%
validation, test = (
    grid.pivot_table(f"{split}.macro_f1", "arm", "lr") for split in ("validation", "test")
)
own = validation.idxmax(axis=1)  # of each method, chosen on validation
times = own["lora-8"] / own["full"]
print(f"the best learning rate of rank 8 is {times:.0f} times that of full fine-tuning")
found = "higher" if times > 2 else "lower" if times < 0.5 else "same"
teach.predict("04_peft", "best-rate").compare(found)

# %%
scores = test.dropna(axis=1).loc[["full", "lora-1", "lora-8", "lora-64"]]
low, high = scores.columns  # the two learning rates that all methods were tried at
scores["its own"] = [test.loc[arm, own[arm]] for arm in scores.index]
assert min(own[arm] / own["full"] for arm in own.index if arm != "full") > 9
assert scores[low]["full"] > scores[low].drop("full").max() + 0.2
assert scores[high]["full"] < scores[high].drop("full").min() - 0.2
scores.round(3)

# %% [markdown]
# At the lower shared rate LoRA looks useless, and at the higher one full fine-tuning does. Only the last column compares
# methods. So **give each method its own learning rate**. LoRA's is at least ten times that of full
# fine-tuning here. (On test another may be a little better, since validation chose.)
#
# Is LoRA a little worse then? And worse still on unusual data?

# %% tags=["nbval-check-output"]
teach.claim("P3", verdict="open")

# %% [markdown]
# On the solar cells, with a convolutional network, LoRA's best learning rate was a third of full fine-tuning's. So don't
# carry a factor over to another kind of network.

# %% tags=["guard"]
cells = ftlib.load_runs("02_freezing", "02_freezing_far", "04_peft_lite")
cells = cells.query("purpose == 'measure' and task in ['elpv', 'elpv+noise3']")
cells = cells.query("model == 'efficientnet-lite0' and arm in ['full', 'lora-8']")
chosen = cells.groupby(["task", "arm"]).lr.max().unstack()  # on validation
assert chosen.loc["elpv"].to_dict() == {"full": 0.003, "lora-8": 0.001}

# %% [markdown]
# ## 7. What rank does an update need? (5 minutes)
#
# In attention each token asks with its *query* and passes on its *value*. A matrix computes each. Fine-tune everything and subtract: ΔW = after − before. Any matrix is a sum of *directions* of rank 1, each with a size,
# its **singular value**. Add up the squared sizes. The share of the r largest is the **energy** that rank r could keep. **Your task:** in *layer 0 query*, which is the smallest of the offered ranks that keeps
# at least half of the energy?

# %%
torch.manual_seed(0)
model = ftlib.load_model("minilm", reviews)
weights = {
    f"layer {i} {name}": model.get_parameter(f"stages.{i + 1}.attention.self.{name}.weight")
    for i, name in ((0, "query"), (0, "value"), (5, "query"), (5, "value"))
}
first = {name: w.detach().clone() for name, w in weights.items()}
train = reviews.loader("train", tokenizer=model.tokenizer, batch_size=16, shuffle=True)
ftlib.fit(model, train, strategies.Full(), steps=STEPS, lr=1e-4, precision="float32")
delta = {name: (w.detach().cpu() - first[name]).numpy() for name, w in weights.items()}

# %%
runs = ftlib.load_runs("04_peft").query("purpose == 'measure'")
means = runs.groupby("arm")["validation.macro_f1"].mean()  # arms such as "lora-8@0.001"
best = means.groupby(lambda arm: arm.split("@")[0]).idxmax()  # at its own learning rate
ranks = dict(zip(best[["full", "lora-1", "lora-8", "lora-64"]], (0, 1, 8, 64)))  # 0: full
runs = runs[runs.arm.isin(best)].assign(rank=lambda kept: kept.arm.map(ranks))
explorer = widgets.of_lesson("04_peft", "explorer").rank_explorer(delta, runs, "test.macro_f1")
explorer

# %%
smallest_rank = None  # one of the ranks in the figure

teach.check("04_peft/explorer", (smallest_rank, explorer.spectrum))

# %% tags=["guard"]
share = {name: s[0] ** 2 / (s**2).sum() for name, s in explorer.spectra.items()}
assert share["layer 5 value"] > 2 * share["layer 0 query"]
for pair in (("lora-1", "lora-8"), ("lora-8", "lora-64"), ("lora-1", "lora-64")):
    assert ftlib.reading(ftlib.paired(runs, "test.macro_f1", *best[list(pair)])).startswith(
        "not"
    )

# %% [markdown]
# Now choose *layer 5 value*. A few directions hold its update. LoRA trains its own, and rank 64 scored no
# higher than rank 1 on six seeds. Start with a small rank. More data may need more (Schulman et al.): we haven't
# tested that.

# %% [markdown]
# ## 8. Your own data, and one base for two jobs (3 minutes)
#
# Now your texts. Change the path to a table of yours, and say which column holds the text and which the label. We begin
# with support messages that come with the kit. Each job gets its own LoRA and its own head. `save_adapter` saves them: many
# programs call any such small set of weights an adapter. (For a language model, put your
# own chats into a file as in section 1.)

# %%
my_table = ftlib.tasks.example("table")  # or "C:/mails.csv", or any table of yours
mine = ftlib.load_task("table", path=my_table, text="text", label="label", seed=0)
jobs, models, right, folder = {"mine": mine, "reviews": reviews}, {}, {}, Path("my_models")
for name, job in jobs.items():
    torch.manual_seed(0)
    model = ftlib.load_model("minilm", job)
    loader = job.loader("train", tokenizer=model.tokenizer, batch_size=16, shuffle=True)
    # 20 steps of 16 texts see 320: with a longer table, raise the steps
    models[name], _ = ftlib.fit(model, loader, strategies.LoRA(r=8), steps=STEPS, lr=3e-3)
    save_adapter(models[name], folder / f"adapter_{name}")
    held_out = job.loader("validation", tokenizer=model.tokenizer, batch_size=64)
    right[name] = ftlib.evaluate(models[name], held_out)["accuracy"]
print({name: f"{share:.0%} right on validation" for name, share in right.items()})
plots.confusion(models["mine"], mine, split="test")

# %%
plots.mistakes(models["mine"], mine, split="test", n=4)

# %% [markdown]
# Rows are the true classes, columns the answers, all of the **test** split. The table shows the most confident mistakes. Now load **one** base, put both
# LoRAs on it, and switch.

# %%
size = sum(file.stat().st_size for file in (folder / "adapter_mine").iterdir())
base = ftlib.load_model("minilm", reviews).eval()
whole = 4 * sum(p.numel() for p in base.parameters())
print(f"one more job takes {size / 1e6:.1f} MB, a full copy {whole / 1e6:.0f} MB")
for name in jobs:
    load_adapter(base, folder / f"adapter_{name}", name)
for name, job in jobs.items():
    switch(base, name)
    held_out = job.loader("validation", tokenizer=base.tokenizer, batch_size=64)
    again = ftlib.evaluate(base, held_out)["accuracy"]
    print(f"switched to {name}: {again:.0%} right")
    assert abs(again - right[name]) < 0.02
assert size < 0.02 * whole

# %% [markdown]
# The **head** is in the folder too. It was trained with this LoRA, and no other head fits. Forgetting it is a well-known
# trap. The folders are ordinary ones of the library `peft`, so other programs can load them. For one job only, merge. For
# many jobs, keep one base and switch.

# %% [markdown]
# ## 9. Change it, and what to take home (9 minutes)
#
# **Change it:** the LoRA of MiniLM may take **2 MB** on disk (2,000,000 bytes). It is on all linear layers, with 4 bytes
# per parameter, and the 770 parameters of the head are included. Each of the six layers has four matrices of 384 × 384 and two of
# 384 × 1,536. Which is the **largest rank** that fits? Write for example `return 3`. You may compute it on paper.


# %% tags=["exercise:rank_budget"]
def rank_budget() -> int:
    """The largest rank with which MiniLM's A, B and head fit into 2 MB."""
    ### BEGIN SOLUTION
    a_rank = 6 * (4 * (384 + 384) + 2 * (384 + 1_536))
    return int((2_000_000 / 4 - 770) // a_rank)
    ### END SOLUTION


# %% tags=["check:rank_budget", "points:1"]
teach.check("04_peft/rank_budget", rank_budget)

# %%
widgets.quiz("04_peft", "b-zero", "what-is-saved", "own-rate")

# %% [markdown]
# **The decision rule.**
# 1. **Storage short, or many tasks?** Use LoRA, on all linear layers. It spares gradients and AdamW's numbers, too, but
#    hardly any activations. If a batch doesn't fit, take a smaller one.
# 2. **Give it its own learning rate.** In a transformer try ten times that of full fine-tuning first.
# 3. **Begin with a small rank.**
# 4. **Before training**, compare outputs before and after insertion, and count what learns.
# 5. **One task? Merge. Many? Switch**, and save the head too.

# %% [markdown]
# ## 10. Lab: a LoRA layer (11 minutes)
#
# Write it yourself, without looking at section 2. `lora(layer, r, alpha)` returns a module that takes the place of a linear
# layer.
#
# - It computes `layer(x)` plus the update, scaled by alpha / r.
# - It has the parameters `A` (r × d_in) and `B` (d_out × r), and only these two learn.
# - At first it gives the layer's own output, and it *can* learn from there.
# - It works for inputs of any shape (…, d_in), and doesn't change the layer's weights.


# %% tags=["exercise:lora"]
def lora(layer, r: int, alpha: float):
    ### BEGIN SOLUTION
    class Beside(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer.requires_grad_(False)
            self.A = torch.nn.Parameter(
                torch.randn(r, layer.in_features) / layer.in_features**0.5
            )
            self.B = torch.nn.Parameter(torch.zeros(layer.out_features, r))

        def forward(self, x):
            return self.layer(x) + alpha / r * (x @ self.A.T @ self.B.T)

    return Beside()
    ### END SOLUTION


# %% tags=["check:lora", "points:3"]
teach.check("04_peft/lora", lora)

# %% [markdown]
# ## 11. Lab: merge, and only once (11 minutes)
#
# `module` is such a layer after training. It has a frozen linear layer `module.base`, the matrices `module.A` and
# `module.B`, the number `module.scale`, and `module.merged`, which is False at first. As long as `merged` is False, the
# forward pass adds the update itself.
#
# Write `merge_once(module)`. It puts the update into `module.base.weight` and sets `merged`, so that the outputs stay the
# same. Called again, it must change nothing. The base stays a frozen parameter.


# %% tags=["exercise:merge_once"]
def merge_once(module) -> None:
    ### BEGIN SOLUTION
    if module.merged:
        return
    with torch.no_grad():
        module.base.weight += module.scale * module.B @ module.A
    module.merged = True
    ### END SOLUTION


# %% tags=["check:merge_once", "points:3"]
teach.check("04_peft/merge_once", merge_once)

# %% [markdown]
# ## 12. Lab: a fair comparison (12 minutes)
#
# Investigate the recorded runs. Section 6 showed that one shared learning rate compares learning rates and not methods.
# `recorded_runs` is a table of one task with one row per run. It has the columns `arm` (method and learning rate, such as
# `"lora-8@0.001"`), `lr`, `seed`, and scores such as `"validation.macro_f1"` and `"test.macro_f1"`.
#
# Write `fair_gap(recorded_runs, method, metric)`. It returns a pair.
#
# 1. The learning rate of `method` that has the best *mean* of `metric` on **validation**, over the seeds.
# 2. The mean over the seeds of (`method` − `"full"`) on **test**, with each method at its own learning rate.
#
# `metric` is a name such as `"macro_f1"`. Be careful: `"lora-1"` and `"lora-16"` begin alike.


# %% tags=["exercise:fair_gap"]
def fair_gap(recorded_runs, method: str, metric: str) -> tuple[float, float]:
    ### BEGIN SOLUTION
    names = recorded_runs.arm.str.partition("@")[0]
    at_best = {}
    for name in (method, "full"):
        runs = recorded_runs[names == name]
        rate = runs.groupby("lr")[f"validation.{metric}"].mean().idxmax()
        at_best[name] = rate, runs[runs.lr == rate].set_index("seed")[f"test.{metric}"]
    (rate, ours), (_, full) = at_best[method], at_best["full"]
    return rate, (ours - full).mean()
    ### END SOLUTION


# %% tags=["check:fair_gap", "points:3"]
teach.check("04_peft/fair_gap", fair_gap)

# %%
everything = ftlib.load_runs("04_peft")
for method in ("lora-1", "lora-8", "lora-64"):
    try:
        rate, gap = fair_gap(everything, method, "macro_f1")
        print(f"{method:8} at {rate:g}: {gap:+.3f} against full fine-tuning")
    except NotImplementedError:
        print(method, "waits for your function")

# %% [markdown]
# The box in section 6 says −0.027 for rank 8. It chooses each seed's learning rate on the *other* five seeds, so that no
# seed helps to choose its own.

# %% [markdown]
# ## 13. More questions, and the limits (4 minutes)

# %%
widgets.quiz("04_peft", "lost-head", "merged-twice", "more-rank")

# %% [markdown]
# **Limits.** Small tasks and models, 200 examples, short training. Where storage and memory really matter, models are a
# thousand times larger. Ratios of parameters carry over, and milliseconds don't. The language model was trained once, with
# one seed, on 16 held-out reviews, so it shows a mechanism and decides nothing. [04 in depth](04_peft_depth.ipynb) has the other methods
# and many tasks on one model. Use the board of [01](01_full.ipynb) to compare with other strategies.
#
# **Sources.** Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, ICLR 2022 (2106.09685). Houlsby et al.,
# *Parameter-Efficient Transfer Learning for NLP*, ICML 2019 (1902.00751). Biderman et al., *LoRA Learns Less and Forgets Less*,
# TMLR 2024 (2405.09673). Schulman et al., *LoRA Without Regret*, Thinking Machines, 2025.

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
