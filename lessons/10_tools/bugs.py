"""Bugs of what lesson 10_tools shows: what a tool expresses, the claim that is counted from it, and its panel."""

from bug import Bug

COVERAGE = "test_coverage.py"
PANEL = "lessons/10_tools/test_handover.py"
WORDS = "lessons/10_tools/test_handover_words.py"

BUGS = [
    Bug(
        "a refusal counts as expressed", "tools", "ftlib/tools/coverage.py",
        'return f"refused: {error}"', 'return ""',
        "A tool gets a strategy that it can't do.",
        (f"{COVERAGE}::test_what_a_tool_lacks_is_named",),
    ),
    Bug(
        "any ignored line takes the strategy away", "tools", "ftlib/tools/coverage.py",
        "if line.startswith(about)) if about else", ") if True else",
        "unsloth would lose all eight, since it chooses the precision by itself.",
        (f"{COVERAGE}::test_a_line_about_something_else_takes_no_strategy_away",),
    ),
    Bug(
        "a strategy counts without a run", "tools", "ftlib/tools/coverage.py",
        "if (level or 0) >= written.level else 0", "if True else 0",
        "A tool that has never trained is called the recommended one.",
        (f"{COVERAGE}::test_the_words_follow_the_rule",),
    ),
    Bug(
        "a tool without a level counts as worse", "tools", "ftlib/tools/coverage.py",
        "if self.levels[0] is None:", "if False:",
        "What was not run is taken for what failed.",
        (f"{COVERAGE}::test_the_words_follow_the_rule",),
    ),
    Bug(
        "every line is new", "tools", "lessons/10_tools/widget.py",
        "return [i not in same for i in range(len(lines))]", "return [True for i in range(len(lines))]",
        "All lines are marked after each change, so nothing can be seen.",
        (f"{PANEL}::test_a_change_marks_the_lines_that_it_changes_and_no_other",),
    ),
    Bug(
        "marked by colour alone", "tools", "lessons/10_tools/widget.py",
        "▸ {html.escape(line)}", "{html.escape(line)}",
        "Who doesn't see the colour doesn't see the change.",
        (f"{PANEL}::test_a_changed_line_has_a_sign_and_not_only_a_colour",),
    ),
    Bug(
        "a refused tool shows its old lines", "tools", "lessons/10_tools/widget.py",
        'return dict.fromkeys(ASPECTS, "refused")', 'return dict.fromkeys(ASPECTS, "yes")',
        "A strategy that a tool refuses looks honoured.",
        (f"{PANEL}::test_a_tool_that_refuses_says_so_in_the_table_the_words_and_its_block", WORDS),
    ),
    Bug(
        "an ignored setting looks honoured", "tools", "lessons/10_tools/widget.py",
        'aspect: "no" if any(', 'aspect: "yes" if any(',
        "The table says that xTuring takes the rank.",
        (f"{WORDS}::test_it_says_what_its_data_say",),
    ),
    Bug(
        "a written folder is written over", "tools", "lessons/10_tools/widget.py",
        "count = 1 + sum(1 for _ in", "count = 1 + sum(0 for _ in",
        "The second press overwrites what the first has written.",
        (f"{PANEL}::test_the_button_writes_a_new_folder_each_time",),
    ),
]  # fmt: skip
