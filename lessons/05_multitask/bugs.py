"""Bugs of the widget. Those of the strategies of several tasks are in tests/planted/bugs_strategy.py."""

from bug import Bug

WIDGET = "lessons/05_multitask/widget.py"
RECORDED = "lessons/05_multitask/shared_recorded.py"
FIGURE = "lessons/05_multitask/figure_weights.py"
WEIGHTS = "lessons/05_multitask/test_weights.py"
WORDS = "lessons/05_multitask/test_weights_words.py::test_it_says_what_its_data_say"
CORNER = f"{WEIGHTS}::test_at_every_corner_the_figure_is_the_recorded_frontier"
BOTH_BETTER = f"{WEIGHTS}::test_both_better_is_where_both_tasks_are_read_as_higher"

BUGS = [
    Bug(
        "one task is enough", "widgets", RECORDED,
        'if all(found.reading.iloc[i] == "higher"', 'if any(found.reading.iloc[i] == "higher"',
        "A weighting that helps one task and hurts the other is taken for the answer.",
        (BOTH_BETTER,),
    ),
    Bug(
        "not worse counts as better", "widgets", RECORDED,
        'found.reading.iloc[i] == "higher" for found', 'found.reading.iloc[i] != "lower" for found',
        "Few seeds make every weighting an answer, since nothing is read as lower.",
        (BOTH_BETTER, f"{WEIGHTS}::test_both_better_needs_six_seeds_and_reads_the_split_that_is_named"),
    ),
    Bug(
        "the best of many is not corrected", "widgets", RECORDED,
        "        found.append(table(pd.DataFrame(rows), \"accuracy\", \"alone\"))",
        "        one = pd.DataFrame(rows)\n"
        "        parts = [table(one[one.arm.isin([\"alone\", w])], \"accuracy\", \"alone\") for w in together]\n"
        "        found.append(pd.concat([parts[0], *(p.drop(\"alone\") for p in parts[1:])]))",
        "With nine weights one of them leaves 0 out by chance, and it is what the learner finds.",
        (f"{WEIGHTS}::test_both_better_is_corrected_for_the_weights_that_were_tried",),
    ),
    Bug(
        "each task is compared with the other's network", "widgets", RECORDED,
        '[*_rows("alone", alone[k], k, split)', '[*_rows("alone", alone[0], k, split)',
        "The network that never learned the optical digits is the one to beat for them.",
        (f"{CORNER}[4]", f"{WEIGHTS}::test_the_first_state_shows_that_tasks_can_hurt_each_other"),
    ),
    Bug(
        "bars of the scores", "widgets", WIDGET,
        "np.stack([found.difference - found.corrected_low, found.corrected_high - found.difference], axis=1)",
        'np.stack([found["mean"] - found.low, found.high - found["mean"]], axis=1)',
        "What all runs of a seed share makes the bars long, and every one of them crosses the line.",
        (f"{WEIGHTS}::test_a_bar_crosses_the_line_alone_where_there_is_no_difference", f"{WORDS}[they hurt each other]"),
    ),
    Bug(
        "runs that chose a rate are on the frontier", "widgets", RECORDED,
        'one["spec"].get("purpose") != "tune"', 'one["spec"].get("purpose") != "other"',
        "A run of another seed and rate moves the points, or has no network alone beside it.",
        (f"{WEIGHTS}::test_runs_that_chose_a_rate_or_are_of_another_arm_change_nothing",),
    ),
    Bug(
        "arms that only begin alike", "widgets", RECORDED,
        "if match := TOGETHER.fullmatch(arm):", "if match := TOGETHER.match(arm):",
        "A run with PCGrad counts as one with plain weights.",
        (f"{WEIGHTS}::test_runs_that_chose_a_rate_or_are_of_another_arm_change_nothing",),
    ),
    Bug(
        "the test split where validation was asked for", "widgets", RECORDED,
        "if split_of(name, own) == (task, split):", "if split_of(name, own)[0] == task:",
        "The learner chooses a weight by the split that is kept for the end.",
        (f"{WEIGHTS}::test_another_split_has_its_own_scores",),
    ),
    Bug(
        "the moving mean knows what comes", "widgets", WIDGET,
        "cosines[max(0, i - SMOOTH + 1) : i + 1]", "cosines[i : i + SMOOTH]",
        "The line turns before the gradients do.",
        (f"{WEIGHTS}::test_the_moving_mean_is_that_of_the_last_steps",),
    ),
    Bug(
        "axes of the frontier swapped", "widgets", FIGURE,
        "x, y = (scene.points[:, k].tolist() for k in range(2))", "y, x = (scene.points[:, k].tolist() for k in range(2))",
        "The line of one task's network stands among the scores of the other.",
        (f"{CORNER}[4]", f"{WORDS}[they hurt each other]"),
    ),
    Bug(
        "the corner of the wrong side", "widgets", FIGURE,
        '"shapes[0].x0": scene.alone[0], "shapes[0].x1": right,', '"shapes[0].x0": left, "shapes[0].x1": scene.alone[0],',
        "Weightings that hurt the first task lie in the corner called both better.",
        (f"{CORNER}[4]",),
    ),
    Bug(
        "the chosen row is the last one", "widgets", WIDGET,
        "asked=i == self.row", "asked=i == len(at.weights) - 1",
        "The mark stays where it is, whatever is chosen.",
        (f"{CORNER}[4]",),
    ),
]  # fmt: skip
