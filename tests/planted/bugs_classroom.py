"""Bugs of the classroom: answers, checks, widgets that all lessons share."""

from bug import Bug

ANSWERS = "test_answers.py"
CHECKING = "test_checking.py"
UNWRITTEN = f"{ANSWERS}::test_an_answer_that_cannot_be_written_is_remembered_and_that_is_said_once"
LEFT = f"{CHECKING}::test_a_check_leaves_no_change_behind"
WORDS = "contracts/test_widget_words.py"
WIDGET = f"{WORDS}::test_a_widget_says_what_its_data_say"

BUGS = [
    Bug(
        "answers that were not written are forgotten", "answers", "ftlib/classroom/answers.py",
        "return kept | _unsaved.get(file, {})", "return kept",
        "On a read-only home every prediction is 'not answered yet'.",
        (UNWRITTEN,),
    ),
    Bug(
        "a broken file of answers is overwritten", "answers", "ftlib/classroom/answers.py",
        "    os.replace(file, beside)\n", "",
        "What may still be read in it by eye is lost.",
        (f"{ANSWERS}::test_a_broken_file_is_kept_beside_and_begun_anew",),
    ),
    Bug(
        "sys.exit leaves the check", "check", "ftlib/classroom/checks.py",
        "except BaseException as error:", "except Exception as error:",
        "The kernel or the grader stops where the learner's code says exit().",
        (f"{CHECKING}::test_nothing_that_the_learner_raises_escapes",),
    ),
    Bug(
        "the checker's missing file is the learner's fault", "check", "ftlib/classroom/checks.py",
        "not _through_the_learner(error.__traceback__)", "False",
        "A right answer is marked as wrong where the kit's runs are missing.",
        (f"{CHECKING}::test_what_the_checker_itself_lacks_gets_through",),
    ),
    Bug(
        "the gradient stays switched off", "check", "ftlib/classroom/checks.py",
        "        torch.set_grad_enabled(grad)\n", "",
        "After one check nothing in the notebook learns any more.",
        (LEFT,),
    ),
    Bug(
        "the generators stay where the answer left them", "check", "ftlib/classroom/checks.py",
        "        torch.set_rng_state(drawn[2])\n", "",
        "A check changes every number of the cells below it.",
        (LEFT, f"{CHECKING}::test_two_checks_of_a_random_answer_agree"),
    ),
    Bug(
        "the time limit strikes once only", "check", "ftlib/classroom/checks.py",
        "            wait = AGAIN\n", "            return\n",
        "A loop that catches every exception goes on for ever.",
        (f"{CHECKING}::test_the_limit_is_repeated",),
    ),
    Bug(
        "runs that chose a rate are shown", "widgets", "ftlib/classroom/widgets/board.py",
        'runs = runs[runs.purpose == "measure"]', "runs = runs.copy()",
        "The board shows the scores by which rates were chosen.",
        (f"{WIDGET}[board-one seed]",),
    ),
    Bug(
        "a reloaded page gets a figure as it was made", "widgets", "ftlib/classroom/widgets/live.py",
        'if key is None and "_drawn" in vars(self):', "if False:",
        "After a reload, and in voila, the board's figure is empty beside words and a table that are right.",
        ("test_widgets.py::test_a_page_that_is_loaded_again_gets_a_figure_as_it_is_now",),
    ),
    Bug(
        "a panel takes Shift+Enter from the notebook", "widgets", "ftlib/classroom/widgets/questions.py",
        "        if self._go_on:\n", "        if False:\n",
        "After a prediction the learner has to look for the next cell with the mouse.",
        ("test_widgets.py::test_a_committed_prediction_hands_the_focus_on_and_a_quiz_does_not",),
    ),
    Bug(
        "the old function is checked in silence", "check", "ftlib/classroom/checks.py",
        "_stale(answer) or _hint(checker, answer)", "_hint(checker, answer)",
        "A learner mends a function, mistypes, and is told that nothing has changed.",
        (f"{CHECKING}::test_a_function_older_than_its_last_cell_is_named",),
    ),
    Bug(
        "a copy shows the results", "workbooks", "ftlib/io/workbooks.py",
        'cell["outputs"], cell["execution_count"] = [], None', "pass",
        "The answer stands below the question before it was asked.",
        ("test_workbooks.py::test_every_notebook_has_a_copy_without_a_result",),
    ),
    Bug(
        "a clean copy overwrites the old one", "workbooks", "ftlib/io/workbooks.py",
        "    file.rename(old)\n", "",
        "What the learner wrote is lost.",
        ("test_workbooks.py::test_what_was_written_stays",),
    ),
    Bug(
        "figures can be uploaded", "plots", "ftlib/plots.py",
        '| {"config": TOOLBAR}', "",
        "A button of each figure sends its data to a company.",
        ("test_plots.py::test_no_button_of_a_figure_leaves_the_computer_and_nothing_jumps",),
    ),
    Bug(
        "rows and columns exchanged", "plots", "ftlib/results_plots.py",
        "np.add.at(counts, (true, predicted), 1)", "np.add.at(counts, (predicted, true), 1)",
        "The confusion matrix blames the wrong class.",
        ("test_results_plots.py::test_the_matrix_counts_what_scikit_learn_counts",),
    ),
    Bug(
        "the least sure mistakes", "plots", "ftlib/results_plots.py",
        "argsort(descending=True, stable=True)", "argsort(descending=False, stable=True)",
        "What is shown as the most confident mistakes are coin tosses.",
        ("test_results_plots.py::test_the_surest_mistakes_come_first",),
    ),
    Bug(
        "mistakes without their images", "plots", "ftlib/results_plots.py",
        "squeeze=False).ravel()", "squeeze=False).flat",
        "An iterator is used up before the images are drawn, and the still is blank.",
        ("test_results_plots.py::test_each_mistake_is_a_sharp_tile",),
    ),
    Bug(
        "bars of the least probable classes", "widgets", "ftlib/classroom/widgets/try_model.py",
        "key=lambda one: -one[1])[:BARS]", "key=lambda one: one[1])[:BARS]",
        "The answer stands last, and with many classes it is left out.",
        ("test_try_model.py::test_a_text_is_answered_in_words_and_bars",),
    ),
]  # fmt: skip
