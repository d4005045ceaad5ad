"""Bugs of the training room: the loop, the stream, checkpoints, what a run puts back, frozen features."""

from bug import Bug

TRAIN = "test_train.py"
FULL = "strategies/test_full.py"
CONTRACT = "test_contract.py"
KILLED = f"{CONTRACT}::TestEveryStrategy::test_a_killed_run_ends_in_the_same_weights"
WRITTEN_OUT = f"{FULL}::test_fit_equals_the_loop_written_out"
CACHE = "test_cache.py"
RESTORE = "test_restore.py"
ARGUMENTS = "test_arguments.py"
CHECKPOINT = "test_checkpoint.py"
FROZE = f"{RESTORE}::test_what_a_run_froze_only_that_run_froze"
SETTINGS = f"{RESTORE}::test_the_settings_are_those_of_before"
REPEATED = ("test_real.py::test_a_recorded_run_repeats[c22f90704126]",)

BUGS = [
    Bug(
        "zero_grad dropped", "Full", "ftlib/training/loop.py",
        "        run.optimizer.zero_grad()\n", "",
        "Each step adds its gradient to those of all steps before.",
        (WRITTEN_OUT, f"{TRAIN}::test_gradients_are_zeroed_each_step"),
    ),
    Bug(
        "gradients lie otherwise than weights", "loop", "ftlib/training/loop.py",
        "p.grad = g if g is None or g.stride() == p.stride() else torch.empty_like(p).copy_(g)", "p.grad = g",
        "Fused AdamW moves a weight by the gradient of another element, where a strategy owns the gradient.",
        (f"{TRAIN}::test_the_layout_of_a_gradient_in_memory_changes_nothing",),
    ),
    Bug(
        "training in evaluation mode", "loop", "ftlib/training/loop.py",
        "    model.train()\n", "",
        "Dropout is off and BatchNorm's statistics stand still while it trains.",
        (f"{TRAIN}::test_full_fine_tuning_learns_and_changes_everything",),
    ),
    Bug(
        "evaluation in training mode", "loop", "ftlib/training/scoring.py",
        "    model.eval()\n    rows =", "    rows =",
        "Predictions are drawn with dropout, and BatchNorm learns from the validation examples.",
        (f"{TRAIN}::test_evaluating_switches_dropout_off_and_learns_nothing",),
    ),
    Bug(
        "clipping dropped", "loop", "ftlib/training/loop.py",
        "clip_grad_norm_(weights.values(), max_norm)", "clip_grad_norm_(weights.values(), float('inf'))",
        "max_norm is accepted and does nothing.",
        (WRITTEN_OUT,),
    ),
    Bug(
        "weight decay ignored", "loop", "ftlib/training/setup.py",
        '"weight_decay": weight_decay}])', '"weight_decay": 0.0}])',
        "weight_decay is accepted and does nothing.",
        (WRITTEN_OUT,),
    ),
    Bug(
        "mean of means", "loop", "ftlib/training/loop.py",
        "total / max(n[term], 1) for", 'total / max(batch["n"][term], 1) / len(window) for',
        "The two examples of a ragged last batch weigh as much as the 16 of a whole one.",
        (f"{TRAIN}::test_one_batch_equals_its_ragged_pieces", f"{TRAIN}::test_tokens_are_counted_and_not_rows"),
    ),
    Bug(
        "penalty once a batch", "loop", "ftlib/training/loop.py",
        "penalty(model, batch)) / len(everywhere)", "penalty(model, batch))",
        "Four accumulated batches pull four times as hard.",
        (f"{TRAIN}::test_the_penalty_is_averaged_over_the_window",),
    ),
    Bug(
        "penalty lost beside an owner of the gradient", "loop", "ftlib/training/loop.py",
        "rest = penalty if owned else", "rest = torch.zeros(()) if owned else",
        "A strategy that owns gradient() switches every penalty off.",
        (f"{TRAIN}::test_an_owner_of_the_gradient_that_adds_equals_one_backward_pass",),
    ),
    Bug(
        "schedule from the beginning of a step", "loop", "ftlib/training/loop.py",
        "progress = (step + 0.5) / steps", "progress = step / steps",
        "The first step of a warmup has rate 0, and the last rate is never reached.",
        (f"{TRAIN}::test_the_rate_is_peak_times_scale_at_the_middle_of_each_step",),
    ),
    Bug(
        "schedule stepped per epoch", "loop", "ftlib/training/loop.py",
        "progress = (step + 0.5) / steps", "progress = (run.at[0] + 0.5) / steps",
        "The rate changes once a pass over the data, and hardly at all.",
        (f"{TRAIN}::test_the_rate_is_peak_times_scale_at_the_middle_of_each_step",),
    ),
    Bug(
        "groups collapsed by the schedule", "loop", "ftlib/training/loop.py",
        'group["lr"] = peak *', 'group["lr"] = max(run.peaks) *',
        "The first step gives every group the rate of the fastest.",
        (f"{FULL}::test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups",),
    ),
    Bug(
        "a parameter lost by groups()", "loop", "ftlib/training/setup.py",
        "    if lost:\n", "    if False:\n",
        "A strategy's groups() forgets the head, which is then never trained, and nobody is told.",
        (f"{TRAIN}::test_groups_that_lose_a_parameter_are_an_error",),
    ),
    Bug(
        "not seeded before prepare", "loop", "ftlib/training/setup.py",
        "    set_seed(seed)\n    model =", "    model =",
        "New heads and adapters are drawn from whatever ran before.",
        (f"{TRAIN}::test_the_seed_decides_and_not_what_was_drawn_before",),
    ),
    Bug(
        "validation moves training", "loop", "ftlib/training/validation.py",
        "        with preserve_rng():\n            run.history", "        if True:\n            run.history",
        "A run that is watched ends in other weights than one that is not.",
        (f"{TRAIN}::test_validation_does_not_move_training_and_stop_stops",),
    ),
    Bug(
        "resumed without the generators", "loop", "ftlib/training/checkpoint.py",
        '                set_rng_state(old["rng"][run.hardware.me])', "                pass",
        "Dropout after a resume repeats that of the first steps.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "resumed without the optimizer's state", "loop", "ftlib/training/checkpoint.py",
        '                run.optimizer.load_state_dict(old["optimizer"])\n', "",
        "Adam's moments begin at zero again: a jump after each resume.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "resumed without the strategy's state", "loop", "ftlib/training/checkpoint.py",
        '            run.strategy.load_state_dict(send_to_device(old["strategy"], run.hardware.device))\n', "",
        "Anchors and memories are lost by a resume.",
        ("test_resume.py::test_what_a_strategy_has_learned_survives_a_kill",),
    ),
    Bug(
        "resumed at the beginning of the data", "loop", "ftlib/training/loop.py",
        "batches = stream(strategy, loaders, seed, run.at)", "batches = stream(strategy, loaders, seed)",
        "The first examples are seen again after each resume, the last ones never.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "resumed one batch too early", "loop", "ftlib/training/stream.py",
        "if k > skip:", "if k >= skip:",
        "The batch before the checkpoint is seen twice.",
        (f"{KILLED}[Full]",),
    ),
    Bug(
        "checkpoint written in place", "loop", "ftlib/io/writing.py",
        'part = file.with_name(f"{file.name}.{os.getpid()}.part")', "part = file",
        "A kill during the write leaves neither the old state nor the new one.",
        ("test_resume.py::test_a_write_that_dies_half_way_leaves_the_old_checkpoint",),
    ),
    Bug(
        "checkpoint of another run taken", "loop", "ftlib/training/checkpoint.py",
        "for k in key if was.get(k) != key[k]]:", "for k in key if False]:",
        "A run with another rate goes on from the state of the first.",
        ("test_resume.py::test_a_checkpoint_of_another_run_is_refused",),
    ),
    Bug(
        "every pass in the same order", "loop", "ftlib/training/stream.py",
        "PASS_STRIDE = 7919", "PASS_STRIDE = 0",
        "Shuffling happens once: each pass repeats the batches of the first.",
        ("test_resume.py::test_every_pass_has_its_own_order_which_the_seed_decides",),
    ),
    Bug(
        "a loader's own generator is not seeded", "loop", "ftlib/training/stream.py",
        "loader.generator.manual_seed((seed + PASS_STRIDE * number) % SEEDS)", "pass",
        "The order depends on how often a loader was used before, so that a resumed run has another.",
        ("test_resume.py::test_every_pass_has_its_own_order_which_the_seed_decides",),
    ),
    Bug(
        "stale after a change of weights", "cache", "ftlib/training/frozen_features.py",
        "t.data_ptr(), t._version)", "t.data_ptr())",
        "Activations of the old weights are served for the new ones.",
        (f"{CACHE}::test_a_changed_weight_empties_it",),
    ),
    Bug(
        "found by number instead of content", "cache", "ftlib/training/frozen_features.py",
        "    return [content_digest(row) for row in rows]", '    return [bytes([int(i)]) for i in batch["index"]]',
        "An augmented picture gets the features of the plain one.",
        (f"{CACHE}::test_changed_pictures_are_other_examples",),
    ),
    Bug(
        "a prompt that never learns", "cache", "ftlib/training/frozen_features.py",
        "    if any(p.requires_grad for part in outside for p in part.parameters()) or _learns(model):\n",
        "    if False:\n",
        "What feeds the stages from outside is computed without a gradient.",
        (f"{CACHE}::test_a_weight_that_feeds_the_stages_from_outside_keeps_them_from_being_kept",),
    ),
    Bug(
        "train mode counts as frozen", "cache", "ftlib/training/frozen_features.py",
        "            if module.training:\n                return k, tensors\n", "",
        "With BatchNorm in train mode the features differ from batch to batch; one of them is kept.",
        (f"{CACHE}::test_a_stage_counts_as_frozen_only_in_evaluation_mode",),
    ),
    Bug(
        "the activations of another sentence", "cache", "ftlib/training/feature_tables.py",
        "return padded([h[row] for row in rows.tolist()], batch)",
        "return padded([h[row] for row in rows.flip(0).tolist()], batch)",
        "Each sentence gets the activations of another one.",
        (f"{CACHE}::test_the_three_models_learn_the_same_with_it[sentiment/tweets-minilm-options1-4-8]",),
    ),
    Bug(
        "another sentence, of a loader that nobody knows", "cache", "ftlib/training/frozen_features.py",
        "return padded(rows, batch)",
        "return padded(rows[::-1], batch)",
        "Each sentence gets the activations of another one.",
        ("test_feature_tables.py::test_sentences_of_an_unknown_loader_learn_the_same",),
    ),
    Bug(
        "stopped early, kept the last weights", "loop", "ftlib/training/loop.py",
        "        run.best.restore(run.model)\n", "",
        "Early stopping saves time only: what is kept is what overfitting left.",
        (f"{TRAIN}::test_early_stopping_stops_and_goes_back_to_the_best_weights",),
    ),
    Bug(
        "a resumed run forgets its best weights", "loop", "ftlib/training/checkpoint.py",
        '                vars(run.best).update(old["best"])\n', "",
        "Killed after its best validation, a run ends in other weights.",
        ("test_resume.py::test_a_resumed_run_still_knows_its_best_weights",),
    ),
    Bug(
        "what a phase froze stays frozen", "runs", "ftlib/training/restore.py",
        "            p.requires_grad_(flag)\n", "",
        "LP-FT's second phase trains the head alone.",
        ("test_paired_runs.py::test_a_later_phase_goes_on_from_what_was_learned_and_trains_everything",),
    ),
    Bug(
        "what a run froze stays frozen", "loop", "ftlib/training/restore.py",
        "            p.requires_grad_(flag)\n", "",
        "Full() after LinearProbe() trains the head alone.",
        (FROZE,),
    ),
    Bug(
        "settings are put back only if all went well", "loop", "ftlib/training/restore.py",
        "    try:\n        yield\n    finally:\n        for p, flag in learns:",
        "    yield\n    if True:\n        for p, flag in learns:",
        "An interrupted run leaves its settings on the model.",
        (f"{RESTORE}::test_dropout_inside_is_the_models_own_again_after_ctrl_c",),
    ),
    Bug(
        "a left-over gradient is in the first step", "loop", "ftlib/training/setup.py",
        "    optimizer.zero_grad()\n    set_seed", "    set_seed",
        "What somebody's own backward pass left is added to the first gradient.",
        (f"{RESTORE}::test_a_gradient_that_was_left_over_is_no_part_of_the_first_step",),
    ),
    Bug(
        "Ctrl-C loses the history", "loop", "ftlib/training/loop.py",
        "    except BaseException as error:", "    except Exception as error:",
        "What was trained in half an hour cannot be looked at.",
        (f"{SETTINGS}[Full-Ctrl-C]",),
    ),
    Bug(
        "a checkpoint answers for other data", "loop", "ftlib/training/checkpoint.py",
        '"the model\'s start": self.start, "the data": data}', '"the model\'s start": self.start}',
        "A loop over data sets with one file name gets the first one's model each time.",
        (f"{CHECKPOINT}::test_other_data_is_another_run",),
    ),
    Bug(
        "a checkpoint answers for another start", "loop", "ftlib/training/checkpoint.py",
        '"the model\'s start": self.start, "the data": data}', '"the data": data}',
        "Another seed's model is replaced by the first one's.",
        (f"{CHECKPOINT}::test_another_start_is_another_run",),
    ),
    Bug(
        "a digest of names alone", "loop", "ftlib/training/checkpoint.py",
        "            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())\n", "",
        "Two models of one architecture, or two data sets of one shape, are taken for the same.",
        (f"{CHECKPOINT}::test_a_digest_sees_every_tensor_and_every_row",),
    ),
    Bug(
        "half a checkpoint stays", "loop", "ftlib/io/writing.py",
        "        part.unlink(missing_ok=True)\n", "        pass\n",
        "A full disk stays full.",
        (f"{CHECKPOINT}::test_a_half_written_checkpoint_is_taken_away",),
    ),
    Bug(
        "numbers of numpy go into a checkpoint", "loop", "ftlib/training/validation.py",
        "plain_numbers(self.score(run.model.eval()))", "self.score(run.model.eval())",
        "The checkpoint is written and can never be read.",
        (f"{CHECKPOINT}::test_numbers_of_numpy_are_written_as_plain_ones",),
    ),
    Bug(
        "a gradient is clipped to nothing", "loop", "ftlib/training/arguments.py",
        'number("max_norm", values["max_norm"], 0, above=True)', 'number("max_norm", values["max_norm"])',
        "max_norm=0 learns nothing, max_norm=-1 climbs.",
        (f"{ARGUMENTS}::test_harmful_numbers_are_refused",),
    ),
    Bug(
        "a lone example stops the run", "loop", "ftlib/training/loop.py",
        "    for norm in norms:\n        norm.eval()\n", "",
        "65 examples in batches of 64 end in torch's error.",
        (f"{ARGUMENTS}::test_a_last_batch_of_one_trains_where_batchnorm_sees_one_value",),
    ),
    Bug(
        "the higher is taken for the better always", "early stopping", "ftlib/training/early_stopping.py",
        'if value < self.value if self.better == "lower" else value > self.value:', "if value > self.value:",
        "Early stopping goes back to the worst loss.",
        (f"{ARGUMENTS}::test_what_is_watched_is_a_parameter",),
    ),
    Bug(
        "weight decay ignored, which a recorded run notices", "loop", "ftlib/training/setup.py",
        '"lr": lr, "weight_decay": weight_decay}', '"lr": lr, "weight_decay": 0.0}',
        "The weights are no longer pulled to 0: one part in a thousand a step at this rate.",
        REPEATED,
    ),
    Bug(
        "a learning rate one percent off", "loop", "ftlib/training/loop.py",
        'group["lr"] = peak * strategy.lr_scale(progress)', 'group["lr"] = 1.01 * peak * strategy.lr_scale(progress)',
        "Each step is one percent longer than it says.",
        REPEATED,
    ),
    Bug(
        "another order of the examples", "stream", "ftlib/training/stream.py",
        "loader.generator.manual_seed((seed + PASS_STRIDE * number) % SEEDS)",
        "loader.generator.manual_seed((seed + 1 + PASS_STRIDE * number) % SEEDS)",
        "The same examples come in another order, so old records can no longer be repeated.",
        REPEATED,
    ),
    Bug(
        "one batch with its labels shifted by one row", "loop", "ftlib/training/loop.py",
        "window = [strategy.transform(to_device(batch, run.hardware.device)) for batch in window]",
        'window = [{**b, "labels": b["labels"].roll(int(step == 1), 0)} for b in window]\n'
        "        window = [strategy.transform(to_device(batch, run.hardware.device)) for batch in window]",
        "The second step learns from the labels of the neighbours.",
        REPEATED,
    ),
    Bug(
        "half a checkpoint of a killed run stays", "loop", "ftlib/training/checkpoint.py",
        "    clear_leftovers(file)\n", "",
        "Each kill in the middle of a write leaves a file as large as the model.",
        ("test_checkpoint.py::test_what_a_killed_run_left_of_a_write_goes_when_it_is_started_again",),
    ),
    Bug(
        "a module with its own way to train is passed over", "loop", "ftlib/networks.py",
        "            if type(child).train is nn.Module.train:\n", "            if True:\n",
        "What a module does when its mode changes is left out.",
        ("test_networks.py::test_a_mode_is_set_as_torch_sets_it",),
    ),
]  # fmt: skip
