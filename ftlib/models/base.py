"""Model: stages in order, then a head; and fill(), the only way in which weights get into one.

    features = pool(stages[n-1](... stages[1](stages[0](inputs))))          logits = head(features)

`forward_to(k)` runs the first k stages and `forward_from(k)` the rest. What frozen first stages give never
changes, so it can be computed once and kept: in evaluation mode, forward_from(k, forward_to(k, batch),
batch) equals forward(batch) exactly.

Letters: B examples, T tokens, C channels, H x W pixels, D features, K outputs, V tokens of the vocabulary.
"""

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ftlib.models.about import about_of
from ftlib.networks import Heads, set_mode

RULED_OUT = -1e4  # a logit whose probability is 0; an infinite one would make differences of two of them undefined
# In a tensor's name: what a strategy has put into the stages (peft's layers, bottlenecks).
ADDED = (".lora_", ".ia3_", ".base_layer.", ".base.")


class Model(nn.Module):
    """A network cut into stages and a head. `image` and `text` say how a network is cut and what its stages need.

    Parameters
    ----------
    net : Module
        The network to cut.
    make : callable
        Draws such a network anew, make().
    name : str
        Name for messages.
    outputs : int, optional
        K, the outputs of a fresh head. By default the network's own head is kept.
    tokenizer : optional
        The tokenizer of a text model.

    Attributes
    ----------
    stages : ModuleList
        The stages, from the input to the last features.
    stage_names : list of str
        Their names.
    head : Module
        From the features to the logits.
    width : int
        D, the number of features that the head reads.
    kind : {"image", "text", "lm"}
        What a batch must hold.
    original_names : dict of str to str
        What the uncut network calls each part. None for a part that it does not have.
    soft_prompt : Module or None
        Learned vectors that a strategy puts before a text.
    about : About
        Its base, its task, how an input becomes a batch, and what `fit` did with it.

    See Also
    --------
    ftlib.load_model : Loads one from a file.

    Examples
    --------
    >>> model = ftlib.load_model("minilm")
    >>> batch = model.tokenizer(["What a film!"], return_tensors="pt")
    >>> h = model.forward_to(3, batch)  # the first three stages
    >>> torch.equal(model.forward_from(3, h, batch), model(batch))
    True
    """

    kind = ""  # "image", "text" or "lm": what a batch must hold

    def __init__(self, net: nn.Module, make: Callable, name: str, outputs: int | None = None, tokenizer=None):
        """Cut `net`. make() draws such a net anew. outputs: K of a fresh head; None keeps its own."""
        super().__init__()
        self.name, self.make, self.outputs, self.tokenizer = name, make, outputs, tokenizer
        self.about = about_of(name, self.kind)  # `load` says more
        self.soft_prompt = None  # learned tokens that a strategy puts before a text (strategies.peft)
        own = {module: path for path, module in net.named_modules()}  # before it is cut
        stages, head, self.width = self.split(net.eval())  # width: D, what the head reads
        self.stage_names = list(stages)
        self.stages = nn.ModuleList(stages.values())
        self.head = nn.Linear(self.width, outputs) if outputs else head
        self.original_names = {name: own[module] for name, module in self.named_modules() if module in own}
        self.original_names["head"] = own.get(head)  # what the uncut network calls each part; None: it has none

    def split(self, net: nn.Module) -> tuple[dict[str, nn.Module], nn.Module, int]:
        """({name: stage}, head, D)."""
        raise NotImplementedError

    def inputs(self, batch: dict) -> Tensor:
        """What stage 0 reads."""
        return batch["input_ids"]  # (B, T)

    def extra(self, batch: dict) -> dict:
        """Further arguments of every stage after stage 0, such as the attention mask."""
        return {}

    def extra_at(self, k: int, extra: dict) -> dict:
        """Those of stage k, from `extra(batch)`: by default the same for all."""
        return extra

    def pool(self, h: Tensor, batch: dict) -> Tensor:
        """From the last stage's output to what the head reads."""
        return h

    def run_stages(self, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        """Run h through stages[start:stop].

        Parameters
        ----------
        h : Tensor
            The output of stages[start - 1], or the input for start = 0.
        batch : dict
            The batch that h was made of. It holds what the stages need besides, such as the attention mask.
        start, stop : int
            The stages to run.

        Returns
        -------
        Tensor
            The output of stages[stop - 1].
        """
        extra = self.extra(batch)
        for k in range(start, stop):
            h = self.stages[k](h, **self.extra_at(k, extra)) if k else self.stages[k](h)
        return h

    def forward_to(self, k: int, batch: dict) -> Tensor:
        """Run the first k stages.

        Parameters
        ----------
        k : int
            Number of stages, in 0..len(stages).
        batch : dict
            A batch of a loader.

        Returns
        -------
        Tensor
            Their output. k = 0 gives the input itself, with images normalised.
        """
        return self.run_stages(self.inputs(batch), batch, 0, self._cut(k))

    def forward_from(self, k: int, h: Tensor, batch: dict) -> Tensor:
        """Run all but the first k stages, and the head.

        Parameters
        ----------
        k : int
            Number of stages to leave out.
        h : Tensor
            The output of forward_to(k, batch).
        batch : dict
            The same batch.

        Returns
        -------
        Tensor of float, shape (B, K)
            The logits.
        """
        return self.logits_from(self.pool(self.run_stages(h, batch, self._cut(k), len(self.stages)), batch), batch)

    def features(self, batch: dict) -> Tensor:
        """What the head reads: (B, D), or (B, T, D) for a language model.

        batch["frozen_features"] = (stages, k, h, made_of) may hold what the first k stages gave. They don't run again
        if it is of these very stages and of tensors that the batch still holds (see ftlib.training.frozen_features). k
        beyond the last stage says that h is pooled.
        """
        owner, k, h, made_of = batch.get("frozen_features", (None, 0, None, ()))
        same = all(batch.get(name) is t and t._version == v and not t.requires_grad for name, t, v in made_of)
        if owner is not self.stages or not same:
            k, h = 0, self.inputs(batch)
        if k > len(self.stages):
            return h
        return self.pool(self.run_stages(h, batch, k, len(self.stages)), batch)

    def logits_from(self, features: Tensor, batch: dict) -> Tensor:
        """Apply the head.

        Parameters
        ----------
        features : Tensor of float, shape (B, D), or (B, T, D) for a language model
            What `features` gives.
        batch : dict
            The same batch. Where a strategy put several heads, batch["task"] names one, and without it the main head
            answers. Where batch["answers"] (B, K) says which answers are allowed, the others get no probability.

        Returns
        -------
        Tensor of float, shape (B, K)
            The logits.
        """
        if isinstance(self.head, Heads):
            logits = self.head(features, batch.get("task"))
        else:
            head = self.head[batch["task"]] if isinstance(self.head, nn.ModuleDict) else self.head
            logits = head(features)
        return logits.masked_fill(~batch["answers"], RULED_OUT) if "answers" in batch else logits

    def train(self, mode: bool = True) -> "Model":
        """Training mode, or evaluation mode. ValueError where merged weights would be trained.

        They hold the base and an adapter's update in one: once trained, they could not be parted again.
        """
        adapted = [layer for layer in set_mode(self, mode) if hasattr(type(layer), "merged")]
        merged = (layer.get_base_layer() for layer in adapted if layer.merged)
        if mode and any(p.requires_grad for base in merged for p in base.parameters()):
            set_mode(self, False)
            raise ValueError(
                f"an adapter is merged into the weights of {self.name}, which cannot be trained so: unmerge(model) "
                f"first, or freeze the stages, as LinearProbe does"
            )
        return self

    def check(self, labels: Tensor, task: str | None = None) -> None:
        """ValueError for labels that this model's head, or its head for the task, cannot give."""
        head = self.head.of(task) if isinstance(self.head, Heads) else self.head
        k, what = getattr(head, "out_features", None), ""
        if k is None or self.kind == "lm":
            return
        if labels.ndim == 2:
            what = f"{labels.shape[1]} numbers each" if labels.shape[1] != k or not labels.is_floating_point() else ""
        elif labels.is_floating_point():
            what = "one measured number each" if k != 1 else ""
        elif k > 1 and len(labels) and (highest := int(labels.max())) >= k:
            what = f"classes up to number {highest}"
        if what:
            raise ValueError(
                f"{self.name} answers with {k} number{'s' * (k > 1)}, one per class, but the labels of this batch are "
                f"{what}: load the model with the task that made them, models.load(name, task)"
            )

    def forward(self, batch: dict) -> Tensor:
        """Compute the logits of a batch.

        Parameters
        ----------
        batch : dict
            A batch of a loader.

        Returns
        -------
        Tensor of float, shape (B, K)
            One score per class, before the softmax. A language model gives (B, T, V), and [:, t] predicts the token
            after input_ids[:, t]. With labels it gives (M, V), the M counted positions only, row after row.

        Raises
        ------
        ValueError
            If the labels are not ones that the head can give.
        """
        if isinstance(batch.get("labels"), Tensor):
            self.check(batch["labels"], batch.get("task"))  # before the work
        return self.logits_from(self.features(batch), batch)

    def stage(self, which: str | int) -> nn.Module:
        """A stage by name or number; ValueError for one that is not there."""
        names = self.stage_names
        if which in names:
            return self.stages[names.index(which)]
        if isinstance(which, int) and -len(names) <= which < len(names):
            return self.stages[which]
        raise ValueError(f"{self.name} has no stage {which!r}: its stages are {', '.join(names)}")

    @property
    def tied(self) -> bool:
        """Whether the head shares its weights with a stage: then freezing that stage freezes the head too."""
        shared = set(self.stages.parameters())
        return any(weight in shared for weight in self.head.parameters())

    def reset_parameters(self) -> None:
        """Draw every weight anew as the architecture's authors do, head and BatchNorm statistics included."""
        fresh = type(self)(self.make(), self.make, self.name, self.outputs, self.tokenizer)
        if fresh.state_dict().keys() != self.state_dict().keys():
            raise ValueError(f"a strategy has changed {self.name}: draw the weights anew before it does")
        self.load_state_dict(fresh.state_dict())

    def _cut(self, k: int) -> int:
        if not 0 <= k <= len(self.stages):
            raise ValueError(f"k counts stages of {self.name}: it must be 0 to {len(self.stages)}, not {k}")
        return k


def fill(module: nn.Module, tensors: dict[str, Tensor], source: str | Path) -> nn.Module:
    """Copy the tensors into the module. ValueError unless each has its place there and each place its tensor.

    A tensor with two names (a tied head) may come under either of them.
    """
    own = module.state_dict()
    arriving = {own[name].data_ptr() for name in tensors if name in own}
    wrong = [name for name, place in own.items() if name not in tensors and place.data_ptr() not in arriving]
    wrong += [name for name, tensor in tensors.items() if name not in own or own[name].shape != tensor.shape]
    if wrong:
        why = _why(own, tensors) if isinstance(module, Model) else ""
        raise ValueError(
            f"{source} does not hold the weights of this model: {len(wrong)} tensors are missing, unknown or "
            f"of another shape, {wrong[0]!r} is the first{why}; nothing was loaded"
        )
    module.load_state_dict(tensors, strict=False)  # not strict about the second name of a shared tensor only
    return module


def _why(own: dict[str, Tensor], tensors: dict[str, Tensor]) -> str:
    """What a user can do about weights that do not fit, where it can be told from their names; else ""."""
    here, there = (
        {mark for mark in ADDED for name in names if mark in name}
        | {part for name in names if (part := name.partition(".")[0]) not in ("stages", "head")}
        for names in (own, tensors)
    )
    if not any(name.startswith("stages.") for name in tensors):
        return ": it holds those of a network that is not cut, and ftlib.models.load takes the folder of such a one"
    if there - here:
        ranks = {len(t) for name, t in tensors.items() if ".lora_A." in name}
        made = f"LoRA(r={ranks.pop()})" if len(ranks) == 1 else "the strategy that was trained"
        return f": they were saved with what a strategy had put in, so call prepare(model) of {made} first"
    if here - there:
        return ": a strategy has put something into the model, but the file was saved without: load the model anew"
    several = ["head.weight" not in names and any(n.startswith("head.") for n in names) for names in (own, tensors)]
    if several == [False, True]:
        return ": they were saved with several heads, so call prepare(model) of the MultiTask that was trained first"
    heads = [names.get("head.weight") for names in (own, tensors)]
    if all(head is not None for head in heads) and len(heads[0]) != len(heads[1]):
        return f": their head has {len(heads[1])} outputs and the model's {len(heads[0])}, so load it with their task"
    return ""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; ValueError for one that is broken, FileNotFoundError for one not there."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there, or is no file: name one that ftlib.models.save wrote")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}): write or fetch it anew") from error


def same(got: Tensor, want: Tensor) -> bool:
    """Equal up to rounding, on the scale of the largest value."""
    return got.shape == want.shape and bool((got - want).abs().max() <= 1e-4 * want.abs().max())
