"""Early stopping: train until validation gets no better, then go back to where it was best.

Prechelt, "Early Stopping, But When?", in Neural Networks: Tricks of the Trade, 1998. The number that is watched is the
negative log-likelihood on validation unless another is named: it rises with overfitting long before the accuracy falls.
"""

import math

from torch import Tensor, nn

BETTER = ("lower", "higher")


class BestWeights:
    """The weights of the best value so far, and how many validations ago that was."""

    def __init__(self, watch: str = "nll", better: str = "lower"):
        if better not in BETTER:
            raise ValueError(f"better must be 'lower' or 'higher', but it is {better!r}")
        self.watch, self.better = watch, better
        self.value, self.age, self.weights = math.inf if better == "lower" else -math.inf, 0, {}

    def update(self, values: dict[str, float], model: nn.Module) -> None:
        """Take note of one more validation; KeyError where it lacks the watched value."""
        if self.watch not in values:
            raise KeyError(
                f"early stopping watches {self.watch!r}, but validation gave {', '.join(values) or 'nothing'}: give "
                f"Validation watch= one of these, and better= 'lower' or 'higher'"
            )
        value = values[self.watch]
        self.age += 1
        if value < self.value if self.better == "lower" else value > self.value:
            self.value, self.age = value, 0
            self.weights: dict[str, Tensor] = {name: t.detach().clone() for name, t in model.state_dict().items()}

    def restore(self, model: nn.Module) -> None:
        """Give the model its best weights back."""
        if self.weights:
            model.load_state_dict(self.weights)
