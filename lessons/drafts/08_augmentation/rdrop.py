# %% [markdown]
# ## Exercise: R-Drop
# Dropout makes two networks of one. R-Drop (Liang et al., NeurIPS 2021, 2106.14448) runs every batch through both and
# asks them to agree: the loss is the mean of the two cross-entropies plus α/4 · (KL(p‖q) + KL(q‖p)), as in the paper
# with half the weight, since the mean and not the sum of the cross-entropies stands in front.

# %% tags=["exercise:rdrop"]
from dataclasses import dataclass

import torch.nn.functional as F

from ftlib.strategy import Strategy, target_loss


@dataclass
class RDrop(Strategy):
    """Two passes with their own dropout must agree."""

    alpha: float = 1.0  # weight of the agreement; the paper searches 0.5 to 5

    def loss(self, model, batch):
        """{term: SUM over the examples}."""
        ### BEGIN SOLUTION
        (term,) = batch["n"]
        first, second = model(batch), model(batch)
        p, q = first.log_softmax(-1), second.log_softmax(-1)
        apart = F.kl_div(q, p, reduction="sum", log_target=True) + F.kl_div(p, q, reduction="sum", log_target=True)
        fit = (target_loss(first, batch["labels"]) + target_loss(second, batch["labels"])) / 2
        return {term: fit + self.alpha / 4 * apart}
        ### END SOLUTION


# What a checker can ask: with dropout off it is the plain loss; its gradient at α = 0 is the mean of two gradients;
# it is a sum over examples (twice the batch, twice the loss); one pass used twice (the mistake) gives apart = 0.
