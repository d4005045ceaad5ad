"""Bugs of the strategies of lesson 01_full, and of what only it uses."""

from bug import Bug

FULL = "strategies/test_full.py"
PROBE = f"{FULL}::test_a_probe_changes_the_head_and_nothing_else_to_the_last_bit"
L2SP_GRADIENT = f"{FULL}::test_l2sp_pulls_towards_the_pretrained_point_with_the_gradient_of_the_formula"
RESTORE = "test_restore.py"

BUGS = [
    Bug(
        "require_grad for requires_grad", "LinearProbe", "ftlib/strategies/full.py",
        "model.stages.requires_grad_(False)", "model.stages.require_grad = False",
        "Python takes any new attribute: nothing is frozen.",
        (PROBE,),
    ),
    Bug(
        "requires_grad set on the module", "LinearProbe", "ftlib/strategies/full.py",
        "model.stages.requires_grad_(False)", "model.stages.requires_grad = False",
        "A plain attribute of the module, no flag of its tensors: nothing is frozen.",
        (PROBE,),
    ),
    Bug(
        "the head is frozen too", "LinearProbe", "ftlib/strategies/full.py",
        "model.stages.requires_grad_(False)", "model.requires_grad_(False)",
        "Nothing is trained at all.",
        (PROBE,),
    ),
    Bug(
        "BatchNorm left in train mode", "LinearProbe", "ftlib/strategies/full.py",
        "        model.stages.eval()", "        pass",
        "The statistics of the frozen stages move, and with them the features.",
        (PROBE,),
    ),
    Bug(
        "nothing is forgotten", "FromScratch", "ftlib/strategies/full.py",
        "            model.reset_parameters()\n", "",
        "The baseline that should start at random starts at the pretrained weights.",
        (f"{FULL}::test_from_scratch_forgets_once_and_only_once",),
    ),
    Bug(
        "every phase starts from scratch", "FromScratch", "ftlib/strategies/full.py",
        "if not self.drawn:", "if True:",
        "A second phase, or a resumed run, throws away what was learned.",
        (f"{FULL}::test_from_scratch_forgets_once_and_only_once",),
    ),
    Bug(
        "layer rates reversed", "LayerRates", "ftlib/strategies/full.py",
        "self.decay ** (top - level)", "self.decay**level",
        "The stem learns fastest and the new head slowest.",
        (f"{FULL}::test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups",),
    ),
    Bug(
        "the head as fast as the last stage", "LayerRates", "ftlib/strategies/full.py",
        "default=0) + 1  #", "default=0)  #",
        "The decay begins one stage too late.",
        (f"{FULL}::test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups",),
    ),
    Bug(
        "pull towards zero", "L2SP", "ftlib/strategies/full.py",
        "(p - self.start[name].to(p.device)).square()", "p.square()",
        "Ordinary weight decay under another name.",
        (L2SP_GRADIENT,),
    ),
    Bug(
        "the head is pulled to its random start", "L2SP", "ftlib/strategies/full.py",
        "for n, p in model.named_parameters() if _stage_of(n) is not None}", "for n, p in model.named_parameters()}",
        "The new head cannot leave the point where it was drawn.",
        (L2SP_GRADIENT,),
    ),
    Bug(
        "decay counted twice", "L2SP", "ftlib/strategies/full.py",
        '{**group, "weight_decay": 0.0}', "{**group}",
        "AdamW's own weight decay pulls to zero beside it.",
        (f"{FULL}::test_l2sp_of_zero_is_full_fine_tuning_without_decay_and_a_strong_one_stays",),
    ),
    Bug(
        "the start follows the weights", "L2SP", "ftlib/strategies/full.py",
        "if not self.start:", "if True:",
        "Each phase is pulled to where the last one ended, not to the pretrained point.",
        (f"{FULL}::test_l2sp_keeps_its_start_in_a_later_phase",),
    ),
    Bug(
        "a strategy keeps what it learned of another model", "FromScratch", "ftlib/strategy.py",
        "if before is not None and before() is not model:", "if False:",
        "In a loop over seeds with one FromScratch() only the first model is drawn anew.",
        (
            f"{RESTORE}::test_from_scratch_draws_each_model_anew",
            f"{RESTORE}::test_l2sp_pulls_each_model_to_its_own_start",
        ),
    ),
]  # fmt: skip
