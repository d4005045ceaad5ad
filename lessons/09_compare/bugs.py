"""Bugs of the comparison board: what may be compared, the front, the words, the recipe."""

from bug import Bug

BOARD, WORDS, RECIPE = (f"lessons/09_compare/test_{name}.py" for name in ("board", "board_words", "recipe"))
RECORDED, VIEWS = "lessons/09_compare/shared_recorded.py", "lessons/09_compare/shared_views.py"
SAYS = f"{WORDS}::test_it_says_what_its_data_say"

BUGS = [
    Bug(
        "runs of two grids are compared", "board", RECORDED,
        'return spec["grid"], spec["task"]', 'return "", spec["task"]',
        "Runs of other seeds, rates and times stand in one comparison.",
        (f"{BOARD}::test_runs_that_differ_in_more_than_the_method_are_never_in_one_group[grid]",),
    ),
    Bug(
        "runs of other steps are compared", "board", RECORDED,
        'steps = sum(phase["steps"] for phase in spec["phases"])', "steps = 1",
        "A method that trained five times as long wins.",
        (f"{BOARD}::test_runs_that_differ_in_more_than_the_method_are_never_in_one_group[steps]",),
    ),
    Bug(
        "runs that chose a rate stand on the large board", "board", RECORDED,
        'if record["spec"]["purpose"] == "measure"]', "]",
        "The seeds on which a rate was chosen judge it, too.",
        (f"{BOARD}::test_runs_that_chose_a_rate_are_left_out",),
    ),
    Bug(
        "a beaten method is on the front", "board", RECORDED,
        "if score_of > best or", "if score_of >= best or",
        "A method that costs more for the same score looks worth it.",
        (f"{BOARD}::test_the_front_holds_exactly_what_no_other_beats",),
    ),
    Bug(
        "own runs are drawn beside any runs", "board", "lessons/09_compare/widget.py",
        "if own.own and own.like == group.like and", "if own.own and",
        "Own runs of ten steps are held against recorded ones of sixty.",
        (f"{BOARD}::test_own_runs_of_another_kind_are_not_drawn_beside",),
    ),
    Bug(
        "more loss is called better", "board", VIEWS,
        "if at.measure.higher else (pairs[method] < pairs[base])", "if True else (pairs[method] < pairs[base])",
        "A method with a higher loss wins seed by seed.",
        (f"{WORDS}::test_a_score_of_which_less_is_better_is_read_so",),
    ),
    Bug(
        "intervals without their correction", "board", VIEWS,
        "zip(x, rows.corrected_low, rows.corrected_high)", "zip(x, rows.diff_low, rows.diff_high)",
        "A bar beside 0 is read as not distinguishable.",
        (f"{SAYS}[better and worse]",),
    ),
    Bug(
        "the recipe forgets the options", "board", "lessons/09_compare/shared_recipe.py",
        '("options", "splits",', '("splits",',
        "Whoever runs the recipe trains on all of the data.",
        (f"{RECIPE}::test_the_code_of_every_recorded_method_makes_its_very_spec",),
    ),
]  # fmt: skip
