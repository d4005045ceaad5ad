"""The base model of an export: its layers, and the markup of its chat template.

The five tools write a chat into tokens in five ways, and only one of them reads the model's own template in every case.
So the template is taken apart here, by rendering it once with words that can be found again, and put together anew in
each tool's own form. A template that can't be put together again to the last character is not guessed at.

A folder that transformers 5 has saved is not read alike by transformers 4, without a word: rope_theta falls back to
10,000. XTuner, Firefly and xTuring have transformers 4. `plain_folder` writes a folder's small files in the plainest
form, which all versions read alike. The weights are copied as they are.
"""

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ftlib.io import typed
from ftlib.models.chat import end_of_turn, prompt_text

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
SMALL = ("generation_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "tokenizer.model")
SYSTEM, USER, ANSWER, NEXT = "SystemText", "UserText", "AnswerText", "NextText"  # nothing else is called so


@dataclass(frozen=True)
class Markup:
    """The markup that a chat template puts around the texts of a chat.

    Parameters
    ----------
    system : tuple of str
        The text before and behind the system text.
    user : tuple of str
        The same for a user's message.
    assistant : str
        The beginning of an answer.
    end : str
        The token that ends an answer.
    between : str
        The text between the end of an answer and the next message.
    default_system : str, default ""
        The system text that the template writes where a chat has none.
    bos : str, default ""
        The tokenizer's first token, if it has one.
    eos : str, default ""
        The tokenizer's last token.
    adds_bos : bool, default False
        Whether the tokenizer puts the first token in front by itself.
    trims : bool, default False
        Whether the template takes spaces and newlines off the ends of a text.

    Examples
    --------
    >>> from ftlib.tools import SMOLLM2
    >>> SMOLLM2.markup.prompt([("user", "Hi.")]).splitlines()[-1]
    '<|im_start|>assistant'
    """

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: str
    end: str
    between: str
    default_system: str = ""
    bos: str = ""
    eos: str = ""
    adds_bos: bool = False
    trims: bool = False

    def prompt(self, turns: list[tuple[str, str]]) -> str:
        """The turns up to where the next answer begins, as the template writes them."""
        if self.default_system and turns[0][0] != "system":
            turns = [("system", self.default_system), *turns]
        return "".join(self._around(role)[0] + text + self._around(role)[1] for role, text in turns) + self.assistant

    def turns(self, prompt: str) -> list[tuple[str, str]]:
        """The turns of a text that `prompt` has written."""
        found = []
        while prompt != self.assistant:
            role = next((r for r in ("system", "user", "assistant") if prompt.startswith(self._around(r)[0])), "")
            before, behind = self._around(role) if role else ("", "")
            text, mark, rest = prompt[len(before) :].partition(behind or "\0")
            if not mark:
                raise ValueError(f"this prompt was not written by the model's chat template: {prompt[:40]!r}")
            found.append((role, text))
            prompt = rest
        return found

    def _around(self, role: str) -> tuple[str, str]:
        answer = (self.assistant, self.end + self.between)
        return {"system": self.system, "user": self.user, "assistant": answer}[role]

    @property
    def marks(self) -> list[str]:
        """The special tokens of the markup, which no text may hold."""
        whole = "".join([*self.system, *self.user, self.assistant, self.end])
        return sorted({self.end, *re.findall(r"<[|｜][^<>]*?[|｜]>|\[/?INST\]|</?s>", whole)})


@dataclass(frozen=True)
class Base:
    """The model that an export trains.

    Parameters
    ----------
    name : str
        Its name, for the page of the export.
    layers : int
        Number of its transformer layers.
    linear : dict of str to list of str
        Names of the linear layers, {"attention": [...], "mlp": [...]}.
    markup : Markup or None
        None where the chat template can't be taken apart.
    tokenizer : str, default "PreTrainedTokenizerFast"
        Class of its tokenizer.
    head : str, default ""
        Name of its head, if the head has weights of its own. "" where it shares those of the embeddings.

    Examples
    --------
    >>> from ftlib.tools import SMOLLM2
    >>> SMOLLM2.layers, SMOLLM2.linear["attention"]
    (30, ['q_proj', 'k_proj', 'v_proj', 'o_proj'])
    """

    name: str
    layers: int
    linear: dict[str, list[str]] = field(hash=False)
    markup: Markup | None
    tokenizer: str = "PreTrainedTokenizerFast"
    head: str = ""


SMOLLM2 = Base(
    name="smollm2",
    layers=30,
    linear={"attention": ["q_proj", "k_proj", "v_proj", "o_proj"], "mlp": ["gate_proj", "up_proj", "down_proj"]},
    markup=Markup(
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=("<|im_start|>user\n", "<|im_end|>\n"),
        assistant="<|im_start|>assistant\n",
        end="<|im_end|>",
        between="\n",
        default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        bos="<|im_start|>",
        eos="<|im_end|>",
    ),
)


def markup_of(tokenizer) -> Markup | None:
    """Take a tokenizer's chat template apart.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        With a chat template.

    Returns
    -------
    Markup or None
        None where the parts don't give the template's text again.

    Examples
    --------
    >>> from transformers import AutoTokenizer
    >>> from ftlib import assets
    >>> from ftlib.tools import SMOLLM2, markup_of
    >>> markup_of(AutoTokenizer.from_pretrained(assets.path("smollm2"))) == SMOLLM2.markup
    True
    """
    turns = [("system", SYSTEM), ("user", USER), ("assistant", ANSWER), ("user", NEXT)]
    try:
        text, alone = prompt_text(tokenizer, turns), prompt_text(tokenizer, [("user", USER)])
        end = tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer))
    except ValueError:
        return None
    parts = re.fullmatch(f"(.*){SYSTEM}(.*){USER}(.*){ANSWER}(.*){NEXT}(.*)", text, re.S)
    if not parts:
        return None
    head, to_user, to_answer, to_next, last = parts.groups()
    behind = to_next.removeprefix(end)
    opening = behind.lstrip()
    between = behind[: len(behind) - len(opening)]
    user_end = end + between if to_answer.startswith(end + between) else ""
    before = alone.partition(USER)[0]
    default = before[len(head) : len(before) - len(to_user)] if before.startswith(head) else ""
    bos = tokenizer.bos_token or ""
    found = Markup(
        system=(head, to_user.removesuffix(opening)),
        user=(opening, user_end),
        assistant=to_answer.removeprefix(user_end),
        end=end,
        between=between,
        default_system=default if before == head + default + to_user else "",
        bos=bos,
        eos=tokenizer.eos_token or "",
        adds_bos=bool(bos) and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id],
        trims=f" {USER} " not in prompt_text(tokenizer, [("user", f" {USER} ")]),
    )
    again = found.prompt(turns) == text and last == to_answer and to_next.startswith(end) and opening and user_end
    return found if again and found.prompt([("user", USER)]) == alone else None


def base_of(folder: str | Path, name: str = "") -> Base:
    """Read the layers and the template of a model from its folder. No weight is loaded.

    Parameters
    ----------
    folder : str or Path
        A folder of transformers with config.json, safetensors and a tokenizer.
    name : str, default ""
        By default the name of the folder.

    Returns
    -------
    Base

    Raises
    ------
    ValueError
        If a file is missing, the model is no language model, or its layers aren't called ".layers.0." and so on.

    Examples
    --------
    >>> from ftlib import assets
    >>> from ftlib.tools import SMOLLM2, base_of
    >>> base_of(assets.path("smollm2"), "smollm2") == SMOLLM2
    True
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    if missing := [f for f in ("config.json", "tokenizer.json", "tokenizer_config.json") if not (folder / f).is_file()]:
        raise ValueError(f"{folder} has no {' and no '.join(missing)}: save the model and its tokenizer there")
    config = typed.parse(typed.read_text(folder / "config.json"), str(folder / "config.json"), "save the model anew")
    architecture = str((config.get("architectures") or [""])[0])
    if not architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise ValueError(f"{folder} holds no language model (its config.json names no class ...ForCausalLM): take one")
    found, heads = {"attention": [], "mlp": []}, []
    for key, shape in sorted(tensor_shapes(folder).items()):
        part, _, own = key.removesuffix(".weight").rpartition(".")
        if not key.endswith(".weight") or len(shape) != 2 or re.search("norm|embed(?!_out)", own):
            continue
        if re.search(r"\.layers\.\d+\.", key):
            found["attention" if "att" in part.rpartition(".layers.")[2] else "mlp"].append(own)
        elif not part:  # a module of the model itself, such as lm_head
            heads.append(own)
    if not any(found.values()):
        raise ValueError(
            f"{folder} holds a {architecture}, whose layers are not called layers.0 and so on: take another"
        )
    order = ("qkv_proj", *SMOLLM2.linear["attention"], "gate_up_proj", *SMOLLM2.linear["mlp"])
    found = {
        part: sorted(dict.fromkeys(own), key=lambda n: order.index(n) if n in order else len(order))
        for part, own in found.items()
    }
    head = "" if config.get("tie_word_embeddings") else "".join(heads[:1])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    markup = markup_of(tokenizer) if tokenizer.chat_template else None
    kind = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("tokenizer_class", "")
    kind = "PreTrainedTokenizerFast" if kind in ("TokenizersBackend", "") else kind
    return Base(name or folder.name, config["num_hidden_layers"], found, markup, kind, head)


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """{name: shape} of the tensors in a folder's safetensors files, from their headers."""
    shapes = {}
    for file in sorted(folder.glob("model*.safetensors")):
        with open(file, "rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        shapes |= {name: said["shape"] for name, said in header.items() if name != "__metadata__"}
    if not shapes:
        raise ValueError(f"{folder} has no model.safetensors: save the model with safe_serialization=True")
    return shapes


# ---- a folder that every version of transformers reads alike


def plain_config(config: dict) -> dict:
    """A config.json in the form of transformers 4, which transformers 5 reads as well."""
    plain = {key: value for key, value in config.items() if key not in ("rope_parameters", "dtype")}
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and all(isinstance(value, dict) for value in rope.values()) and rope:
        raise ValueError("this model has other angles in other layers (rope_parameters), which transformers 4 lacks")
    if isinstance(rope, dict):
        plain["rope_theta"] = rope.get("rope_theta", config.get("rope_theta", 10000.0))
        other = {key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")}
        scaled, strange = other.get("rope_type", "default") != "default", other.keys() - {"rope_type"}
        if strange and not scaled:
            raise ValueError(f"transformers 4 has no place for {', '.join(sorted(strange))} of this model's angles")
        plain["rope_scaling"] = other if scaled else None
        neox = str(config.get("model_type")).startswith("gpt_neox")  # transformers 4 has names of its own for it
        plain |= {"rotary_emb_base": plain["rope_theta"]} if neox else {}
        if (part := rope.get("partial_rotary_factor")) is not None:
            plain |= {"partial_rotary_factor": part, **({"rotary_pct": part} if neox else {})}
    if (kind := config.get("dtype", config.get("torch_dtype"))) is not None:
        plain["torch_dtype"] = kind
    return plain


def plain_tokenizer(config: dict, tokenizer: dict, template: str | None) -> tuple[dict, dict]:
    """(tokenizer_config.json, tokenizer.json) that transformers 4 reads too. template: of chat_template.jinja."""
    config = {key: value for key, value in config.items() if key not in ("backend", "is_local", "local_files_only")}
    if config.get("tokenizer_class", "TokenizersBackend") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if template is not None:
        config["chat_template"] = template
    if isinstance(more := config.get("extra_special_tokens"), list):  # a list in transformers 5, a dict in 4
        del config["extra_special_tokens"]
        config["additional_special_tokens"] = more
    model = dict(tokenizer["model"])
    if "merges" in model and all(
        " " not in part for merge in model["merges"] if isinstance(merge, list) for part in merge
    ):
        model["merges"] = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    if not model.get("ignore_merges", False):
        model.pop("ignore_merges", None)
    return config, {**tokenizer, "model": model}


def plain_folder(source: Path, target: Path) -> None:
    """Write `source`, a model's folder, as `target`, with its small files in the plainest form.

    Parameters
    ----------
    source : Path
        A folder of transformers 4 or 5.
    target : Path
        A new folder. All files are copies, so that nothing done to them changes the source.

    Raises
    ------
    ValueError
        If transformers 4 has no form for this model.

    Examples
    --------
    >>> from ftlib import assets
    >>> from ftlib.tools import plain_folder
    >>> plain_folder(assets.path("smollm2"), folder / "base")
    >>> sorted(file.suffix for file in (folder / "base").iterdir())
    ['.json', '.json', '.json', '.json', '.safetensors']
    """

    def read(name: str) -> dict:
        return json.loads((source / name).read_text(encoding="utf-8"))

    template = source / "chat_template.jinja"
    config, tokenizer = plain_tokenizer(
        read("tokenizer_config.json"), read("tokenizer.json"),
        template.read_text(encoding="utf-8") if template.is_file() else None,
    )  # fmt: skip
    written = {"config.json": plain_config(read("config.json")), "tokenizer_config.json": config}
    target.mkdir(parents=True)
    for name, content in {**written, "tokenizer.json": tokenizer}.items():
        (target / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    for pattern in (*SMALL, *WEIGHTS):
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)
