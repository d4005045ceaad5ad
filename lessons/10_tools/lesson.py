# %% [markdown]
# # 10 From the lab to the tools
#
# **After this lesson you can** hand an experiment of this kit, or your own chats, to LLaMA-Factory, XTuner, unsloth,
# Firefly or xTuring. You can tell which of your settings each tool honours, check that a loaded adapter really works, and
# say how much memory a large model takes.
# **Use it when** your model or your data outgrow this kit. **You need** [04](04_peft.ipynb), its core.
#
# | part | sections | minutes | what for |
# |---|---|---|---|
# | **core** | 1 to 10 | 45 | hand over, see it fail, choose a tool |
# | **lab** | 11 to 14 | 36 | do it yourself, with checks |
#
# Each section needs only the first code cell. Late? Run that one, and start at any heading. Run cell by cell with
# `Shift+Enter`. *Run All Cells* would show you the answers before the questions.

# %% tags=["setup"]
import time

began = time.perf_counter()

import json
import tempfile
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

import ftlib
from ftlib import plots, strategies, tasks, teach, tools, widgets
from ftlib.training.machine import profile

FULL = profile() == "full"  # on a GPU: more steps; elsewhere: quick
chats = ftlib.load_task("chats", path=tasks.example("chats"), seed=0)


def new_folder(name):
    """A folder that isn't there yet, for files that nobody needs afterwards."""
    return Path(tempfile.mkdtemp()) / name


# %% [markdown]
# ## 1. Your own radio operator (5 minutes)
#
# Radio operators end each message with a word, such as *Over.* Here are some short chats that come with the kit. We add
# your word to every answer, and train *SmolLM2-135M*, a small language model, to speak like that.

# %%
my_ending = "Over."  # try a word of your own

messages = []
for row in (
    row for split in ("train", "validation") for row in tools.rows_of(chats, split=split)
):
    *asked, (_, answer) = row
    turns = [*asked, ("assistant", f"{answer} {my_ending}")]
    messages.append({"messages": [{"role": role, "content": text} for role, text in turns]})
my_chats = new_folder("chats") / "my_chats.jsonl"
my_chats.parent.mkdir()
lines = "".join(json.dumps(one) + "\n" for one in messages)
my_chats.write_text(lines, encoding="utf-8")
mine = ftlib.load_task("chats", path=str(my_chats), seed=0)

# %%
my_questions = ["Which animal barks?", "What do cows drink?", "What is the capital of France?"]
my_questions += ["Say hello to a friend.", "What colour is snow?", "Name a warm country."]
torch.manual_seed(0)
model = ftlib.load_model("smollm2", mine)
held_out = mine.loader("validation", tokenizer=model.tokenizer, batch_size=8)
first, before = ftlib.evaluate(model, held_out), model.generate(my_questions, max_new_tokens=16)
loader = mine.loader("train", tokenizer=model.tokenizer, batch_size=4, shuffle=True)
STEPS = 100 if FULL else 16
model, _ = ftlib.fit(model, loader, strategies.LoRA(r=8), steps=STEPS, lr=1e-3)
last, after = ftlib.evaluate(model, held_out), model.generate(my_questions, max_new_tokens=16)
share = [sum(a.endswith(my_ending) for a in found) / len(found) for found in (before, after)]
plots.before_after(*share, "New questions, before and after", "answers with your ending")

# %%
print("loss on held-out answers:", *(f"{found['nll']:.2f}" for found in (first, last)))
pd.set_option("display.max_colwidth", None)
pd.DataFrame({"question": my_questions, "before": before, "after": after})

# %% tags=["guard"]
assert share[0] == 0 and share[1] > 0.5 and last["nll"] < first["nll"]

# %% [markdown]
# (We stop it after 16 tokens.) It learned *how* to answer from a handful of chats. It learned no facts, so an answer may be
# plainly wrong. Now hand the experiment to **LLaMA-Factory**, in one line. The others only say what the experiment is.

# %%
phase = ftlib.Phase([{"LoRA": {"r": 8}}], steps=STEPS, lr=1e-3, batch_size=4)
spec = ftlib.Spec("radio", f"chats:{my_chats}", "smollm2", seed=0, phases=[phase])
files = tools.export(spec, "llama-factory", new_folder("radio"))  # "my_models/radio" keeps it
print(*sorted(files), "and the folder base, which is the model", sep="\n")
print(files["train_1.yaml"])
print(*(text for name, text in files.items() if name.endswith("_info.json")))

# %% [markdown]
# The folder's `README.md` says how to install the tool. Then `sh run.sh` in that folder trains, here in float32. **What people
# say** about these tools, what we counted, and what to do:

# %% tags=["nbval-check-output"]
teach.card("10_tools")

# %% [markdown]
# ## 2. From a chat to tokens (7 minutes)

# %%
teach.diagram("10_tools", "chat")

# %% [markdown]
# Every tool turns a chat into tokens in three steps. The **template** writes each message between special tokens. The
# tokenizer cuts the text into tokens. The **loss mask** says which tokens count. A label of −100 doesn't count. All of it
# by hand:


# %% tags=["by-hand"]
SYSTEM = tools.SMOLLM2.markup.default_system  # what SmolLM2 reads if a chat has no system text


def by_hand(tokenizer, row, system=SYSTEM, first="", masked=True):
    """A chat as tokens, and their labels: −100 where the loss doesn't count."""
    *asked, (_, answer) = row
    turns = [("system", system), *asked]
    text = first + "".join(f"<|im_start|>{who}\n{said}<|im_end|>\n" for who, said in turns)
    prompt = tokenizer(text + "<|im_start|>assistant\n")["input_ids"]
    counted = tokenizer(answer + "<|im_end|>")["input_ids"]
    return prompt + counted, ([-100] * len(prompt) if masked else prompt) + counted


def loss_of(model, chat) -> tuple[float, int]:
    """The summed loss of a chat's tokens, and how many of them count."""
    ids, labels = torch.tensor(chat[0]), torch.tensor(chat[1])
    with torch.no_grad():
        logits = model({"input_ids": ids[None, :-1]})[0]  # (T, V), each says the next token
    loss = F.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum")
    return loss.item(), int((labels[1:] != -100).sum())


# %% [markdown]
# `fit` begins with the very same loss.

# %%
torch.manual_seed(0)
model = ftlib.load_model("smollm2", chats).eval()
made = [by_hand(model.tokenizer, row) for row in tools.rows_of(chats)]
sums, counts = zip(*(loss_of(model, chat) for chat in made))
batch = next(iter(chats.loader("train", tokenizer=model.tokenizer, batch_size=len(made))))
same = {"precision": "float32", "verbose": False}
model, history = ftlib.fit(model, [batch], strategies.LoRA(r=8), steps=1, lr=1e-3, **same)
print(f"by hand {sum(sums) / sum(counts):.3f}, by the library {history[0]['loss']:.3f}")
assert abs(history[0]["loss"] - sum(sums) / sum(counts)) < 0.01
ids, labels = made[0]
words = [model.tokenizer.decode([i]) for i in ids]
end = pd.DataFrame({"token": words, "id": ids, "label": labels})
end.assign(token=end.token.map(repr)).tail(9)

# %% [markdown]
# Only the answer and the token that ends it count: there the label is the token's number, `id`. Without that last token the
# training doesn't teach the model to stop.

# %% [markdown]
# Each tool has templates of its own, which differ from the model's in small ways. We write eight of the chats in three wrong
# ways. **Predict first:** by how much does the worst of them raise the loss of the answers?

# %%
widgets.predict("10_tools", "wrong-template")

# %%
model = ftlib.load_model("smollm2", chats).eval()
tokens = model.tokenizer
rows = tools.rows_of(chats)[:8]


def bare(row):
    """Question and answer without any markup."""
    question, answer = (tokens(text)["input_ids"] for text in (row[0][1] + "\n", row[1][1]))
    end = tokens("<|im_end|>")["input_ids"]
    return question + answer + end, [-100] * len(question) + answer + end


ways = {
    "as the model's": lambda row: by_hand(tokens, row),
    "a full stop more": lambda row: by_hand(tokens, row, system=SYSTEM + "."),
    "first token twice": lambda row: by_hand(tokens, row, first="<|im_start|>"),
    "no markup": bare,
    "prompt counted": lambda row: by_hand(tokens, row, masked=False),
}

# %%
found = {}
for name, way in ways.items():
    made = [way(row) for row in rows]
    sums, counts = zip(*(loss_of(model, chat) for chat in made))
    found[name] = {
        "tokens in a chat": sum(len(ids) for ids, _ in made) / len(made),
        "tokens that count": sum(counts) / len(made),
        "loss per token": sum(sums) / sum(counts),
    }
losses = pd.DataFrame(found).T
losses.round(2)

# %%
wrong = losses.loc[["a full stop more", "first token twice", "no markup"], "loss per token"]
rise = wrong.max() - losses.loc["as the model's", "loss per token"]
key = "little" if rise < 0.5 else "some" if rise < 2 else "much"
teach.predict("10_tools", "wrong-template").compare(key)

# %% tags=["guard"]
right = losses.loc["as the model's"]
assert losses.loc["a full stop more", "tokens in a chat"] == right["tokens in a chat"] + 1
assert losses.loc["first token twice", "tokens in a chat"] == right["tokens in a chat"] + 1
assert abs(losses.loc["a full stop more", "loss per token"] - right["loss per token"]) < 0.1
assert losses.loc["prompt counted", "tokens that count"] > 3 * right["tokens that count"]
assert abs(losses.loc["prompt counted", "loss per token"] - right["loss per token"]) > 0.1

# %% [markdown]
# A full stop more hardly shows in the loss. Even no markup costs little here, so a loss may not show you a wrong template. But training and use then see different prompts. So export a system text with each chat, as the kit does.
#
# In the last row the prompt counts as well, so the number says little about answers. Two tools may count different tokens, so **never compare their losses.** Evaluate both models on the
# same held-out chats.

# %% [markdown]
# ## 3. One LoRA in six dialects (4 minutes)
#
# Here is one experiment: LoRA of rank 16, a cosine with warmup, 40 steps of four chats, and a loss on the answers only.
# **Predict first:** how many of these four wishes does *xTuring* grant?

# %%
widgets.predict("10_tools", "xturing-honours")

# %%
rank, warm = {"LoRA": {"r": 16, "alpha": 32}}, {"Cosine": {"warmup": 0.1}}
phase = ftlib.Phase([rank, warm], steps=40, lr=2e-4, batch_size=4)
spec = ftlib.Spec("dialects", "instructions/nyt", "smollm2", seed=0, phases=[phase])
rows = tools.rows_of(chats)[:20]
exports = {name: tools.tool(name).render(spec, rows) for name in tools.TOOLS}
settings = {  # how each of the dialects writes a setting
    "rank": r"[\"']?lora_rank\W+\d+|'r': \d+|\br=\d+",
    "rate": r"[\"']?learning_rate\W+[\d.e-]+|\blr=[\d.e-]+",
    "schedule": r"[\"']?lr_scheduler_type\W+\w+[\"']|CosineAnnealingLR",
    "steps": r"[\"']?max_steps\W+\d+|max_iters=\d+|num_train_epochs = \d+",
}
ours = {"rank": '"r": 16', "rate": "lr=0.0002", "schedule": '"Cosine"', "steps": "steps=40"}
table = {"this kit": ours}
for name, files in exports.items():
    code = pd.Series(
        "\n".join(text for file, text in files.items() if "_1." in file or file == "train.py")
    )
    found = {key: code.str.extract(f"({form})")[0].iloc[0] for key, form in settings.items()}
    table[name] = {key: "–" if pd.isna(text) else text for key, text in found.items()}
pd.DataFrame(table).T

# %% [markdown]
# The same numbers, in six spellings. A dash means that the file has no such line. The kit says in words what a tool
# can't express:

# %%
for name, files in exports.items():
    print(name, *(tools.lost_in(files) or ["everything is expressed"]), sep="\n    ")

# %%
lost = " ".join(tools.lost_in(exports["xturing"]))
granted = sum(
    word not in lost for word in ("the rank", "schedule", "number of steps", "the loss")
)
key = {0: "none", 4: "all"}.get(granted, "one" if granted == 1 else "most")
teach.predict("10_tools", "xturing-honours").compare(key)

# %% [markdown]
# xTuring's files run without an error, although three of the four wishes aren't in them. The fourth is granted by luck:
# 8 epochs of 20 chats in batches of four are 40 steps. So read the list of ignored settings before you compare two tools.
# Otherwise you compare their defaults.

# %% [markdown]
# ## 4. Break it: a word less in each name (5 minutes)
#
# Each tensor of an adapter has a name that says where it belongs. Tools name them differently. xTuring leaves out the first
# word, `base_model.`. We do the same to an adapter of our own. **Predict first:**

# %%
widgets.predict("10_tools", "renamed-keys")

# %%
import shutil
import warnings

from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from ftlib.models.adapters import load_adapter, save_adapter

disable_progress_bar()
torch.manual_seed(0)
model = ftlib.load_model("smollm2", chats)
loader = chats.loader("train", tokenizer=model.tokenizer, batch_size=4, shuffle=True)
model, _ = ftlib.fit(model, loader, strategies.LoRA(r=8), steps=4, lr=1e-3)
folder = save_adapter(model, new_folder("adapter"))
broken = Path(shutil.copytree(folder, new_folder("broken")))
weights = load_file(folder / "adapter_model.safetensors")
renamed = {name.removeprefix("base_model."): tensor for name, tensor in weights.items()}
save_file(renamed, broken / "adapter_model.safetensors")

# %%
ids = model.tokenizer("The capital of Iceland is", return_tensors="pt").input_ids


def logits_with(adapter=None):
    """What plain transformers and peft compute, without this kit."""
    net = AutoModelForCausalLM.from_pretrained(ftlib.assets.path("smollm2"))
    if adapter:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Found missing adapter keys", one line among many
            net = PeftModel.from_pretrained(net, adapter)
    with torch.no_grad():
        return net.eval()(ids).logits


base, whole, renamed = (logits_with(path) for path in (None, folder, broken))
print(f"the adapter moves the logits by up to {(whole - base).abs().max():.2f}")
print(f"the renamed one by {(renamed - base).abs().max():.2f}, and there was no error")

# %%
same = torch.equal(renamed, base)
assert same and not torch.equal(whole, base)
teach.predict("10_tools", "renamed-keys").compare("same" if same else "worse")

# %% [markdown]
# **The symptom to remember:** training went well, loading gave no error, and the model answers as if it had never been
# trained. peft does warn (*Found missing adapter keys*), but in a real log that is one line among many. Ask the model with
# the adapter and without it. If the logits are equal, the names don't fit. **Load strictly**, so that each tensor must find
# its place. In plain peft, turn that warning into an error with `warnings.filterwarnings`. Here it is one call:

# %%
fresh = ftlib.load_model("smollm2", chats)
try:
    load_adapter(fresh, broken, "mine")
except ValueError as error:
    print("the renamed one:", str(error).replace(str(broken), "the folder"))
load_adapter(fresh, folder, "mine")
print("the whole adapter: loaded")

# %% [markdown]
# ## 5. One recipe, five tools (4 minutes)
#
# Change the recipe and watch the files. Lines that have changed are marked with ▸. The table says what each tool honours.
# **Your task:** stay with LoRA. xTuring trains the same rank whatever you ask for. At which rank does its cell in the column
# *rank* change from *ignored*? Type it in place of `None`. Before you leave, find a strategy that four tools refuse.

# %%
texts = [row[0][1] for row in tools.rows_of(chats)]
handover = widgets.of_lesson("10_tools").handover(
    tools.rows_of(chats), texts, "my_models/exports"
)
handover

# %%
same_rank = None  # one of the ranks in the panel

teach.check("10_tools/recipe", (same_rank, handover.rank_ignored))

# %% [markdown]
# *Write the folder* writes the files of the tool that you choose, to `my_models/exports`. The model isn't among them.
# `tools.export` adds it.

# %% [markdown]
# ## 6. Which tool? (4 minutes)
#
# How far was each tool really tried? All five read our files, made the same tokens as the kit, and trained a tiny model and
# then SmolLM2.

# %%
record = tools.record()
keys = ["loss_before", "loss_after", "right_before", "right_after"]
tried = {}
for name, one in record["tools"].items():
    tried[name] = [one["version"], *(one.get(f"held_out_{key}") for key in keys)]
ours = record["tools"]["llama-factory"]  # the kit's own LoRA of the same recipe
ends = [ours[f"held_out_{key.replace('after', 'own')}"] for key in keys]
tried["this kit"] = ["–", *ends]
print("recorded:", record["made"].get("date", "not yet"))
names = ["version", *(key.replace("_", " ") for key in keys)]
assert all(one["level"] == 4 for one in record["tools"].values())  # trained SmolLM2
pd.DataFrame(tried, index=names).T.map(lambda x: f"{x:.2f}" if isinstance(x, float) else x)

# %%
open_ends = {}
for name, one in record["tools"].items():
    for sentence in one["not_verified"]:
        open_ends.setdefault(sentence, []).append(name)
for sentence, names in open_ends.items():
    who = "any tool" if len(names) == len(record["tools"]) else ", ".join(names)
    print(f"not verified with {who}: {sentence[:110]}")

# %% [markdown]
# Each tool was run **once**: ten steps on 20 reviews, judged on the same held-out reviews by this kit's own evaluation. So
# training worked. It is no ranking, not of this kit either. xTuring's recipe is another one, as section 3 lists. *A number in words* is a fault that we planted in the settings. Three
# tools don't refuse it. No GPU was tried. Firefly has no licence, so we can't ship it. We cloned it to try it.
#
# Here are eight examples, one for each kind of strategy in this kit. Can our export for a tool write them? *domain* is
# training on plain texts, *regularisation* is weight decay and noise, and *incremental* is a second phase. Only LoRA was
# run. *XTuner* means 0.2.0, since its later version has no LoRA.

# %%
has = {
    tool: {
        name: "yes" if not lack else "refused" if "refused" in lack else lack
        for name, lack in one.items()
    }
    for tool, one in tools.coverage().items()
}
pd.DataFrame(has)

# %% tags=["nbval-check-output"]
teach.claim("T1", verdict="supported")

# %% [markdown]
# This counts what our export writes, and the counts were known when the rule was written. It doesn't say that the other tools
# can't do the rest.

# %% [markdown]
# | you need | take | because |
# |---|---|---|
# | many strategies, settings in one file | LLaMA-Factory | our export can write all eight examples |
# | a script that you can change | unsloth | plain Python around TRL |
# | settings as Python that you can compute | XTuner | a configuration is code |
# | the shortest code to read | Firefly | one script; it has no licence, so copy nothing |

# %% [markdown]
# ## 7. A large model on one GPU (3 minutes)
#
# What must fit into memory? The weights, and for each weight that is trained three more things: its gradient, a precise copy,
# and AdamW's two means. In 16 bits that is 2 + 2 + 4 + 8 = 16 bytes per parameter (Rajbhandari et al., 2020). **LoRA** keeps the weights
# (2 bytes), and of a large model trains about 0.3 %. **QLoRA** also stores the weights in 4 bits, with 0.127 bits for their scales
# (Dettmers et al., 2023).


# %%
def gigabytes(billions: float, method: str, learns: float = 0.003) -> float:
    """Weights and what learning needs, without the activations. learns: LoRA's share."""
    weights = {"full": 2, "LoRA": 2, "QLoRA": (4 + 0.127) / 8}[method]  # bytes per parameter
    return billions * (weights + 14 * (1 if method == "full" else learns))


sizes, methods = [1, 3, 7, 14, 30, 70], ["full", "LoRA", "QLoRA"]
need = pd.DataFrame({m: [gigabytes(b, m) for b in sizes] for m in methods}, index=sizes)
words = "; ".join(
    f"{m}: {need[m][1]:.1f} GB for 1 billion, {need[m][70]:.0f} for 70" for m in methods
)
title = "Need without activations. Dotted: GPUs of 24 and 80 GB"
fig = plots.figure(title, "GB", "billion parameters", f"Three lines. {words}.")
for i, m in enumerate(methods):
    line = {"color": plots.COLOURS[i], "dash": plots.DASHES[i], "width": 2.5}
    fig.add_scatter(x=need[m], y=need.index.map(str), name=m, mode="lines+markers", line=line)
for gpu in (24, 80):
    fig.add_vline(gpu, line={"color": "#5b6770", "dash": "dot"})
ticks = [1, 3, 10, 30, 100, 300, 1000]
fig.update_xaxes(type="log", tickvals=ticks, ticktext=[str(tick) for tick in ticks])
fig.update_yaxes(type="category")
fig

# %% [markdown]
# Do published numbers agree? LLaMA-Factory's authors estimate the whole need, with activations.

# %%
published = {"full": [120, 240, 600, 1200], "LoRA": [16, 32, 64, 160], "QLoRA": [6, 12, 24, 48]}
published = pd.DataFrame(
    published, index=[7, 14, 30, 70]
)  # GB, from the README of LLaMA-Factory
ratio = published / need.loc[published.index]
assert ratio.min().min() > 1 and ratio.max().max() < 1.6
assert gigabytes(65, "QLoRA") < 48 and 65 * (16 - 4) == 780  # the paper of QLoRA
ratio.round(2)

# %% [markdown]
# Each published number is above ours, by up to 54 %. The rest is probably activations, which grow with the batch and the
# length of the texts, and what the libraries need. QLoRA's paper counts 780 GB for *full* fine-tuning of 65 billion
# parameters, without the precise copy. With QLoRA it trains them on 48 GB. So **compute first, add 60 %, then choose a
# GPU.** None of this was measured here.

# %% [markdown]
# ## 8. Your own data (1 minute)
#
# Put your file in place of ours. A chat is written as `instruction` and `output`, as `messages`, or as `conversations`.
# Only training rows are exported, and test rows stay unread. [More](../docs/tools.md).

# %%
my_file = tasks.example("chats")  # or "C:/data/my_chats.jsonl"
my_tool = "unsloth"  # or llama-factory, xtuner, firefly, xturing
own = ftlib.load_task("chats", path=my_file, seed=0)
phase = ftlib.Phase([{"LoRA": {"r": 8}}, {"Cosine": {"warmup": 0.1}}], steps=60, lr=5e-4)
spec = ftlib.Spec("mine", f"chats:{my_file}", "smollm2", seed=0, phases=[phase])
files = tools.export(spec, my_tool, new_folder("mine"))  # or a folder of yours
print(own.report)
print(*tools.lost_in(files), "", files["run.sh"], sep="\n")

# %% [markdown]
# **A larger model?** Put its folder in place of `"smollm2"`. We haven't tried one. **The way back:**
# `python -m ftlib import FOLDER --from unsloth`. A **table** becomes questions that name the classes.

# %%
table = tasks.example("table")
labelled = ftlib.load_task("table", path=table, text="text", label="label", seed=0)
for who, text in tools.rows_of(labelled)[0]:
    print(f"{who}: {text}")

# %% [markdown]
# ## 9. Change it (6 minutes)
#
# LLaMA-Factory must be told of each data file, in `dataset_info.json`. Once an entry has `columns`, it reads each column
# that you don't name as *None*, without a warning. A record of `faq.json` looks like this:
#
# `{"persona": "You are kind.", "question": "How do I pay?", "details": "I am in Spain.", "reply": "By card."}`
#
# Return its entry. The form is `alpaca`. The tool's words for its columns are `prompt`, `query` (more about the question),
# `response` and `system`. Your code replaces the lines `# YOUR CODE HERE` and `raise NotImplementedError`.


# %% tags=["exercise:registration"]
def registration() -> dict:
    """The entry of faq.json in dataset_info.json: file_name, formatting and columns."""
    ### BEGIN SOLUTION
    columns = {
        "prompt": "question",
        "query": "details",
        "response": "reply",
        "system": "persona",
    }
    return {"file_name": "faq.json", "formatting": "alpaca", "columns": columns}
    ### END SOLUTION


# %% tags=["check:registration", "points:1"]
teach.check("10_tools/registration", registration)

# %% [markdown]
# ## 10. What to take home (4 minutes)

# %%
widgets.quiz("10_tools", "exit-code", "loss-of-two", "qlora-memory")

# %% [markdown]
# **The decision rule.**
# 1. **Tune it small here first,** until the score is what you want.
# 2. **Choose the tool by your strategy,** and read what it ignores.
# 3. **Compare tokens and mask** of one chat with the model's own template.
# 4. **Compute the memory** before you rent a GPU.
# 5. **Load the result strictly,** and ask it with and without the adapter.
# 6. **Evaluate it yourself,** on chats that no tool has seen.

# %% [markdown]
# ## 11. Lab: write the template (10 minutes)
#
# Write `chatml`. `turns` is a list of (role, text), and the last turn is the user's. Return the prompt in the template of
# section 2, up to where the next answer begins. `default` is the system text for a chat that has none. Write all texts as
# they are, and don't change the list.


# %% tags=["exercise:chatml"]
def chatml(turns, default: str) -> str:
    """The prompt, with <|im_start|> and <|im_end|>."""
    ### BEGIN SOLUTION
    if turns[0][0] != "system":
        turns = [("system", default), *turns]
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns)
    return text + "<|im_start|>assistant\n"
    ### END SOLUTION


# %% tags=["check:chatml", "points:3"]
teach.check("10_tools/chatml", chatml)

# %% [markdown]
# ## 12. Lab: write the mask (11 minutes)
#
# Write `loss_mask`. `ids` are the tokens of a chat with one or more answers. `opening` are the tokens that open an answer,
# and `end` is the token that ends a message. Return one label per token.
#
# - The label is the token itself for the **last** answer and for the `end` behind it.
# - All other labels are −100. That includes what stands behind that `end`.
# - A chat may be cut off before its last `end`. Then the answer counts up to its last token.
# - The labels aren't shifted. The tools do that by themselves.


# %% tags=["exercise:loss_mask"]
def loss_mask(ids: list[int], opening: list[int], end: int) -> list[int]:
    """Labels of a chat: −100 where the loss doesn't count."""
    ### BEGIN SOLUTION
    n = len(opening)
    start = max(i + n for i in range(len(ids) - n + 1) if ids[i : i + n] == opening)
    stop = ids.index(end, start) + 1 if end in ids[start:] else len(ids)
    return [-100] * start + ids[start:stop] + [-100] * (len(ids) - stop)
    ### END SOLUTION


# %% tags=["check:loss_mask", "points:3"]
teach.check("10_tools/loss_mask", loss_mask)

# %% [markdown]
# ## 13. Lab: names that fit (11 minutes)
#
# Investigate an adapter before you load it. `saved` are the names of the tensors in its file, and `wanted` are those that the
# model has places for. Write `fits`. It returns three things.
#
# 1. The names that are **missing**: wanted and not saved.
# 2. The names that are **unexpected**: saved and not wanted.
# 3. The **prefix**: the text that, put in front of each saved name, makes exactly the wanted names. It is `""` if they are
#    equal already, and `None` if there is no such text.


# %% tags=["exercise:fits"]
def fits(saved: list[str], wanted: list[str]) -> tuple[list, list, str | None]:
    """(missing names, unexpected names, prefix)."""
    ### BEGIN SOLUTION
    missing, unexpected = set(wanted) - set(saved), set(saved) - set(wanted)
    ends = [name.removesuffix(saved[0]) for name in wanted if name.endswith(saved[0])]
    whole = [front for front in ends if {front + name for name in saved} == set(wanted)]
    return sorted(missing), sorted(unexpected), whole[0] if whole else None
    ### END SOLUTION


# %% tags=["check:fits", "points:3"]
teach.check("10_tools/fits", fits)

# %%
wanted = [f"base_model.model.layers.{k}.q_proj.lora_A.weight" for k in range(3)]
try:
    print(fits([name.removeprefix("base_model.") for name in wanted], wanted)[2])
except NotImplementedError:
    print("waits for your function")

# %% [markdown]
# ## 14. More questions, and the limits (4 minutes)

# %%
widgets.quiz("10_tools", "default-system", "newer-folder", "own-environment")

# %% [markdown]
# Each tool needs its own version of transformers, so each gets its own environment. An older version may not know the new
# name of a setting. Then it takes its default, without an error.
#
# **Limits.** The tools change monthly. The table says which versions were tried, and when. They were tried on a CPU with a
# small model and a few steps. Nothing here says which tool trains *better* models. The published memory needs are estimates
# of LLaMA-Factory's authors. For strategies, use the board of [09](09_compare.ipynb).
#
# **Sources.** Zheng et al., *LlamaFactory: Unified Efficient Fine-Tuning of 100+ Language Models*, ACL 2024 (2403.13372), and
# the README of its repository, read in November 2026. Dettmers et al., *QLoRA*, NeurIPS 2023 (2305.14314). Rajbhandari et al.,
# *ZeRO*, SC 2020 (1910.02054). Hu et al., *LoRA*, ICLR 2022 (2106.09685). Jain et al., *NEFTune*, ICLR 2024 (2310.05914).

# %%
print(f"This notebook took {time.perf_counter() - began:.0f} s, profile {profile()}.")
