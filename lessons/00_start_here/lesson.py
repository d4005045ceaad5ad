# %% [markdown]
# # Start here
#
# **After these ten minutes you can** say what fine-tuning is and what it is worth, name the four places where a
# fine-tuning method can act, and choose the lesson you need.
#
# **You need** Python and a little PyTorch: you have seen a loss and an optimizer. No GPU, no account, and no network:
# all weights and data are on this computer already.
#
# Run the cells from top to bottom: `Shift+Enter` runs one, *Run → Run All Cells* runs them all, in about a minute.

# %%
import time

began = time.perf_counter()
import torch
from skimage import data as photographs

import ftlib
from ftlib import doctor, plots

# %% [markdown]
# ## 1. What this computer has
#
# The doctor looks at the device, the memory, the packages, the weights and the data. If something is missing, its last
# line says what to do. You can also call it in a terminal: `python -m ftlib doctor`.

# %%
health = doctor.report()
doctor.show(health)
assert not [asset for asset, problem in health["assets"].items() if problem], (
    "run `python -m ftlib assets` first"
)

# %% [markdown]
# ## 2. A model that already knows something
#
# *EfficientNet-Lite0* has seen 1.3 million photographs of ImageNet's 1,000 classes. We show it one that it has not seen.
# **Predict first:** will it be sure that this is a cat?

# %%
model = ftlib.load_model("efficientnet-lite0")
cat = (
    torch.from_numpy(photographs.chelsea().copy()).permute(2, 0, 1)[None].float() / 255
)  # (1, 3, 300, 451), 0..1
cat = torch.nn.functional.interpolate(
    cat[..., 75:375], size=(224, 224), mode="bilinear", antialias=True
)
with torch.no_grad():
    chance = model({"pixels": cat}).softmax(-1)[0]  # (1000,)
cats = {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"}
for k in chance.topk(3).indices.tolist():
    print(f"{cats.get(k, f'class {k}'):15} {chance[k]:.2f}")
assert chance.argmax().item() in cats

# %% [markdown]
# It is sure that this is a cat, and unsure which kind. What it learned is stored in a chain of **stages**, from edges and
# textures to parts of objects; on top of them sits a **head**, one linear layer that turns features into class scores.

# %%
for name, stage in zip(model.stage_names, model.stages):
    print(f"{name:12} {sum(p.numel() for p in stage.parameters()):>9,} parameters")
print(f"{'head':12} {sum(p.numel() for p in model.head.parameters()):>9,} parameters")

# %% [markdown]
# ## 3. What fine-tuning is
#
# A task of our own: is a sentence from a product review *positive or negative*? We have 200 labelled sentences.
# **Fine-tuning** takes a network that was trained on something else, here *MiniLM*, which places sentences of like meaning
# close together; keeps its stages; puts a fresh head with two outputs on top; and goes on training on the new data.
#
# *From scratch* is the same network with random weights. Everything else is equal: data, steps, order, and each has the
# learning rate that suited it best. **Predict first:** after 40 steps, how far apart are the two: 2, 10 or 20 points?

# %%
recorded = ftlib.load_runs("01_full").query(
    "purpose == 'measure' and arm in ['scratch', 'full']"
)
reviews = recorded.query("task == 'sentiment/amazon'")
plots.scores(
    reviews,
    "test.macro_f1",
    "200 sentences: from scratch, or from a pretrained network",
    "macro-F1 on test",
)

# %% [markdown]
# Each light point is one **seed**: another split, another 200 sentences, another order. The large point is the mean, the bar
# its 95 % interval. Is it always so clear? We ask the same of photographs of **solar cells**, *intact or defective*:

# %%
cells = recorded.query("task == 'elpv'")
for name, runs, metric in (
    ("reviews", reviews, "test.macro_f1"),
    ("solar cells", cells, "test.balanced_accuracy"),
):
    gap = ftlib.paired(runs, metric, "full", "scratch")
    interval = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], {gap.seeds} paired seeds"
    print(
        f"{name:12} full fine-tuning − from scratch: {interval}: {ftlib.compare.reading(gap)}"
    )
    assert ftlib.compare.reading(gap) == (
        "higher" if name == "reviews" else "not distinguishable here"
    )

# %% [markdown]
# For the reviews the whole interval lies above 0: pretraining helped. For the cells it holds 0, and then we say *not
# distinguishable here*: 200 cells, 60 steps and six seeds are too few to tell. That is not the same as "no difference".
# Had we looked at one seed only, we would have told a story either way. So every comparison in this kit has several seeds,
# the same for both sides, and an interval.

# %% [markdown]
# ## 4. The four places where a strategy acts
#
# All methods of this kit run through one training loop. Each is a **strategy**, which changes one of four things:
#
# | it changes | slots | for example |
# |---|---|---|
# | the **model** | `prepare`, `before_step`, `finish` | freezing layers, LoRA, a head for each task |
# | the **batches** | `batches`, `transform` | replay of old data, augmentation, mixing tasks |
# | the **loss** | `loss`, `penalty`, `gradient` | distillation, L2-SP, domain confusion |
# | the **learning rate** | `lr_scale`, `groups` | warmup and decay, slower rates for early stages |
#
# These ten *slots* do nothing by default, so the default is full fine-tuning. A strategy is short. This one trains the
# head alone, a *linear probe*:

# %%
import inspect

from ftlib import strategies

print(inspect.getsource(strategies.LinearProbe))

# %% [markdown]
# We run it, live, for 20 steps. `fit` prints what it decided; then we look at whether the stages really stood still.

# %%
task = ftlib.load_task("elpv", n=200, size=96, seed=0)
torch.manual_seed(0)
model = ftlib.load_model("efficientnet-lite0", task)
before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
model, history = ftlib.fit(
    model, task.loader("train", shuffle=True), strategies.LinearProbe(), steps=20, lr=3e-3
)

after = model.cpu().state_dict()  # `fit` may have moved it to a GPU
changed = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
print("changed:", changed)
assert changed == ["head.weight", "head.bias"]
plots.losses(history, "A linear probe, 20 steps")

# %% [markdown]
# ## 5. The map
#
# | lesson | changes | you will be able to |
# |---|---|---|
# | [01 Full fine-tuning](01_full.ipynb) | nothing | tell what pretraining is worth, and when a linear probe is enough |
# | [02 Freezing layers](02_freezing.ipynb) | model | choose which layers to train, and measure what that saves |
# | 03 Incremental learning | batches, loss | learn new classes without forgetting the old ones |
# | [04 LoRA and adapters](04_peft.ipynb) | model | train few parameters, up to a language model |
# | 05 Multi-task learning | batches, loss | let tasks share a network, and see when they conflict |
# | [06 Schedules](06_schedules.ipynb) | learning rate | find a learning rate, and see what the schedule's shape adds |
# | [07 Domain adaptation](07_domain.ipynb) | batches, loss | use data that has no labels, and see when that hurts |
# | [08 Augmentation](08_augmentation.ipynb) | batches | augment your data, and see when it helps |
# | 09 Comparison | all | put all of them side by side |
# | 10 Tools | – | take a recipe to LLaMA-Factory and others |
#
# Lessons without a link are being written. Begin with 01: all others are compared with it.

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {health['profile']}.")
