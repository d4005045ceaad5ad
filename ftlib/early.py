"""Early stopping: train until validation gets no better, then go back to where it was best.

Prechelt, "Early Stopping, But When?", in Neural Networks: Tricks of the Trade, 1998. The number that is watched is the
negative log-likelihood on validation: it rises with overfitting long before the accuracy falls.
"""

import math

from torch import Tensor, nn


class Best:
    """The weights of the lowest NLL so far, and how many validations ago that was."""

    def __init__(self):
        self.nll, self.age, self.weights = math.inf, 0, {}

    def see(self, nll: float, model: nn.Module) -> None:
        """Take note of one more validation."""
        self.age += 1
        if nll < self.nll:
            self.nll, self.age = nll, 0
            self.weights: dict[str, Tensor] = {name: t.detach().clone() for name, t in model.state_dict().items()}

    def restore(self, model: nn.Module) -> None:
        """Give the model its best weights back."""
        if self.weights:
            model.load_state_dict(self.weights)
