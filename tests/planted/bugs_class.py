"""Bugs of the class and its machines: names, recorded runs, answers, checks, commands, crowded figures."""

from bugs import Bug

ANYWHERE, ANSWERS, CHECKING = "test_anywhere.py", "test_answers.py", "test_checking.py"
COMMANDS, PLOTS = "test_command_line.py", "test_plots.py"
UNWRITTEN = f"{ANSWERS}::test_an_answer_that_cannot_be_written_is_remembered_and_that_is_said_once"
LEFT = f"{CHECKING}::test_a_check_leaves_no_change_behind"

BUGS = [
    Bug(
        "a folder of that name is read in place of the grid", "runs", "runs.py",
        "    if named and (file := RESULTS", "    if named and not place.exists() and (file := RESULTS",
        "A course's folder called 01_full hides the recorded runs.",
        (f"{ANYWHERE}::test_recorded_runs_are_found_by_name_from_anywhere",),
    ),
    Bug(
        "only classes are attributes", "strategies", "strategies/__init__.py",
        "    if name in CATALOG.values():\n", "    if name in ():\n",
        "strategies.full exists only after somebody has used a class of it.",
        (f"{ANYWHERE}::test_a_class_and_its_file_are_the_same_by_every_way",),
    ),
    Bug(
        "answers that were not written are forgotten", "answers", "teach/answers.py",
        "return kept | _unsaved.get(file, {})", "return kept",
        "On a read-only home every prediction is 'not answered yet'.",
        (UNWRITTEN,),
    ),
    Bug(
        "a broken file of answers is overwritten", "answers", "teach/answers.py",
        "    os.replace(file, beside)\n", "",
        "What may still be read in it by eye is lost.",
        (f"{ANSWERS}::test_a_broken_file_is_kept_beside_and_begun_anew",),
    ),
    Bug(
        "sys.exit leaves the check", "check", "teach/checking.py",
        "except BaseException as error:", "except Exception as error:",
        "The kernel or the grader stops where the learner's code says exit().",
        (f"{CHECKING}::test_nothing_that_the_learner_raises_escapes",),
    ),
    Bug(
        "the checker's missing file is the learner's fault", "check", "teach/checking.py",
        "not _through_the_learner(error.__traceback__)", "False",
        "A right answer is marked as wrong where the kit's runs are missing.",
        (f"{CHECKING}::test_what_the_checker_itself_lacks_gets_through",),
    ),
    Bug(
        "the gradient stays switched off", "check", "teach/checking.py",
        "        torch.set_grad_enabled(grad)\n", "",
        "After one check nothing in the notebook learns any more.",
        (LEFT,),
    ),
    Bug(
        "the generators stay where the answer left them", "check", "teach/checking.py",
        "        torch.set_rng_state(drawn[2])\n", "",
        "A check changes every number of the cells below it.",
        (LEFT, f"{CHECKING}::test_two_checks_of_a_random_answer_agree"),
    ),
    Bug(
        "the time limit strikes once only", "check", "teach/checking.py",
        "            wait = AGAIN\n", "            return\n",
        "A loop that catches every exception goes on for ever.",
        (f"{CHECKING}::test_the_limit_is_repeated",),
    ),
    Bug(
        "a grid is looked for when its turn comes", "record", "__main__.py",
        "            record.load_grid(name)\n", "            pass\n",
        "A misspelt second name stops the command hours later, in a traceback.",
        (f"{COMMANDS}::test_bad_input_is_a_sentence_and_a_status",),
    ),
    Bug(
        "any whole number of runs is taken", "record", "__main__.py",
        "if not text.isdecimal() or int(text) < 1:", "if not text.lstrip('-').isdecimal():",
        "--most -1 leaves out the last run, with status 0.",
        (f"{COMMANDS}::test_bad_input_is_a_sentence_and_a_status",),
    ),
    Bug(
        "the eleventh arm looks like the first", "plots", "plots.py",
        "turn, place = divmod(i, len(COLOURS))", "turn, place = 0, i % len(COLOURS)",
        "Two arms of one figure cannot be told apart.",
        (f"{PLOTS}::test_thirty_arms_are_drawn_and_no_two_look_alike",),
    ),
    Bug(
        "empty markers are drawn filled", "plots", "plots.py",
        "fillstyle=_FILL[kind]", 'fillstyle="full"',
        "In the still, the eleventh arm looks like the first.",
        (f"{PLOTS}::test_a_still_shows_every_marker_as_its_own_shape",),
    ),
]  # fmt: skip
