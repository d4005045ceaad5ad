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
]  # fmt: skip
