"""Likely mistakes of the exercises of 02_freezing, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs


def typo(model, k):
    for stage in model.stages[:k]:
        stage.require_grad = False
        stage.eval()


def train_mode(model, k):
    model.stages[:k].requires_grad_(False)


def head_too(model, k):
    model.requires_grad_(False)
    model.stages[k:].requires_grad_(True)
    model.stages[:k].eval()


def one_more(model, k):
    model.stages[: k + 1].requires_grad_(False).eval()


def everything_in_eval(model, k):
    model.stages[:k].requires_grad_(False)
    model.eval()


def asleep_for_good(model, k):
    for stage in model.stages[:k]:
        stage.requires_grad_(False).eval()


def a_method_overwritten(model, k):
    for stage in model.stages[:k]:
        stage.requires_grad_ = False
        stage.eval()


def moving(stage, x, y):
    stage[0].weight.data.add_(0.1)


def frozen_after_a_reset(model, k):
    for stage in model.stages[:k]:
        stage.requires_grad_(False).eval()
        stage.register_forward_hook(moving)


def from_the_start(progress, stages, share):
    return min(1 + int(progress / share * (stages + 1)), stages)


def beyond_the_last(progress, stages, share):
    return int(progress / share * (stages + 1))


def share_ignored(progress, stages, share):
    return min(int(progress * (stages + 1)), stages)


def wrong_pieces(progress, stages, share):
    return min(int(progress / share * stages), stages)


def measured_of(runs):
    runs = runs[runs.purpose == "measure"]
    return runs, runs.groupby("arm")["parameters.trainable"].max().sort_values().index


def by_the_mean(runs, metric, margin):
    runs, arms = measured_of(runs)
    mean = runs.groupby("arm")[metric].mean()
    return next(arm for arm in arms if mean[arm] > mean["full"] - margin)


def the_best(runs, metric, margin):
    return measured_of(runs)[0].groupby("arm")[metric].mean().idxmax()


def never_cheaper(runs, metric, margin):
    return "full"


def must_be_inside(runs, metric, margin):
    runs, arms = measured_of(runs)
    for arm in arms:
        if arm == "full":
            return arm
        d = paired(runs, metric, arm, "full")
        if -margin < d.low and d.high < margin:
            return arm


def nothing_left(runs, metric, margin):
    runs, arms = measured_of(runs)
    return next((a for a in arms if a != "full" and paired(runs, metric, a, "full").low > -margin), None)


def margin_ignored(runs, metric, margin):
    runs, arms = measured_of(runs)
    return next(arm for arm in arms if arm == "full" or paired(runs, metric, arm, "full").low > -0.02)


def top_on_the_board(metric="test.macro_f1", task="sentiment/amazon"):
    runs = load_runs("02_freezing").query("purpose == 'measure' and task == @task")
    return round(100 * paired(runs, metric, "top", "bottom").mean, 1)


READ_OFF = {"board": lambda: top_on_the_board()}
MISTAKES = [
    ("budget", 5, "With k = 5 the training needs 50.9 MB, more than 30 MB"),
    ("budget", lambda: 9, "that fits, but so does a smaller k"),
    ("budget", 12, "k is a whole number of stages, 0 to 9"),
    ("budget", 6.5, "k is a whole number of stages, 0 to 9"),
    ("budget", lambda: None, "did you return the number?"),
    ("freeze", typo, "You set an attribute that PyTorch never reads"),
    ("freeze", lambda model, k: None, "Nothing is frozen"),
    ("freeze", asleep_for_good, "the second stage should learn again"),
    ("freeze", a_method_overwritten, "You set an attribute that PyTorch never reads"),
    ("freeze", train_mode, "BatchNorm's statistics move with every batch"),
    ("freeze", head_too, "The head is frozen too"),
    ("freeze", one_more, "For k = 1 the stages [0] should stand still, but you froze [0, 1]"),
    ("freeze", everything_in_eval, "only the frozen ones belong there"),
    ("freeze", frozen_after_a_reset, "frozen means bit-identical"),
    ("awake", from_the_start, "At the beginning only the head learns"),
    ("awake", lambda p, stages, share: stages - int(p / share * (stages + 1)), "not those that sleep"),
    ("awake", beyond_the_last, "no more than there are: yours gives 13"),
    ("awake", share_ignored, "of the training everything learns: with share 0.5"),
    ("awake", wrong_pieces, "is cut into 7 equal parts"),
    ("cheapest", by_the_mean, "Look at the lower end of the interval"),
    ("cheapest", the_best, "it is not the cheapest that will do"),
    ("cheapest", never_cheaper, "A cheaper method is within the margin of full"),
    ("cheapest", must_be_inside, "A method that is better than full is good enough"),
    ("cheapest", margin_ignored, "Does your code use margin?"),
    ("cheapest", nothing_left, "the answer is 'full', not None"),
    ("board", (3, 5), "Write the number with a point"),
    ("board", lambda: -top_on_the_board() / 100, "the sign is not"),
    ("board", 55.0, "Choose Task sentiment/amazon and Measure macro-F1"),
    ("board", lambda: -top_on_the_board(), "the sign is not"),
    ("board", lambda: top_on_the_board() / 100, "a hundred times as much"),
    ("board", lambda: top_on_the_board(task="elpv"), "choose sentiment/amazon and macro-F1"),
]
