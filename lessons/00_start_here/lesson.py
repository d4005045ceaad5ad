# %% [markdown]
# # Start here
#
# In five minutes you will teach a network something new, type a sentence that it has never seen, and get an answer.
# Then you save the network and load it again.
#
# **You need** Python and a little PyTorch. No GPU, no account and no network: all weights and data are on this computer.
# Run one cell after the other with `Shift+Enter`.

# %%
import time

began = time.perf_counter()

import torch

import ftlib
from ftlib import plots, strategies, teach, widgets

# %% [markdown]
# ## 1. Your first fine-tuned model
#
# **The task:** is a sentence from a product review *positive or negative*? We have 200 labelled sentences. Here are some.

# %%
reviews = ftlib.load_task("sentiment/amazon", n=200, seed=0)
plots.Table(plots.examples(reviews, n=6), "Six sentences, each with its label.")

# %% [markdown]
# **The model** is *MiniLM*. It has read a billion pairs of sentences, but nobody ever told it what praise is. We
# train it on our 200 sentences for 30 steps. That takes about half a minute.

# %%
torch.manual_seed(0)
model = ftlib.load_model("minilm", reviews)
validation = reviews.loader("validation", tokenizer=model.tokenizer, batch_size=64)
before = ftlib.evaluate(model, validation)["accuracy"]

train = reviews.loader("train", tokenizer=model.tokenizer, shuffle=True)
model, history = ftlib.fit(model, train, strategies.Full(), steps=30, lr=1e-4)

after = ftlib.evaluate(model, validation)["accuracy"]
print(f"right answers on new sentences: {before:.0%} before, {after:.0%} after")
assert after > 0.8 > before
plots.before_after(before, after, "New reviews, before and after 30 steps", "right answers")

# %% [markdown]
# That is **fine-tuning**: a network that already knows a lot learns your task from few examples.
#
# **Now you.** Change the sentence and run the cell. Try something tricky, such as *not bad at all*.

# %%
my_sentence = "The battery died after two days, and nobody answered my mail."
ftlib.predict(model, my_sentence)

# %% [markdown]
# Or type in the box below, as often as you like.

# %%
widgets.try_model(
    model, examples=["Best headphones I ever had.", "It broke. I want my money back."]
)

# %% [markdown]
# **Keep it.** One line writes the model, its labels and a short description into a folder. One line brings it back.

# %%
ftlib.save(model, "my_models/reviews", scores={"accuracy on validation": after})
again = ftlib.load("my_models/reviews")
assert ftlib.predict(again, my_sentence).label == ftlib.predict(model, my_sentence).label
ftlib.predict(again, my_sentence)

# %% [markdown]
# You have trained, tried, saved and loaded a model. The rest of this notebook explains what happened. Lesson
# [01](01_full.ipynb) does the same with **your own** images or texts.

# %% [markdown]
# ## 2. What a pretrained network knows
#
# *EfficientNet-Lite0* learned from 1.3 million photographs. Here is one that it has never seen, and below it what the
# network calls it.

# %%
from skimage import data as photographs

cat = torch.from_numpy(photographs.chelsea().copy()).permute(2, 0, 1)  # (3, 300, 451)
cat = torch.nn.functional.interpolate(
    cat[None, ..., 75:375].float() / 255, size=(224, 224), mode="bilinear", antialias=True
)
plots.image(
    (255 * cat[0].permute(1, 2, 0)).byte().numpy(), "The head of a ginger cat, from the front."
)

# %%
network = ftlib.load_model("efficientnet-lite0")
with torch.no_grad():
    probability = network({"pixels": cat}).softmax(-1)[0]  # (1000,)
names = {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"}
for k in probability.topk(3).indices.tolist():
    print(f"{names.get(k, f'class {k}'):15} {probability[k]:.0%}")
assert probability.argmax().item() in names

# %% [markdown]
# It is sure that this is a cat. It isn't sure which kind. Fine-tuning keeps this knowledge and asks a new question.

# %% [markdown]
# ## 3. Fine-tuning in one picture

# %%
teach.diagram("00_start_here", "fine_tuning")

# %% [markdown]
# The **stages** turn an input into features, step by step: edges, textures, parts of objects; or letters, words, meaning.
# The **head** turns features into answers. A new task gets a fresh head. Then some or all weights keep learning.
#
# **What does it cost?** The kit tests what people say about fine-tuning. A box like the one below says in one line per task
# what we found, and then what to do. A *linear probe* trains the head alone. *8 times as much* means that full fine-tuning
# took 8 times as long to reach the same score.

# %% tags=["nbval-check-output"]
teach.claim("F4", verdict="supported")

# %% [markdown]
# ## 4. Which lesson do you need?
#
# ```mermaid
# flowchart TD
#     start([I have a pretrained model]) --> labels{Do I have labels<br>for my own data?}
#     labels -- yes --> L01[01 Full fine-tuning]
#     labels -- "only for similar data" --> L07[07 Domain adaptation]
#     labels -- "for several questions" --> L05[05 Multi-task]
#     L01 --> slow{Too slow, or<br>too little memory?}
#     slow -- "too slow" --> L02[02 Freezing layers]
#     slow -- "too little memory" --> L04[04 LoRA and adapters]
#     slow -- no --> good{Good enough?}
#     good -- yes --> later{Will new data come later?}
#     later -- no --> large{A larger model,<br>or much more data?}
#     large -- no --> done([Done])
#     large -- yes --> L10[10 The tools]
#     later -- yes --> L03[03 Incremental learning]
#     good -- "it learns badly" --> L06[06 Learning-rate schedules]
#     good -- "it learns the data by heart" --> L08[08 Augmentation]
# ```

# %% [markdown]
# [01 Full fine-tuning](01_full.ipynb) · [02 Freezing layers](02_freezing.ipynb) · [03 Incremental
# learning](03_incremental.ipynb) · [04 LoRA and adapters](04_peft.ipynb) · [05 Multi-task](05_multitask.ipynb) · [06
# Schedules](06_schedules.ipynb) · [07 Domain adaptation](07_domain.ipynb) · [08 Augmentation](08_augmentation.ipynb) ·
# [09 Which strategy?](09_compare.ipynb) · [10 The tools](10_tools.ipynb). Begin with 01.

# %% [markdown]
# ## 5. Is everything there?
#
# The doctor looks at this computer, its packages, the weights and the data. If something is missing, it says what to do.

# %%
from ftlib import doctor

health = doctor.report()
doctor.show(health)
assert not [asset for asset, problem in health["assets"].items() if problem], (
    "run `python -m ftlib assets` first"
)

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {health['profile']}.")
