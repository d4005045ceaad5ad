"""Planted bugs of the core: what a run leaves behind, checkpoints, the order after the last step, what is refused."""

from bugs import Bug

RESTORE, ARGUMENTS, CHECKPOINT, PAIRS = (f"test_{n}.py" for n in ("restore", "arguments", "checkpoint", "pairs"))
FROZE = f"{RESTORE}::test_what_a_run_froze_only_that_run_froze"
SETTINGS = f"{RESTORE}::test_the_settings_are_those_of_before"
MEASURED = f"{ARGUMENTS}::test_what_is_measured_is_what_is_returned"
MISSING = f"{ARGUMENTS}::test_a_missing_loader_is_known_before_the_first_step"

BUGS = [
    Bug(
        "what a run froze stays frozen", "loop", "restore.py",
        "            p.requires_grad_(flag)\n", "",
        "Full() after LinearProbe() trains the head alone.",
        (FROZE,),
    ),
    Bug(
        "hooks outlive the run", "Dropout", "restore.py",
        "                now.clear()\n                now.update(before)\n", "                now.update(before)\n",
        "After Ctrl-C the model goes on dropping features.",
        (f"{RESTORE}::test_dropout_inside_is_the_models_own_again_after_ctrl_c",),
    ),
    Bug(
        "numbers of modules outlive the run", "Dropout", "restore.py",
        "            vars(module).update({k: v for k, v in values.items() if k in vars(module)})", "            pass",
        "After Ctrl-C the model's own dropout keeps the probability of the run.",
        (f"{RESTORE}::test_dropout_inside_is_the_models_own_again_after_ctrl_c",),
    ),
    Bug(
        "a module is hidden by the value that it replaced", "Prompt", "restore.py",
        "for k, v in values.items() if k in vars(module)}", "for k, v in values.items()}",
        "The learned prompt is there, but no longer read.",
        (f"{FROZE}[Prompt]",),
    ),
    Bug(
        "settings are put back only if all went well", "loop", "restore.py",
        "    try:\n        yield\n    finally:\n        for p, flag in learns:",
        "    yield\n    if True:\n        for p, flag in learns:",
        "An interrupted run leaves its settings on the model.",
        (f"{RESTORE}::test_dropout_inside_is_the_models_own_again_after_ctrl_c",),
    ),
    Bug(
        "a left-over gradient is in the first step", "loop", "train.py",
        "        optimizer.zero_grad()\n        set_seed", "        set_seed",
        "What somebody's own backward pass left is added to the first gradient.",
        (f"{RESTORE}::test_a_gradient_that_was_left_over_is_no_part_of_the_first_step",),
    ),
    Bug(
        "a strategy keeps what it learned of another model", "FromScratch", "strategy.py",
        "if before is not None and before() is not model:", "if False:",
        "In a loop over seeds with one FromScratch() only the first model is drawn anew.",
        (f"{RESTORE}::test_from_scratch_draws_each_model_anew",
         f"{RESTORE}::test_l2sp_pulls_each_model_to_its_own_start"),
    ),
    Bug(
        "Ctrl-C loses the history", "loop", "train.py",
        "    except BaseException as error:", "    except Exception as error:",
        "What was trained in half an hour cannot be looked at.",
        (f"{SETTINGS}[Full-Ctrl-C]",),
    ),
    # ---- checkpoints
    Bug(
        "a checkpoint answers for other data", "loop", "train.py",
        '"the model\'s start": start, "the data": data}', '"the model\'s start": start}',
        "A loop over data sets with one file name gets the first one's model each time.",
        (f"{CHECKPOINT}::test_other_data_is_another_run",),
    ),
    Bug(
        "a checkpoint answers for another start", "loop", "train.py",
        '"the model\'s start": start, "the data": data}', '"the data": data}',
        "Another seed's model is replaced by the first one's.",
        (f"{CHECKPOINT}::test_another_start_is_another_run",),
    ),
    Bug(
        "a digest of names alone", "loop", "checkpoint.py",
        "            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())\n", "",
        "Two models of one architecture, or two data sets of one shape, are taken for the same.",
        (f"{CHECKPOINT}::test_a_digest_sees_every_tensor_and_every_row",),
    ),
    Bug(
        "half a checkpoint stays", "loop", "checkpoint.py",
        "        part.unlink(missing_ok=True)\n", "        pass\n",
        "A full disk stays full.",
        (f"{CHECKPOINT}::test_a_half_written_checkpoint_is_taken_away",),
    ),
    Bug(
        "numbers of numpy go into a checkpoint", "loop", "train.py",
        "plain_numbers(validate(model.eval()))", "validate(model.eval())",
        "The checkpoint is written and can never be read.",
        (f"{CHECKPOINT}::test_numbers_of_numpy_are_written_as_plain_ones",),
    ),
    # ---- the order after the last step
    Bug(
        "parts finish in the alphabet's order", "AdaBN", "strategy.py",
        "for part in sorted(owners(self, \"finish\"), key=lambda part: FINISH.index(part.finishes)):",
        "for part in owners(self, \"finish\"):",
        "EMA's statistics come over those that AdaBN has counted on the target.",
        (f"{ARGUMENTS}::test_statistics_of_the_target_are_counted_for_the_weights_that_stay[EMA]", MEASURED),
    ),
    Bug(
        "measured before the threshold moves", "DomainGauge", "strategies/domain_gauge.py",
        '    finishes = "measure"\n', '    finishes = "average"\n',
        "The validators of LabelShift are those of source-only.",
        (MEASURED,),
    ),
    Bug(
        "a threshold is moved twice", "LabelShift", "strategies/domain_shift.py",
        "        self.weights, self.applied = w.tolist(), True\n", "        self.weights = w.tolist()\n",
        "Two calls of fit correct the same shift twice.",
        (f"{ARGUMENTS}::test_a_correction_is_made_once",),
    ),
    Bug(
        "the same class twice is taken", "CORAL", "strategy.py",
        'for what in (*inject, *part.exclusive, f"are {type(part).__name__}"):',
        "for what in (*inject, *part.exclusive):",
        "CORAL is applied twice.",
        (f"{ARGUMENTS}::test_a_strategy_twice_is_refused",),
    ),
    Bug(
        "statistics of the target and a comparison with the source", "LabelShift", "strategies/domain_shift.py",
        '    needs = ("target",)\n    may_use = ("held_out", "train")\n    exclusive = (CORRECTS, COMPARES)\n',
        '    needs = ("target",)\n    may_use = ("held_out", "train")\n',
        "AdaBN's statistics make the source's answers wrong, and the threshold moves by nonsense.",
        (f"{PAIRS}::test_two_strategies[AdaBN-LabelShift]",),
    ),
    Bug(
        "SWA counts the source's statistics over the target's", "SWA", "strategies/regularisation.py",
        "    exclusive = (*Average.exclusive, STATISTICS)\n", "",
        "After DANN the network is normalised by the source again.",
        (f"{PAIRS}::test_two_strategies[SWA-DANN]",),
    ),
    Bug(
        "only the source is augmented", "DeepCORAL", "strategy.py",
        "        if target is None or not augment:\n            return out\n", "        return out\n",
        "Erased rectangles are a difference of the domains that the aligner learns to hide.",
        (f"{ARGUMENTS}::test_the_target_is_augmented_as_the_source_is",),
    ),
    Bug(
        "a part without effect is taken", "NormOnly", "strategy.py",
        "if why := part.idle.get(other.role) or part.idle.get(type(other).__name__):", "if why := None:",
        "NormOnly with LoRA is LoRA alone, to the last bit.",
        (f"{PAIRS}::test_two_strategies[NormOnly-LoRA]",),
    ),
    # ---- what is refused
    Bug(
        "a missing loader is found after training", "AdaBN", "arguments.py",
        "if missing := [name for name in wanted if name not in loaders]:", "if missing := []:",
        "An hour of training ends in a KeyError.",
        (MISSING,),
    ),
    Bug(
        "a gradient is clipped to nothing", "loop", "arguments.py",
        'number("max_norm", values["max_norm"], 0, above=True)', 'number("max_norm", values["max_norm"])',
        "max_norm=0 learns nothing, max_norm=-1 climbs.",
        (f"{ARGUMENTS}::test_harmful_numbers_are_refused",),
    ),
    Bug(
        "a lone example stops the run", "loop", "train.py",
        "    for norm in norms:\n        norm.eval()\n", "",
        "65 examples in batches of 64 end in torch's error.",
        (f"{ARGUMENTS}::test_a_last_batch_of_one_trains_where_batchnorm_sees_one_value",),
    ),
    Bug(
        "the higher is taken for the better always", "early stopping", "early.py",
        'if value < self.value if self.better == "lower" else value > self.value:', "if value > self.value:",
        "Early stopping goes back to the worst loss.",
        (f"{ARGUMENTS}::test_what_is_watched_is_a_parameter",),
    ),
    Bug(
        "a misspelt knob is a text for Python's error", "LoRA", "strategy.py",
        "        check_knobs(cls, values, knobs)\n", "",
        "LoRA(rank=4) says 'unexpected keyword argument', LoRA(r='4') fails in the middle of training.",
        (f"{ARGUMENTS}::test_knobs_of_the_wrong_kind",
         f"{ARGUMENTS}::test_a_knob_that_does_not_exist_is_named_with_the_nearest"),
    ),
]  # fmt: skip
