"""Bugs of what remembers earlier tasks, of class means, of portions and sequences, and of the widget."""

from bug import Bug

TERMS = "ftlib/strategies/incremental.py"
BUFFER = "ftlib/strategies/rehearsal.py"
INCREMENTAL = "strategies/test_incremental.py"
REHEARSAL = "strategies/test_rehearsal.py"
ANCHOR = f"{INCREMENTAL}::test_ewcs_penalty_and_its_gradient_are_zero_at_the_anchor_and_the_formula_elsewhere"
LOGISTIC = f"{INCREMENTAL}::test_the_fisher_of_logistic_regression_in_closed_form"
ITS_TASK = f"{INCREMENTAL}::test_the_fisher_is_taken_on_the_task_that_ends_with_its_final_weights"
PATH = f"{INCREMENTAL}::test_si_adds_up_gradient_times_step_and_divides_by_the_way"
TEACHER = f"{INCREMENTAL}::test_the_second_term_of_lwf_is_the_model_of_the_last_tasks_end"
TWO_TERMS = f"{REHEARSAL}::test_the_two_terms_of_derpp"
VETO = f"{REHEARSAL}::test_agem_projects_only_what_would_raise_the_old_loss"
WIDGET = "lessons/03_incremental/widget.py"
FIGURE = "lessons/03_incremental/figure_matrix.py"
MATRIX = "lessons/03_incremental/test_matrix.py"
WORDS = "lessons/03_incremental/test_matrix_words.py::test_it_says_what_its_data_say"
SMALLEST = f"{MATRIX}::test_the_smallest_buffer_is_the_first_that_forgets_little_enough"

MEANS = "ftlib/strategies/baselines.py"
BASELINES = "strategies/test_baselines.py"
PORTIONS = "ftlib/tasks/portions.py"
SEQUENCES = "ftlib/evidence/sequences.py"

BUGS = [
    Bug(
        "the Fisher of the new task", "EWC", TERMS,
        "        self.anchors.append(new)",
        "        self.anchors = [{k: [new[k][0], v] for k, (_, v) in old.items()} for old in self.anchors] + [new]",
        "Weights are held by their importance for the new task. What the old tasks need is free to change.",
        (ITS_TASK,),
    ),
    Bug(
        "the anchor at the start of the task", "EWC", TERMS,
        "    def penalty(self, model: nn.Module, batch: dict) -> Tensor | float:\n"
        "        if not self.strength:\n            return 0.0\n",
        "    def prepare(self, model):\n"
        "        start = {k: p.detach().clone() for k, p in trained(model).items()}\n"
        "        self.anchors.append({k: [torch.ones_like(p), p] for k, p in start.items()})\n"
        "        return model\n\n"
        "    def penalty(self, model: nn.Module, batch: dict) -> Tensor | float:\n"
        "        if not self.strength:\n            return 0.0\n",
        "The penalty pulls back to where the task began, and what it has taught is undone.",
        (f"{INCREMENTAL}::test_the_first_task_is_naive_to_the_last_bit", ANCHOR),
    ),
    Bug(
        "the anchor follows the weights", "EWC", TERMS,
        "new = {k: [found[k], p.detach().clone()]", "new = {k: [found[k], p.detach()]",
        "The anchor shares the memory of the weights, so that the penalty is always 0.",
        (ANCHOR,),
    ),
    Bug(
        "the square of a mean gradient", "EWC", TERMS,
        "value[i : i + 1] if isinstance(value, Tensor) else value", "value",
        "Gradients of a batch cancel before they are squared, and the Fisher information is far too small.",
        (LOGISTIC, f"{INCREMENTAL}::test_the_fisher_is_a_mean_of_squares_over_so_many_examples"),
    ),
    Bug(
        "the data's labels for the model's own", "EWC", TERMS,
        'if labels == "data":', "if True:",
        "The empirical Fisher goes by the name of the true one. It vanishes where the model fits its data.",
        (LOGISTIC,),
    ),
    Bug(
        "online EWC lets nothing decay", "EWC", TERMS,
        "faded = {k: [self.decay * f, anchor]", "faded = {k: [f, anchor]",
        "Importance only grows, and after many tasks nothing can be learned.",
        (f"{INCREMENTAL}::test_online_ewc_keeps_one_anchor_and_lets_old_importance_decay",),
    ),
    Bug(
        "the path with the wrong sign", "SI", TERMS,
        "self.path.get(name, 0.0) - step", "self.path.get(name, 0.0) + step",
        "Weights that lowered the loss count as unimportant, and all others are held.",
        (PATH, f"{INCREMENTAL}::test_si_sums_the_importance_of_tasks_and_keeps_the_last_anchor"),
    ),
    Bug(
        "SI's anchor at the start of the task", "SI", TERMS,
        "self.anchor[name] = p.detach().clone()", "self.anchor[name] = self.start.get(name, p.detach()).clone()",
        "Later tasks are pulled to where the last one began.",
        (PATH, f"{INCREMENTAL}::test_si_sums_the_importance_of_tasks_and_keeps_the_last_anchor"),
    ),
    Bug(
        "the path is kept at the end", "SI", TERMS,
        "        self.bytes = size_in_bytes(self.importance, self.anchor)\n        self.forget_path()\n",
        "        self.bytes = size_in_bytes(self.importance, self.anchor)\n",
        "What is left of the path of one task would count for the next one.",
        (f"{INCREMENTAL}::test_si_sums_the_importance_of_tasks_and_keeps_the_last_anchor",),
    ),
    Bug(
        "T² is missing", "LwF", TERMS,
        "return temperature**2 * F.kl_div", "return F.kl_div",
        "The gradient shrinks with 1 / T², so a higher temperature is a weaker second term.",
        (f"{INCREMENTAL}::test_distillation_by_hand_and_its_gradient_keeps_its_size_as_t_grows", TEACHER),
    ),
    Bug(
        "the teacher learns too", "LwF", TERMS,
        "self.teacher = {name: value.detach().clone()", "self.teacher = {name: value.detach()",
        "The old model shares the memory of the new one: the second term is always 0.",
        (TEACHER,),
    ),
    Bug(
        "the teacher drops features", "LwF", TERMS,
        "    set_mode(model, False)\n", "",
        "The old model answers with dropout and moves BatchNorm's statistics.",
        (TEACHER,),
    ),
    Bug(
        "distillation holds the new classes down", "LwF", TERMS,
        "        if self.classes:\n", "        if False:\n",
        "The old model knows that no input is of a new class, and the new one learns that from it.",
        (f"{INCREMENTAL}::test_lwf_compares_the_classes_of_earlier_tasks_only",),
    ),
    Bug(
        "the reservoir always replaces", "Replay", BUFFER,
        "            at = below(self.seen)\n", "            at = below(self.size)\n",
        "Late examples push out early ones: after a long task the buffer holds that task alone.",
        (
            f"{REHEARSAL}::test_the_reservoir_keeps_each_example_with_the_same_probability",
            f"{REHEARSAL}::test_the_reservoir_takes_every_task_alike",
        ),
    ),
    Bug(
        "a buffer that leaks", "Replay", BUFFER,
        "for batch in self.new(loaders) if self.size else ():",
        "for batch in (batch for loader in loaders.values() for batch in loader) if self.size else ():",
        "Validation and test examples enter the buffer, and are trained on in the next task.",
        (f"{REHEARSAL}::test_the_buffer_takes_training_examples_only",),
    ),
    Bug(
        "a full class always replaces", "Replay", BUFFER,
        "            if below(self.counts[label]) >= held[label]:\n                return None\n", "",
        "Within a class late examples push out early ones.",
        (f"{REHEARSAL}::test_within_a_class_a_balanced_buffer_is_a_reservoir",),
    ),
    Bug(
        "the projection with the wrong sign", "AGEM", BUFFER,
        "g[name] - share * r[name]", "g[name] + share * r[name]",
        "The part that raises the old loss is doubled instead of taken out.",
        (VETO, f"{REHEARSAL}::test_in_fit_no_step_of_agem_goes_against_the_remembered_examples"),
    ),
    Bug(
        "a veto on every step", "AGEM", BUFFER,
        "    if dot >= 0:\n", "    if False:\n",
        "Steps that would help old tasks as well lose that part, too.",
        (VETO, f"{REHEARSAL}::test_agem_does_not_train_on_what_it_remembers"),
    ),
    Bug(
        "one tensor decides for all", "AGEM", BUFFER,
        "    dot = sum((g[name] * r[name]).sum() for name in g)\n",
        "    dot = (g[min(g)] * r[min(g)]).sum()\n",
        "The dot product is that of one tensor, and not of all weights.",
        (VETO,),
    ),
    Bug(
        "alpha and beta swapped", "DERpp", BUFFER,
        "{term: self.alpha * error", "{term: self.beta * error",
        "Whoever tunes one of them changes the other.",
        (TWO_TERMS,),
    ),
    Bug(
        "stored logits follow the model", "DERpp", BUFFER,
        'new = [row for row in self.rows if "logits" not in row]', "new = self.rows",
        "Each task writes its own answers over the old ones, which were to be kept.",
        (f"{REHEARSAL}::test_the_stored_logits_are_those_at_the_end_of_their_task_and_stay",),
    ),
    Bug(
        "mixed inputs for stored logits", "DERpp", BUFFER,
        "    exclusive = (TARGETS,)\n", "",
        "MixUp changes what the network sees, and not the logits that it should give.",
        (f"{REHEARSAL}::test_bad_input_is_one_sentence",),
    ),
    # ---- the widget
    Bug(
        "a matrix told column by column", "widgets", WIDGET,
        "for i, row in enumerate(scores, 1))", "for i, row in enumerate(scores.T, 1))",
        "Who listens learns what each task scored and takes it for what was known after a task.",
        (f"{WORDS}[forgets]",),
    ),
    Bug(
        "forgetting of the whole sequence at each task", "widgets", WIDGET,
        'cut = ({"watch": spec["watch"][:i], "phases": spec["phases"][:i]} for i in range(1, n + 1))',
        'cut = ({"watch": spec["watch"], "phases": spec["phases"]} for _ in range(n))',
        "After the second task the words tell what is forgotten after the last one.",
        (f"{WORDS}[forgets]", f"{MATRIX}::test_forgetting_is_the_mean_of_what_each_run_forgot"),
    ),
    Bug(
        "rows that are still to come", "widgets", WIDGET,
        ".mean(0)[: self.task.value]", ".mean(0)",
        "The words tell what is known after tasks that were not learned yet, and the figure ends in the last of them.",
        (f"{WORDS}[forgets]", f"{MATRIX}::test_rows_that_are_not_reached_yet_are_empty"),
    ),
    Bug(
        "a line from before its task", "widgets", WIDGET,
        "lines = [list(range(j, upto)) for", "lines = [list(range(upto)) for",
        "Each line begins at 0, as if the model had been bad at a task that it had not met.",
        (f"{WORDS}[forgets]",),
    ),
    Bug(
        "runs that chose a rate are in the matrix", "widgets", WIDGET,
        'if spec.get("purpose") == "tune" or len(watched) < 2', "if len(watched) < 2",
        "A run of another seed and rate moves every mean.",
        (f"{MATRIX}::test_runs_that_chose_a_rate_or_have_no_matrix_change_nothing",),
    ),
    Bug(
        "white on yellow", "widgets", FIGURE,
        '"#000000" if 21 / on_white > on_white else "#FFFFFF"', '"#FFFFFF" if 21 / on_white > on_white else "#000000"',
        "The numbers are there and can't be read.",
        (f"{MATRIX}::test_the_numbers_can_be_read_on_every_tile",),
    ),
    Bug(
        "the best buffer is called the smallest", "widgets", WIDGET,
        "return min((size for size, runs", "return max((size for size, runs",
        "The largest buffer is the answer to every question.",
        (SMALLEST,),
    ),
    Bug(
        "a buffer of an easier setting", "widgets", WIDGET,
        "REPLAY.fullmatch(arm)", "REPLAY.match(arm)",
        "A model that is told the task forgets less, and its buffer would be the answer.",
        (SMALLEST,),
    ),
    # ---- class means, portions, sequences
    Bug(
        "the mean of the last portion alone", "NearestClassMean", MEANS,
        "        if self.counts is None:\n", "        if True:\n",
        "After each portion only its own classes have a mean, and the others are never answered again.",
        (f"{BASELINES}::test_portions_in_any_order_give_what_all_data_at_once_give",),
    ),
    Bug(
        "no half of the squared mean", "NearestClassMean", MEANS,
        "-means.square().sum(1) / 2", "-means.square().sum(1)",
        "A class with long features is answered too rarely.",
        (f"{BASELINES}::test_the_logit_is_minus_half_the_squared_distance_up_to_a_constant_of_the_example",),
    ),
    Bug(
        "a mean of zero for a class that nobody has seen", "NearestClassMean", MEANS,
        "torch.where(self.counts > 0, -means.square().sum(1) / 2, UNSEEN)", "-means.square().sum(1) / 2",
        "An image far from all means gets a class without an example.",
        (f"{BASELINES}::test_a_class_without_an_example_is_never_answered",),
    ),
    Bug(
        "portions that overlap", "tasks", PORTIONS,
        "dealt[k - 1 :: m]", "dealt[:: m]",
        "All portions are the same rows, and nothing new comes.",
        ("test_portions.py::test_random_portions_have_all_classes_in_their_shares_and_share_no_row",),
    ),
    Bug(
        "a hint for everybody", "tasks", PORTIONS,
        "        if told:\n", "        if True:\n",
        "The model is told which classes to choose from where it should find out by itself.",
        ("test_portions.py::test_only_a_portion_that_is_told_says_which_answers_are_allowed",),
    ),
    Bug(
        "the first validation of a phase", "evidence", SEQUENCES,
        "{name: before[-1][name]", "{name: before[0][name]",
        "R shows how the first task stood after the first steps of all, in each row.",
        ("test_sequences.py::test_with_more_validations_only_the_ends_count",),
    ),
]  # fmt: skip
