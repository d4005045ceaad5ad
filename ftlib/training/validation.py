"""Validation: what is scored between two steps, how often, and when its scores end the training early."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ftlib.io.refusals import whole_number
from ftlib.training.arguments import plain_numbers, refuse_no_function
from ftlib.training.early_stopping import BestWeights
from ftlib.training.setup import Run
from ftlib.training.stream import preserve_rng


@dataclass(frozen=True)
class Validation:
    """What `fit` scores between two steps, how often, and what early stopping watches.

    Parameters
    ----------
    score : callable
        ``score(model)`` returns ``{name: value}``. The model is in evaluation mode. Random numbers that the function
        draws don't change the training.
    every : int, default 50
        Steps between two validations. One more follows the last step.
    patience : int, default 0
        Early stopping: training ends after this many validations in a row without an improvement, and the model gets
        its best weights back. 0 means no early stopping.
    watch : str, default "nll"
        The name of the value that early stopping watches. The negative log-likelihood rises with overfitting long
        before the accuracy falls.
    better : {"lower", "higher"}, default "lower"
        Whether a lower or a higher value is an improvement.
    stop : callable, optional
        ``stop(history)`` returns True to end the training. `fit` calls it after each validation.

    Raises
    ------
    TypeError
        If `score` or `stop` is no function.
    ValueError
        If a number is out of range, or `better` is another word.

    References
    ----------
    L. Prechelt, "Early Stopping, But When?", in Neural Networks: Tricks of the Trade, 1998.

    Examples
    --------
    >>> watched = ftlib.Validation(lambda model: ftlib.evaluate(model, train), every=2, patience=3)
    >>> model, history = ftlib.fit(
    ...     model, train, strategies.Full(), steps=4, lr=1e-2, validation=watched, verbose=False
    ... )
    >>> [row["step"] for row in history if "validation" in row]
    [1, 3]
    """

    score: Callable[[nn.Module], dict]
    every: int = 50
    patience: int = 0
    watch: str = "nll"
    better: str = "lower"
    stop: Callable[[list[dict]], bool] | None = None

    def __post_init__(self):
        refuse_no_function("score", self.score, "Validation")
        if self.stop is not None:
            refuse_no_function("stop", self.stop, "Validation")
        whole_number("every of Validation", self.every, 1)
        whole_number("patience", self.patience, 0)
        if not isinstance(self.watch, str):
            raise TypeError(f"watch must be the name of a value, such as 'nll', but it is {self.watch!r}")
        BestWeights(self.watch, self.better)  # refuses another word for `better`

    def due(self, step: int, steps: int) -> bool:
        """Whether the model is scored after this step."""
        return (step + 1) % self.every == 0 or step + 1 == steps

    def ends(self, run: Run) -> bool:
        """Score the model into the last row of the history; True if training ends here."""
        with preserve_rng():
            run.history[-1]["validation"] = plain_numbers(self.score(run.model.eval()))
        if self.patience:
            run.best.update(run.history[-1]["validation"], run.model)
        return bool((self.patience and run.best.age >= self.patience) or (self.stop and self.stop(run.history)))


def as_validation(given: Validation | Callable | None) -> Validation | None:
    """What `fit` got for `validation`; a plain function stands for Validation(function)."""
    if given is None or isinstance(given, Validation):
        return given
    refuse_no_function("validation", given, "fit")
    return Validation(given)
