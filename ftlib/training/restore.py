"""What a run sets on a model besides its result is put back when it ends: last step, early stop, Ctrl-C or an error.

The result is tensors and modules. Settings are who learns (`requires_grad`), the modules' numbers and flags (a
dropout's p, a BatchNorm's momentum), their hooks, and gradients. A strategy may set them as it likes, and never cleans
up: this does, for all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

PLAIN = (bool, int, float, str, type(None))


@contextmanager
def settings_restored(model: nn.Module) -> Iterator[None]:
    """Run a block; afterwards the settings of the modules that `model` has now are as before, in evaluation mode.

    Tensors keep their new values, and modules that the block has put in stay.
    """
    learns = [(p, p.requires_grad) for p in model.parameters()]
    settings = [(m, _plain(m), _hooks(m)) for m in model.modules()]
    try:
        yield
    finally:
        for p, flag in learns:
            p.requires_grad_(flag)
            p.grad = None
        for module, values, hooks in settings:
            vars(module).update({k: v for k, v in values.items() if k in vars(module)})  # else a module took its place
            for name, before in hooks.items():
                now = getattr(module, name)
                now.clear()
                now.update(before)
        model.eval()


def _plain(module: nn.Module) -> dict:
    return {k: v for k, v in vars(module).items() if isinstance(v, PLAIN) and k != "training"}


def _hooks(module: nn.Module) -> dict[str, dict]:
    return {k: dict(v) for k, v in vars(module).items() if "hooks" in k and isinstance(v, dict)}
