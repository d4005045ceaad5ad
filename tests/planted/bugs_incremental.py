"""Bugs of what remembers earlier tasks: strategies/incremental.py and strategies/rehearsal.py."""

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
]  # fmt: skip
