"""Bugs of the strategies of lesson 02_freezing, and of what only it uses."""

from bug import Bug

FREEZING = "strategies/test_freezing.py"
PAIRS = "test_pairs.py"

BUGS = [
    Bug(
        "require_grad for requires_grad in freezing", "FreezeFirst", "ftlib/strategies/freezing.py",
        "model.stages[: self.k].requires_grad_(False)", "model.stages[: self.k].require_grad = False",
        "An attribute is set that PyTorch never reads: nothing is frozen.",
        (
            f"{FREEZING}::test_the_first_k_stages_stand_still_and_the_rest_learns",
            f"{FREEZING}::test_trained_parameters_of_lite0_by_the_formula",
        ),
    ),
    Bug(
        "frozen stages left in train mode", "FreezeFirst", "ftlib/strategies/freezing.py",
        "        for stage in model.stages[: self.k]:\n            set_mode(stage, training=False)\n", "        pass\n",
        "BatchNorm's statistics follow the batches although no weight moves.",
        (
            f"{FREEZING}::test_the_first_k_stages_stand_still_and_the_rest_learns",
            f"{FREEZING}::test_its_two_ends_are_full_fine_tuning_and_a_linear_probe",
        ),
    ),
    Bug(
        "one stage too many frozen", "FreezeFirst", "ftlib/strategies/freezing.py",
        "model.stages[: self.k].requires_grad_(False)", "model.stages[: self.k + 1].requires_grad_(False)",
        "k = 0 freezes the first stage.",
        (f"{FREEZING}::test_its_two_ends_are_full_fine_tuning_and_a_linear_probe",),
    ),
    Bug(
        "the head frozen too", "TuneOnly", "ftlib/strategies/freezing.py",
        "        for i, stage in enumerate(model.stages):\n            if i not in self._chosen(model):\n"
        "                stage.requires_grad_(False)\n",
        "        model.requires_grad_(False)\n        for i in self._chosen(model):\n"
        "            model.stages[i].requires_grad_(True)\n",
        "A random head stands still between the features and the labels.",
        (f"{FREEZING}::test_tune_only_trains_the_chosen_stages_and_the_head",),
    ),
    Bug(
        "the last stage cannot be counted from the end", "TuneOnly", "ftlib/strategies/freezing.py",
        "return {i % n for i in self.stages}", "return set(self.stages)",
        "TuneOnly([-1]) trains nothing but the head.",
        (f"{FREEZING}::test_tune_only_trains_the_chosen_stages_and_the_head",),
    ),
    Bug(
        "stages wake from the input", "GradualUnfreezing", "ftlib/strategies/freezing.py",
        "p.requires_grad_(i >= asleep and", "p.requires_grad_(i < len(model.stages) - asleep and",
        "The first stage learns first, and everything else stays frozen beneath a moving beginning.",
        (f"{FREEZING}::test_stages_wake_one_after_the_other",),
    ),
    Bug(
        "wakes what another part froze", "GradualUnfreezing", "ftlib/strategies/freezing.py",
        'i >= asleep and self.learns[f"{i}.{name}"])', "i >= asleep)",
        "The base under an adapter is trained.",
        (f"{FREEZING}::test_gradual_unfreezing_does_not_wake_what_another_part_froze",),
    ),
    Bug(
        "statistics that move while biases learn", "BiasOnly", "ftlib/strategies/freezing.py",
        "            if _is_norm(module):\n                set_mode(module, training=False)\n", "            pass\n",
        "Statistics move although only biases should.",
        (f"{FREEZING}::test_biases_only_leaves_weights_and_statistics_alone",),
    ),
    Bug(
        "every weight called weight is a normalisation's", "NormOnly", "ftlib/strategies/freezing.py",
        "return _train_only(model, lambda module, name: _is_norm(module))",
        'return _train_only(model, lambda module, name: name == "weight")',
        "The convolutions are trained too.",
        (f"{FREEZING}::test_norms_only_trains_scale_and_shift_of_normalisations",),
    ),
    Bug(
        "a part without effect is taken", "NormOnly", "ftlib/strategy.py",
        "if why := part.idle.get(other.role) or part.idle.get(type(other).__name__):", "if why := None:",
        "NormOnly with LoRA is LoRA alone, to the last bit.",
        (f"{PAIRS}::test_two_strategies[NormOnly-LoRA]",),
    ),
]  # fmt: skip
