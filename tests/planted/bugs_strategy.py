"""Bugs of the ten slots, of `combine` and of the catalogue."""

from bug import Bug

TRAIN = "test_train.py"
FULL = "strategies/test_full.py"
STRATEGY = "test_strategy.py"
WRITTEN_OUT = f"{FULL}::test_fit_equals_the_loop_written_out"
THE_LOSS = f"{STRATEGY}::test_the_loss_follows_from_the_labels_and_is_a_sum"
AUGMENT = "strategies/test_augmentation.py"
MIXING = "strategies/test_mixing.py"
REGULAR = "strategies/test_regularisation.py"
ANYWHERE = "test_anywhere.py"
TARGETS = "contracts/test_targets.py"
TOKENS = f"{TARGETS}::test_a_language_model_counts_its_tokens"
PLAIN = f"{TARGETS}::test_plain_labels"
TASKS, GRADS = "ftlib/strategies/multitask.py", "ftlib/strategies/task_gradients.py"
MULTI, SURGERY = "strategies/test_multitask.py", "strategies/test_task_gradients.py"
PER_TASK = f"{MULTI}::test_each_term_is_the_mean_over_the_examples_of_its_task"
ALL_TASKS = f"{MULTI}::test_one_loader_answers_all_tasks_in_one_forward_pass"
TO_THE_BIT = f"{MULTI}::test_weight_0_is_single_task_training_to_the_last_bit"
TRUNK = f"{MULTI}::test_the_shared_weights_get_the_weighted_sum_of_the_tasks_gradients"
LOG_VARIANCE = f"{MULTI}::test_the_gradient_of_a_log_variance_in_closed_form"
OWN_HEAD = f"{SURGERY}::test_a_head_gets_the_gradient_of_its_own_task"
PEER = f"{SURGERY}::test_torchjd_gives_the_same"

BUGS = [
    Bug(
        "rows counted for tokens", "loop", "ftlib/strategy.py",
        "len(labels) if labels.is_floating_point() else int((labels != IGNORED).sum())", "len(labels)",
        "A language model's loss is divided by its rows, so that long answers weigh more.",
        (THE_LOSS, f"{TRAIN}::test_tokens_are_counted_and_not_rows"),
    ),
    Bug(
        "softmax before cross-entropy", "loop", "ftlib/strategy.py",
        'logits.float(), labels, reduction="sum", ignore', 'logits.float().softmax(1), labels, reduction="sum", ignore',
        "The loss takes probabilities for logits: it still falls, and gradients are small.",
        (THE_LOSS, WRITTEN_OUT),
    ),
    Bug(
        "soft labels made hard", "loop", "ftlib/strategy.py",
        'logits.float(), labels, reduction="sum")', 'logits.float(), labels.argmax(-1), reduction="sum")',
        "Inputs are mixed and labels are not.",
        (THE_LOSS,),
    ),
    Bug(
        "parts in the order in which they were written", "combine", "ftlib/strategy.py",
        "sorted(parts, key=lambda p: (ROLES.index(p.role), type(p).__name__, repr(p)))", "parts",
        "combine(a, b) and combine(b, a) are two methods.",
        (f"{STRATEGY}::test_both_orders_give_identical_weights",),
    ),
    Bug(
        "a later part freezes what an earlier one made", "combine", "ftlib/strategy.py",
        "            parameter.requires_grad_(trainable)", "            pass",
        "Freezing beside LoRA freezes the adapters too, and nothing is left to train.",
        (f"{STRATEGY}::test_freezing_and_injection_in_any_order_leave_what_was_made_trainable",),
    ),
    Bug(
        "two owners of one slot", "combine", "ftlib/strategy.py",
        '        if rule == "one" and len(owners(whole, slot)) > 1:\n', "        if False:\n",
        "Of two schedules one is silently ignored.",
        (f"{STRATEGY}::test_two_owners_of_a_slot_are_an_error_that_names_both",),
    ),
    Bug(
        "two averages of one run", "combine", "ftlib/strategy.py",
        "if len(those) > 1:", "if False:",
        "The second one averages what the first one has put in place.",
        (f"{REGULAR}::test_bad_input_is_one_sentence", f"{MIXING}::test_bad_input_is_one_sentence"),
    ),
    Bug(
        "pictures and texts in one batch", "combine", "ftlib/strategy.py",
        "if len({part.reads for part in readers}) > 1:", "if False:",
        "What cannot be trained is found out in the first step of the run.",
        (f"{AUGMENT}::test_bad_input_is_one_sentence",),
    ),
    Bug(
        "only classes are attributes", "strategies", "ftlib/strategies/__init__.py",
        "    if name in CATALOG.values():\n", "    if name in ():\n",
        "strategies.full exists only after somebody has used a class of it.",
        (f"{ANYWHERE}::test_a_class_and_its_file_are_the_same_by_every_way",),
    ),
    Bug(
        "ignored positions are counted", "loop", "ftlib/strategy.py",
        "int((labels != IGNORED).sum())", "labels.numel()",
        "The loss of a language model is divided by its prompt, too.",
        (TOKENS, f"{PLAIN}[some not counted-1]"),
    ),
    Bug(
        "softmax before cross-entropy in a head", "MultiTask", TASKS,
        "target_loss(model.head(features, task), self.targets(task, batch))",
        "target_loss(model.head(features, task).softmax(-1), self.targets(task, batch))",
        "Probabilities are taken for logits: the loss still falls, and gradients are small.",
        (PER_TASK, ALL_TASKS, TO_THE_BIT),
    ),
    Bug(
        "weights that are never used", "MultiTask", TASKS,
        "terms[task] = self.weights.get(task, 1.0) * self.term(", "terms[task] = self.term(",
        "All tasks count alike, whatever is asked for.",
        (PER_TASK, TRUNK),
    ),
    Bug(
        "a mean over tasks of unequal batches", "MultiTask", TASKS,
        '{**batch, "n": {task: count_targets(self.targets(task, batch)) for task in tasks}}',
        '{**batch, "n": {task: 16 for task in tasks}}',
        "A task with small batches gets a small weight.",
        (PER_TASK,),
    ),
    Bug(
        "the head of another task", "MultiTask", TASKS,
        "target_loss(model.head(features, task), self", "target_loss(model.head(features), self",
        "The main head answers all tasks, and the others are never trained.",
        (f"{MULTI}::test_a_heads_gradient_is_exactly_0_on_the_other_task", ALL_TASKS),
    ),
    Bug(
        "labels for every question", "MultiTask", TASKS,
        'name = "labels" if given == task else column', 'name = "labels"',
        "All heads learn the labels of the first task.",
        (ALL_TASKS,),
    ),
    Bug(
        "a task of weight 0 still runs", "MultiTask", TASKS,
        "        return [task for task in self.tasks if self.weights.get(task, 1.0) > 0]",
        "        return list(self.tasks)",
        "Its batches move BatchNorm's statistics and the draws of dropout.",
        (f"{TO_THE_BIT}[a loader each-alone]", f"{TO_THE_BIT}[temperature-alone]"),
    ),
    Bug(
        "new heads move the draws of training", "MultiTask", TASKS,
        "        with torch.random.fork_rng(devices=[]):  # the draws that follow are those of single-task training\n",
        "        if True:\n",
        "Runs with and without a second task have other draws, so they aren't paired.",
        (f"{MULTI}::test_the_first_task_keeps_the_models_head_and_the_others_are_drawn_aside",),
    ),
    Bug(
        "the shorter data set ends the pass", "MultiTask", TASKS,
        "longest = max(names", "longest = min(names",
        "Most of the larger data set is not read in an epoch.",
        (f"{MULTI}::test_a_step_takes_a_batch_of_each_data_set_and_the_shorter_starts_again",),
    ),
    Bug(
        "a temperature that is turned round", "MultiTask", TASKS,
        ".log() / temperature).softmax(0)", ".log() * temperature).softmax(0)",
        "A large temperature draws the large data set alone.",
        (f"{MULTI}::test_a_temperature_draws_one_data_set_per_step",),
    ),
    Bug(
        "the first head where a task is unknown", "models", "ftlib/networks.py",
        "        if (key := self.key(self.main if task is None else task)) not in self:\n",
        "        if (key := self.key(task or self.main)) not in self:\n            key = self.key(self.main)\n"
        "        if key not in self:\n",
        "A misspelt task is scored with the head of another one.",
        (f"{MULTI}::test_each_task_is_scored_by_its_own_head",),
    ),
    Bug(
        "no price for ignoring a task", "UncertaintyWeighting", TASKS,
        "        return scale * torch.exp(-s) * value + n * s / 2", "        return scale * torch.exp(-s) * value",
        "Every log variance grows without end, and all weights fall to 0.",
        (LOG_VARIANCE, f"{MULTI}::test_a_task_that_cannot_be_learned_gets_a_small_weight"),
    ),
    Bug(
        "a price per batch and not per example", "UncertaintyWeighting", TASKS,
        "* value + n * s / 2", "* value + s / 2",
        "The sum is divided by the number of examples, so that the price is far too small.",
        (LOG_VARIANCE,),
    ),
    Bug(
        "weight decay on log variances", "UncertaintyWeighting", TASKS,
        ', "weight_decay": 0.0}] if own', "}] if own",
        "The weights of the tasks are pulled to 1.",
        (f"{MULTI}::test_log_variances_have_a_rate_of_their_own_and_no_decay",),
    ),
    Bug(
        "the cosine includes the heads", "TaskGradients", GRADS,
        "    names = [name for name in rows[0] if is_shared(name)]", "    names = list(rows[0])",
        "Heads have gradients of one task each, so that every conflict looks small.",
        (OWN_HEAD, f"{SURGERY}::test_unused_weights_are_left_out_of_the_inner_products"),
    ),
    Bug(
        "conflicts are agreements", "TaskGradients", GRADS,
        "sum(c < 0 for c", "sum(c > 0 for c",
        "Tasks that help each other are reported as in conflict.",
        (f"{SURGERY}::test_cosines_over_all_shared_weights_and_pairs",),
    ),
    Bug(
        "a projection on the heads", "TaskGradients", GRADS,
        "own = weights if self.weighs_heads or is_shared(name) else [1.0] * len(grads)", "own = weights",
        "A head is scaled by what the shared weights disagree on.",
        (f"{OWN_HEAD}[CAGrad]",),
    ),
    Bug(
        "the sign of PCGrad's projection", "PCGrad", GRADS,
        "                    own[j] -= dot / gram[j, j]", "                    own[j] += dot / gram[j, j]",
        "The conflict is doubled and not taken out.",
        (f"{SURGERY}::test_pcgrad_by_hand", f"{PEER}[two in conflict]"),
    ),
    Bug(
        "PCGrad projects without a conflict", "PCGrad", GRADS,
        "if j != i and dot < 0:", "if j != i:",
        "What tasks agree on is taken out, too.",
        (f"{SURGERY}::test_gradients_without_a_conflict_are_left_alone_to_the_last_bit", f"{PEER}[two that agree]"),
    ),
    Bug(
        "PCGrad projects on what is projected already", "PCGrad", GRADS,
        "                dot = own @ gram[j]\n", "                dot = gram[i, j]\n",
        "Of three tasks the second projection forgets the first.",
        (f"{SURGERY}::test_pcgrad_projects_in_a_random_order_of_the_others",),
    ),
    Bug(
        "CAGrad helps the task that is best off", "CAGrad", GRADS,
        "            lambda w: w @ G @ even + self.c", "            lambda w: -(w @ G @ even) + self.c",
        "The step turns to the gradient that agrees most with the mean.",
        (f"{PEER}[a long and a short one]",
         f"{SURGERY}::test_cagrad_has_the_largest_of_all_steps_near_the_mean_for_the_task_that_it_helps_least"),
    ),
    Bug(
        "the sum of three projections is none", "UPGrad", GRADS,
        "            for _ in range(ROUNDS):\n", "            for _ in range(1):\n",
        "With three tasks one of them can still be hurt.",
        (f"{SURGERY}::test_upgrad_by_hand_for_three", f"{PEER}[three, all in conflict]"),
    ),
    Bug(
        "UPGrad takes a task away", "UPGrad", GRADS,
        "v[j] = max(least[j], v[j]", "v[j] = max(0.0, v[j]",
        "The projection of a gradient on all of space is 0.",
        (f"{SURGERY}::test_upgrad_is_pcgrad_for_two_tasks_and_without_conflict_for_more",),
    ),
    Bug(
        "GradNorm makes long gradients longer", "GradNorm", GRADS,
        "new = (now - self.rate", "new = (now + self.rate",
        "One task takes all the weight.",
        (f"{SURGERY}::test_gradnorm_by_hand", f"{SURGERY}::test_gradnorm_makes_lengths_equal_at_alpha_0"),
    ),
    Bug(
        "GradNorm's weights have no sum", "GradNorm", GRADS,
        "(len(new) * new / new.sum()).tolist()", "new.tolist()",
        "The weights drift, and with them the learning rate.",
        (f"{SURGERY}::test_gradnorm_by_hand",),
    ),
    Bug(
        "DWA favours the task that falls fast", "DWA", GRADS,
        "self.sums[task] / max(self.before[task], CLOSE)", "self.before[task] / max(self.sums[task], CLOSE)",
        "The ratio of losses is turned round.",
        (f"{SURGERY}::test_dwas_weights_by_the_formula",),
    ),
    Bug(
        "DWA multiplies by its temperature", "DWA", GRADS,
        "dtype=torch.double) / self.temperature).softmax(0)", "dtype=torch.double) * self.temperature).softmax(0)",
        "A large temperature should make the weights equal.",
        (f"{SURGERY}::test_dwas_weights_by_the_formula",),
    ),
]  # fmt: skip
