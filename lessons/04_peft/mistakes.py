"""Likely mistakes of the exercises of 04_peft, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

import torch
from torch import nn

SPECTRUM = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]  # squares: 64, 113, 149, 174 of 204; half at rank 2


def made(*, scale=lambda r, alpha: alpha / r, base=False, zero_b=True, zero_a=False, turned=False, drop_bias=False,
         detached=False, into=False, copy=True):  # fmt: skip
    """A LoRA layer with a slip in it."""

    def answer(layer, r, alpha):
        class Slip(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = layer.requires_grad_(base)
                a, b = torch.randn(r, layer.in_features), torch.randn(layer.out_features, r)
                a, b = a * (not zero_a), b * (not zero_b)
                self.A, self.B = (nn.Parameter(t.T.clone() if turned else t) for t in (a, b))

            def forward(self, x):
                a, b = (self.A.T, self.B.T) if turned else (self.A, self.B)
                low = scale(r, alpha) * (x @ a.T @ b.T)
                h = x @ self.layer.weight.T if drop_bias else self.layer(x)
                return h + (low.detach() if detached else low)

        return Slip()

    return answer


b_random = made(zero_b=False)
alpha_over_r_missing = made(scale=lambda r, alpha: 1.0)
not_divided_by_r = made(scale=lambda r, alpha: alpha)
upside_down = made(scale=lambda r, alpha: r / alpha)
root_of_r = made(scale=lambda r, alpha: alpha / r**0.5)
base_trainable = made(base=True)
both_zero = made(zero_a=True)
on_their_sides = made(turned=True)
bias_lost = made(drop_bias=True)
never_learns = made(detached=True)


def no_module(layer, r, alpha):
    return lambda x: layer(x)


def no_parameters(layer, r, alpha):
    module = nn.Module()
    module.layer, module.A, module.B = (layer.requires_grad_(False), torch.randn(r, 5), torch.zeros(7, r))
    return module


# merge_once


def merged_twice(module):
    with torch.no_grad():
        module.base.weight += module.scale * module.B @ module.A
    module.merged = True


def flag_forgotten(module):
    with torch.no_grad():
        module.base.weight += module.scale * module.B @ module.A


def scale_forgotten(module):
    if not module.merged:
        with torch.no_grad():
            module.base.weight += module.B @ module.A
        module.merged = True


def wrong_way_round(module):
    if not module.merged:
        with torch.no_grad():
            module.base.weight += module.scale * (module.A.T @ module.B.T).reshape(module.base.weight.shape)
        module.merged = True


def with_gradient(module):
    if not module.merged:
        module.base.weight = nn.Parameter(module.base.weight + module.scale * module.B @ module.A)
        module.merged = True


def another_object(module):
    if not module.merged:
        new = (module.base.weight + module.scale * module.B @ module.A).detach()
        module.base.weight = nn.Parameter(new, requires_grad=False)
        module.merged = True


def b_emptied(module):
    if not module.merged:
        with torch.no_grad():
            module.base.weight += module.scale * module.B @ module.A
            module.B.zero_()
        module.merged = True


def only_the_flag(module):
    module.merged = True


def toggles(module):
    with torch.no_grad():
        module.base.weight += (-1 if module.merged else 1) * module.scale * module.B @ module.A
    module.merged = not module.merged


# fair_gap


def gap_of(choose="validation", method_at=None, full_at=None, report="test", begins=False, sign=1, lucky=False,
           fixed=None):  # fmt: skip
    """The right way with slips: other choices of the rates, other runs, another sign."""

    def answer(runs, method, metric):
        metric = fixed or metric
        names, own = runs.arm.str.partition("@")[0], {}
        for name in (method, "full"):
            mine = runs[names.str.startswith(name)] if begins else runs[names == name]
            by_rate = mine.groupby("lr")[f"{choose}.{metric}"]
            own[name] = (by_rate.max() if lucky else by_rate.mean()).idxmax()
        rates = {"method": own[method], "full": own["full"]}
        at = {method: rates[method_at or "method"], "full": rates[full_at or "full"]}

        def score(name):
            mine = runs[names.str.startswith(name)] if begins else runs[names == name]
            return mine[mine.lr == at[name]].groupby("seed")[f"{report}.{metric}"].max()

        return at[method], sign * (score(method) - score("full")).mean()

    return answer


def a_number(runs, method, metric):
    return gap_of()(runs, method, metric)[1]


chosen_on_test = gap_of(choose="test")
at_the_methods_rate = gap_of(full_at="method")
at_fulls_rate = gap_of(method_at="full")
begins_alike = gap_of(begins=True)
turned_round = gap_of(sign=-1)
on_validation = gap_of(report="validation")
by_the_luckiest_seed = gap_of(lucky=True)
metric_ignored = gap_of(fixed="score")

READ_OFF = {"explorer": lambda: (2, SPECTRUM)}
MISTAKES = [
    ("rank_budget", 48, "each takes 4 bytes"),
    ("rank_budget", lambda: 27, "the two of 384 × 1,536 in each layer get an update too"),
    ("rank_budget", lambda: 72, "there are six"),
    ("rank_budget", 13, "With rank 13 the adapter takes 2.16 MB, more than 2 MB"),
    ("rank_budget", 8, "that fits, but so does a larger rank"),
    ("rank_budget", 12.04, "A rank is a whole number"),
    ("rank_budget", lambda: None, "did you return the number?"),
    ("lora", b_random, "B is not zero at first"),
    ("lora", alpha_over_r_missing, "The factor alpha / r is missing"),
    ("lora", not_divided_by_r, "scaled by alpha, but not divided by r"),
    ("lora", upside_down, "upside down"),
    ("lora", root_of_r, "which is rsLoRA's factor"),
    ("lora", base_trainable, "The base is trainable"),
    ("lora", both_zero, "A and B are both zero"),
    ("lora", on_their_sides, "A lies on its side"),
    ("lora", bias_lost, "its bias included"),
    ("lora", never_learns, "no gradient reaches it"),
    ("lora", no_module, "Return a module that stands in place of the layer"),
    ("lora", no_parameters, "A must be a parameter of the module"),
    ("merge_once", merged_twice, "Called twice, it merged twice"),
    ("merge_once", toggles, "Called twice, it merged twice"),
    ("merge_once", flag_forgotten, "so it counts twice"),
    ("merge_once", scale_forgotten, "module.scale is missing"),
    ("merge_once", wrong_way_round, "with B (d_out, r) on the left"),
    ("merge_once", with_gradient, "asks for a gradient now"),
    ("merge_once", another_object, "has another weight object now"),
    ("merge_once", b_emptied, "A or B has changed"),
    ("merge_once", only_the_flag, "The base's weight is as before"),
    ("fair_gap", chosen_on_test, "Both rates were chosen on test"),
    ("fair_gap", at_the_methods_rate, "give full its own"),
    ("fair_gap", at_fulls_rate, "give the method its own"),
    ("fair_gap", begins_alike, "'lora-16', which begins with 'lora-1' too"),
    ("fair_gap", turned_round, "The sign is turned round"),
    ("fair_gap", on_validation, "That is the difference on validation"),
    ("fair_gap", by_the_luckiest_seed, "One lucky seed made 0.0003 look best"),
    ("fair_gap", metric_ignored, "is named by metric"),
    ("fair_gap", a_number, "Return a pair, the rate and the difference"),
    ("explorer", (None, SPECTRUM), "There is no answer yet"),
    ("explorer", (1, SPECTRUM), "Rank 1 keeps 31% of this matrix's energy, less than half"),
    ("explorer", (8, SPECTRUM), "that is enough, but so does a smaller one"),
    ("explorer", (4, SPECTRUM), "Energy adds up their squares"),
    ("explorer", (3, SPECTRUM), "3 is none of them"),
    ("explorer", (0.5, SPECTRUM), "not the percentage, but the rank"),
    ("explorer", lambda: 2, "Hand over the pair"),
]
