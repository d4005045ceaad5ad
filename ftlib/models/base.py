"""Model: stages in order, then a head; and fill(), the only way in which weights get into one.

    features = pool(stages[n-1](... stages[1](stages[0](inputs))))          logits = head(features)

`forward_to(k)` runs the first k stages and `forward_from(k)` the rest. What frozen first stages give never
changes, so it can be computed once and kept: in evaluation mode, forward_from(k, forward_to(k, batch),
batch) equals forward(batch) exactly.

Letters: B examples, T tokens, C channels, H x W pixels, D features, K outputs, V tokens of the vocabulary.
"""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn


class Model(nn.Module):
    """What all kinds share; `image` and `text` say how a network is cut and what its stages need."""

    kind = ""  # "image", "text" or "lm": what a batch must hold

    def __init__(self, net: nn.Module, make: Callable, name: str, outputs: int | None = None, tokenizer=None):
        """Cut `net`. make() draws such a net anew. outputs: K of a fresh head; None keeps its own."""
        super().__init__()
        self.name, self.make, self.outputs, self.tokenizer = name, make, outputs, tokenizer
        self.front = None  # learned tokens that a strategy puts before a text (strategies.peft)
        own = {module: path for path, module in net.named_modules()}  # before it is cut
        stages, head, self.width = self.split(net.eval())  # width: D, what the head reads
        self.stage_names = list(stages)
        self.stages = nn.ModuleList(stages.values())
        self.head = nn.Linear(self.width, outputs) if outputs else head
        self.own_names = {name: own[module] for name, module in self.named_modules() if module in own}
        self.own_names["head"] = own.get(head)  # what the uncut network calls each part; None: it has none

    def split(self, net: nn.Module) -> tuple[dict[str, nn.Module], nn.Module, int]:
        """({name: stage}, head, D)."""
        raise NotImplementedError

    def inputs(self, batch: dict) -> Tensor:
        """What stage 0 reads."""
        return batch["input_ids"]  # (B, T)

    def extra(self, batch: dict) -> dict:
        """Further arguments of every stage after stage 0, such as the attention mask."""
        return {}

    def pool(self, h: Tensor, batch: dict) -> Tensor:
        """From the last stage's output to what the head reads."""
        return h

    def run(self, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        """h through stages[start:stop]."""
        extra = self.extra(batch)
        for k in range(start, stop):
            h = self.stages[k](h, **extra) if k else self.stages[k](h)
        return h

    def forward_to(self, k: int, batch: dict) -> Tensor:
        """The output of the first k stages; k = 0 gives the input itself, images normalised."""
        return self.run(self.inputs(batch), batch, 0, self._cut(k))

    def forward_from(self, k: int, h: Tensor, batch: dict) -> Tensor:
        """The logits, from h = forward_to(k, batch)."""
        return self.answer(self.pool(self.run(h, batch, self._cut(k), len(self.stages)), batch), batch)

    def features(self, batch: dict) -> Tensor:
        """What the head reads: (B, D), or (B, T, D) for a language model.

        Where batch["prefix"] = (stages, k, h, made_of) is of these very stages and of what the batch still holds, the
        first k are not run again (see ftlib.cache).
        """
        owner, k, h, made_of = batch.get("prefix", (None, 0, None, ()))
        same = all(batch.get(name) is t and t._version == v and not t.requires_grad for name, t, v in made_of)
        if owner is not self.stages or not same:
            k, h = 0, self.inputs(batch)
        return self.pool(self.run(h, batch, k, len(self.stages)), batch)

    def answer(self, features: Tensor, batch: dict) -> Tensor:
        """The head's logits; where a strategy put several heads (nn.ModuleDict), batch["task"] names one."""
        head = self.head[batch["task"]] if isinstance(self.head, nn.ModuleDict) else self.head
        return head(features)

    def forward(self, batch: dict) -> Tensor:
        """Logits (B, K); of a language model (B, T, V): [:, t] predicts the token after input_ids[:, t].

        Of a language model's batch with labels (M, V): those of its M counted positions, row after row.
        """
        return self.answer(self.features(batch), batch)

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
        raise ValueError(
            f"{source} does not hold the weights of this model: {len(wrong)} tensors are missing, unknown or "
            f"of another shape, {wrong[0]!r} is the first; nothing was loaded"
        )
    module.load_state_dict(tensors, strict=False)  # not strict about the second name of a shared tensor only
    return module


def same(got: Tensor, want: Tensor) -> bool:
    """Equal up to rounding, on the scale of the largest value."""
    return got.shape == want.shape and bool((got - want).abs().max() <= 1e-4 * want.abs().max())
