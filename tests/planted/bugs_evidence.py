"""Bugs of the evidence: recorded runs, grids, comparisons, claims, figures."""

from bug import Bug

CURVES_WORDS = "lessons/08_augmentation/test_curves_words.py"
METRICS = "test_metrics.py"
ANYWHERE = "test_anywhere.py"
COMMANDS = "test_command_line.py"
PLOTS = "test_plots.py"
SPLITS_READ = "contracts/test_splits_read.py"
FIGURES = "contracts/test_figures.py"
WORDS = "contracts/test_widget_words.py"
PATH = f"{SPLITS_READ}::test_each_path_reads_these_splits_so_often_and_then"
NUMBERS = f"{SPLITS_READ}::test_a_record_says_each_split_s_own_numbers_and_its_curve_those_of_validation"
STOPS = f"{SPLITS_READ}::test_early_stopping_watches_validation_and_gives_its_best_weights_back"
GRID = f"{SPLITS_READ}::test_a_grid_chooses_by_the_split_that_it_names_and_reads_no_other_before"
FIGURE = f"{FIGURES}::test_a_figure_says_what_its_data_say"
WIDGET = f"{WORDS}::test_a_widget_says_what_its_data_say"
TWO = "better and worse"
RECORD = "test_record.py"
PAIRED = "test_paired_runs.py"
TEACH = "test_teach.py"
COMPARE = "test_compare.py"
LOOKS = "test_looks.py"
BAD_GRID = f"{RECORD}::test_a_grid_that_could_not_be_recorded_as_it_is_meant_is_refused_before_the_first_run"
BAD_CLAIM = f"{TEACH}::test_a_claim_that_says_something_unknown_has_no_verdict"
BAD_RESULTS = f"{RECORD}::test_a_broken_results_file_is_named_with_its_line_and_what_to_do"
NO_TEST = f"{PAIRED}::test_nothing_is_trained_on_the_test_split_by_any_name"
SPLITS = f"{PAIRED}::test_splits_are_known_each_is_read_once_and_tuning_reads_no_test"
BAD_SPEC = f"{PAIRED}::test_a_wrong_value_of_a_spec_is_one_sentence_when_it_is_made"
BAD_PHASE = f"{PAIRED}::test_a_wrong_value_of_a_phase_is_one_sentence_when_the_spec_is_made"
NO_NUMBER = f"{RECORD}::test_a_run_without_a_number_to_be_chosen_by_is_not_recorded_without_a_word"
ADDED = f"{RECORD}::test_a_record_is_added_to_what_others_wrote_meanwhile"
WAITED = f"{RECORD}::test_what_another_process_runs_is_waited_for_and_not_run_here"
WRITING = "test_writing.py"
FULL_DISK = f"{RECORD}::test_a_full_disk_leaves_what_was_there_and_nothing_else"

BUGS = [
    Bug(
        "multiplied by the temperature", "metrics", "ftlib/metrics.py",
        "logits.astype(np.float64) / np.exp(log_t)", "logits.astype(np.float64) * np.exp(log_t)",
        "A network that is too sure is made surer.",
        (f"{METRICS}::test_temperature_is_the_factor_that_was_put_in",),
    ),
    Bug(
        "confidence of the right class", "metrics", "ftlib/metrics.py",
        "sure, right = p.max(-1), p", "sure, right = p[np.arange(len(labels)), labels], p",
        "It is not known at the time when one would have to be sure.",
        (f"{METRICS}::test_reliability_adds_up_to_the_calibration_error",),
    ),
    Bug(
        "tuning may read the test split", "runs", "ftlib/evidence/spec.py",
        'if self.purpose == "tune" and at[1] == "test":', "if False:",
        "Rates are chosen on the examples that judge them.",
        ("test_real.py::test_tuning_must_not_read_the_test_split",),
    ),
    Bug(
        "the test split may be read twice", "runs", "ftlib/evidence/runs.py",
        "    if reads > 1:\n", "    if False:\n",
        "A run trains on the test split, and its record looks like any other.",
        ("test_paired_runs.py::test_the_test_split_is_read_once_or_there_is_no_record",),
    ),
    Bug(
        "early stopping on test", "runs", "ftlib/evidence/runs.py",
        'evaluate(model, sources.loader("validation", model, batch_size=64))',
        'evaluate(model, sources.loader("test", model, batch_size=64))',
        "The curves from which one stops are those of the test split.",
        ("test_paired_runs.py::test_a_grid_is_recorded_tuned_on_validation_and_resumed",),
    ),
    Bug(
        "a later phase forgets the strategy's state", "runs", "ftlib/evidence/runs.py",
        "            part.load_state_dict(memory.get(type(part).__name__, {}))\n", "            pass\n",
        "The second phase of FromScratch draws every weight anew.",
        ("test_paired_runs.py::test_a_later_phase_goes_on_from_what_was_learned_and_trains_everything",),
    ),
    Bug(
        "arms start from other weights", "runs", "ftlib/evidence/runs.py",
        "    set_seed(spec.seed)\n", "",
        "Two arms of one seed have other heads: their difference holds the luck of the draw.",
        ("test_paired_runs.py::test_arms_of_one_seed_start_at_the_same_point",),
    ),
    Bug(
        "every seed has the same examples", "runs", "ftlib/evidence/sequences.py",
        "tasks.load(name, seed=data_seed,", "tasks.load(name, seed=0,",
        "Six seeds are six orders of one subset: the interval is too narrow.",
        ("test_paired_runs.py::test_arms_of_one_seed_start_at_the_same_point",),
    ),
    Bug(
        "rate chosen on test", "runs", "ftlib/evidence/grids.py",
        'else f"validation.{metric}"', 'else f"test.{metric}"',
        "The rate that does best on the test split is reported on the test split.",
        ("test_paired_runs.py::test_the_best_rate_is_the_best_mean_of_validation",),
    ),
    Bug(
        "rate of the luckiest seed", "runs", "ftlib/evidence/grids.py",
        "[column].mean()", "[column].max()",
        "One lucky seed chooses the rate.",
        ("test_paired_runs.py::test_the_best_rate_is_the_best_mean_of_validation",),
    ),
    Bug(
        "the worst rate chosen", "runs", "ftlib/evidence/grids.py",
        "means.idxmax()", "means.idxmin()",
        "The metric is read as a loss.",
        ("test_paired_runs.py::test_the_best_rate_is_the_best_mean_of_validation",),
    ),
    Bug(
        "one arm searches more rates", "runs", "ftlib/evidence/grid_files.py",
        "        if len(sizes) > 1:\n", "        if False:\n",
        "The favourite gets ten rates and the baseline one.",
        ("test_paired_runs.py::test_an_unfair_grid_is_refused",),
    ),
    Bug(
        "tuned on the seeds that are measured", "runs", "ftlib/evidence/grid_files.py",
        "if set(self.seeds) & set(self.tuning_seeds):", "if False:",
        "The rate fits the very splits on which it is compared.",
        ("test_paired_runs.py::test_an_unfair_grid_is_refused",),
    ),
    Bug(
        "compared without pairs", "compare", "ftlib/evidence/compare.py",
        "(both[arm] - both[baseline]).to_numpy()", "both[arm].to_numpy()[::-1] - both[baseline].to_numpy()",
        "Arms of different seeds are subtracted: what a seed brings becomes noise.",
        ("test_compare.py::test_the_paired_difference_is_scipys",),
    ),
    Bug(
        "many comparisons, no correction", "compare", "ftlib/evidence/compare.py",
        'out.loc[tested, "p"] = holm(out.loc[tested, "p"].to_numpy())', "pass",
        "Of twenty arms that do nothing, one is reported to work.",
        ("test_compare.py::test_a_table_reads_in_words",),
    ),
    Bug(
        "intervals without the correction that p has", "compare", "ftlib/evidence/compare.py",
        "stats.t.isf(tail / _holm_factors(p), degrees)", "stats.t.isf(tail, degrees)",
        "The board shows an interval above 0 and calls it not distinguishable.",
        ("test_compare.py::test_one_rule_reads_every_row_of_a_table",),
    ),
    Bug(
        "the margin on the wrong side", "compare", "ftlib/evidence/compare.py",
        "if self.low > margin:", "if self.low > -margin:",
        "What is not better by the margin is called better.",
        ("test_compare.py::test_verdicts",),
    ),
    Bug(
        "a worse arm is not called worse", "compare", "ftlib/evidence/compare.py",
        "if self.high < -margin:", "if self.high < margin:",
        "Any interval below the margin contradicts the claim.",
        ("test_compare.py::test_verdicts",),
    ),
    Bug(
        "a verdict from two seeds", "compare", "ftlib/evidence/compare.py",
        "        if self.seeds < SEEDS_FOR_A_VERDICT:\n", "        if False:\n",
        "Conclusions from one or two runs.",
        ("test_compare.py::test_verdicts",),
    ),
    Bug(
        "intervals of the normal distribution", "compare", "ftlib/evidence/compare.py",
        "stats.t.ppf((1 + LEVEL) / 2, n - 1) * values", "stats.norm.ppf((1 + LEVEL) / 2) * values",
        "With six seeds a 95 % interval holds the truth in 89 %.",
        ("test_compare.py::test_the_paired_difference_is_scipys",),
    ),
    Bug(
        "the best class reported as the worst", "metrics", "ftlib/metrics.py",
        "float(min((guess", "float(max((guess",
        "A class that is never found does not show.",
        ("test_metrics.py::test_the_worst_class_is_the_lowest_accuracy_within_one_that_is_there",),
    ),
    Bug(
        "accuracy reported as balanced accuracy", "metrics", "ftlib/metrics.py",
        "balanced = balanced_accuracy_score(labels, guess)", "balanced = (labels == guess).mean()",
        "Always saying intact scores 0.69.",
        ("test_metrics.py::test_majority_guessing_is_accurate_and_worthless",),
    ),
    Bug(
        "calibration in ten bins", "metrics", "ftlib/metrics.py",
        "BINS = 15", "BINS = 10",
        "The number is not comparable with the published ones.",
        ("test_metrics.py::test_calibration_error_is_over_fifteen_bins_of_confidence",),
    ),
    Bug(
        "micro F1 reported as macro F1", "metrics", "ftlib/metrics.py",
        'average="macro"', 'average="micro"',
        "Rare classes hardly count.",
        ("test_metrics.py::test_classification_agrees_with_scikit_learn",),
    ),
    Bug(
        "perplexity a row", "metrics", "ftlib/metrics.py",
        'nll = totals["nll"] / totals["tokens"]', 'nll = totals["nll"] / totals["rows"]',
        "The loss of a language model grows with the length of its answers.",
        ("test_metrics.py::test_tokens_count_the_unmasked_ones_and_whole_rows",),
    ),
    Bug(
        "a folder of that name is read in place of the grid", "runs", "ftlib/evidence/runs.py",
        "    if named and (file := places.results()",
        "    if named and not place.exists() and (file := places.results()",
        "A course's folder called 01_full hides the recorded runs.",
        (f"{ANYWHERE}::test_recorded_runs_are_found_by_name_from_anywhere",),
    ),
    Bug(
        "a grid is looked for when its turn comes", "record", "ftlib/__main__.py",
        "            grids.load_grid(name)\n", "            pass\n",
        "A misspelt second name stops the command hours later, in a traceback.",
        (f"{COMMANDS}::test_bad_input_is_a_sentence_and_a_status",),
    ),
    Bug(
        "any whole number of runs is taken", "record", "ftlib/__main__.py",
        "if not text.isdecimal() or int(text) < 1:", "if not text.lstrip('-').isdecimal():",
        "--most -1 leaves out the last run, with status 0.",
        (f"{COMMANDS}::test_bad_input_is_a_sentence_and_a_status",),
    ),
    Bug(
        "the eleventh arm looks like the first", "plots", "ftlib/plots.py",
        "turn, place = divmod(i, len(COLOURS))", "turn, place = 0, i % len(COLOURS)",
        "Two arms of one figure cannot be told apart.",
        (f"{PLOTS}::test_thirty_arms_are_drawn_and_no_two_look_alike",),
    ),
    Bug(
        "empty markers are drawn filled", "plots", "ftlib/plots.py",
        "fillstyle=_FILL[kind]", 'fillstyle="full"',
        "In the still, the eleventh arm looks like the first.",
        (f"{PLOTS}::test_a_still_shows_every_marker_as_its_own_shape",),
    ),
    Bug(
        "curves of the training split", "runs", "ftlib/evidence/runs.py",
        'sources.loader("validation", model, batch_size=64)', 'sources.loader("train", model, batch_size=64)',
        "Curves and early stopping look at the examples that are learned.",
        (f"{PATH}[a curve]", NUMBERS, f"{STOPS}[measure]"),
    ),
    Bug(
        "scores of another split", "runs", "ftlib/evidence/runs.py",
        "data.loader(split, model, batch_size=64)) for split in spec.splits}",
        'data.loader(split.replace("validation", "train"), model, batch_size=64)) for split in spec.splits}',
        "What is called validation was learned.",
        (f"{PATH}[a run that tunes]", NUMBERS),
    ),
    Bug(
        "a curve is a step behind", "runs", "ftlib/evidence/runs.py",
        'done + row["step"] + 1', 'done + row["step"]',
        "Every validation seems to be a step earlier than it was.",
        (NUMBERS,),
    ),
    Bug(
        "beside is read in tuning", "runs", "ftlib/evidence/grids.py",
        'comparison.also_evaluate_on if purpose == "measure" else []', "comparison.also_evaluate_on",
        "The test split of another task is read while rates are chosen.",
        (f"{GRID}[accuracy-validation]",),
    ),
    Bug(
        "tuned by validation whatever the grid says", "runs", "ftlib/evidence/grids.py",
        'column = metric if "." in metric else', 'column = metric.replace("train.", "test.") if "." in metric else',
        "A grid that asks for the training split is chosen by test.",
        (f"{GRID}[train.accuracy-train]",),
    ),
    Bug(
        "a bar of the wrong arm", "compare", "ftlib/plots.py",
        "runs.loc[runs.arm == arm, metric]", "runs.loc[runs.arm != arm, metric]",
        "The light points beside a mean are those of the others.",
        (f"{FIGURE}[scores-{TWO}]", f"{WIDGET}[board-{TWO}]"),
    ),
    Bug(
        "intervals of 90 %", "compare", "ftlib/evidence/compare.py",
        "LEVEL = 0.95", "LEVEL = 0.90",
        "Called 95 %, they are too narrow.",
        (f"{FIGURE}[scores-{TWO}]", f"{FIGURE}[sweep-{TWO}]"),
    ),
    Bug(
        "higher and lower swapped", "compare", "ftlib/evidence/compare.py",
        '{"supported": "higher", "contradicted": "lower"}', '{"supported": "lower", "contradicted": "higher"}',
        "The better arm is called worse.",
        (
            f"{FIGURE}[differences-{TWO}]", f"{WIDGET}[board-{TWO}]",
            f"{CURVES_WORDS}::test_it_says_what_its_data_say[{TWO}]",
        ),
    ),
    Bug(
        "an interval upside down", "compare", "ftlib/plots.py",
        '"array": _bars([d.corrected_high - d.difference])', '"array": _bars([d.difference])',
        "A bar ends elsewhere than its interval.",
        (f"{FIGURE}[differences-{TWO}]",),
    ),
    Bug(
        "a curve's first step told as its last", "compare", "ftlib/plots.py",
        "values: values.iloc[-1])", "values: values.iloc[0])",
        "The words say where training began.",
        (f"{FIGURE}[curves-{TWO}]",),
    ),
    Bug(
        "losses counted from step 0", "compare", "ftlib/plots.py",
        'x=[r["step"] + 1 for r in rows]', 'x=[r["step"] for r in rows]',
        "Each loss stands a step too early.",
        (f"{FIGURE}[losses-{TWO}]",),
    ),
    Bug(
        "a diverged seed is left out", "compare", "ftlib/plots.py",
        "values.mean(skipna=False)", "values.mean()",
        "The mean is that of the seeds that went well.",
        (f"{FIGURES}::test_a_curve_that_ended_in_no_number_does_not_end_where_it_last_was_one",),
    ),
    Bug(
        "unknown keys are dropped", "files", "ftlib/io/typed.py",
        'KNOWN_KEYS_ONLY = ConfigDict(extra="forbid")', 'KNOWN_KEYS_ONLY = ConfigDict(extra="ignore")',
        "A claim that allows a loss under a misspelt name allows none, and its verdict turns round.",
        (f"{BAD_CLAIM}[alowed]", f"{BAD_CLAIM}[decide]", f"{BAD_GRID}[precison]", f"{BAD_RESULTS}[key]"),
    ),
    Bug(
        "any direction is lower", "files", "ftlib/evidence/claim_files.py",
        'Direction = Literal["higher", "lower"]', "Direction = Text",
        "A misspelt direction is read as the other one.",
        (f"{BAD_CLAIM}[direction]",),
    ),
    Bug(
        "numbers in words are taken", "files", "ftlib/io/typed.py",
        "Positive = Annotated[float, Field(strict=True, ", "Positive = Annotated[float, Field(",
        "A rate in quotes is converted here, and compared as a word elsewhere.",
        (f"{BAD_GRID}[a rate in words]",),
    ),
    Bug(
        "a margin may be infinite", "files", "ftlib/io/typed.py",
        "NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]",
        "NotNegative = Annotated[float, Field(strict=True, ge=0)]",
        "Every difference is inside the margin: the claim is equivalent whatever was measured.",
        (f"{BAD_CLAIM}[allowed]", BAD_SPEC),
    ),
    Bug(
        "the second arm of a name replaces the first", "files", "ftlib/io/typed.py",
        "        if key in found:\n", "        if False:\n",
        "An arm is gone from the grid, and nobody is told.",
        (f"{RECORD}::test_an_arm_that_stands_twice_is_refused_and_does_not_replace_the_first",),
    ),
    Bug(
        "parts of a claim may name rules that are not there", "files", "ftlib/evidence/claim_files.py",
        "        if part.by not in rules:\n", "        if number == 0 and part.by not in rules:\n",
        "A KeyError in the middle of a lesson.",
        (f"{BAD_CLAIM}[by beside]",),
    ),
    Bug(
        "the claim of another file", "files", "ftlib/evidence/claim_files.py",
        "    if written.id != file.stem:\n", "    if False:\n",
        "A copied claim shows the verdict of its copy under the old name.",
        (f"{BAD_CLAIM}[id]",),
    ),
    Bug(
        "an option of fit that is not there", "files", "ftlib/evidence/spec.py",
        "                if name not in FIT:\n", "                if False:\n",
        "The grid says accumulate=2 under a misspelt name.",
        (BAD_PHASE,),
    ),
    Bug(
        "an arm that stops early without validations", "files", "ftlib/evidence/grids.py",
        '    for purpose in ("tune", "measure"):\n        _spec(', "    for purpose in ():\n        _spec(",
        "The grid is refused when its tuning runs are made, or after them.",
        (f"{BAD_GRID}[patience]", f"{BAD_GRID}[beside]", f"{BAD_GRID}[task beside]"),
    ),
    Bug(
        "a misspelt strategy is found by its first run", "files", "ftlib/evidence/grids.py",
        "        strategies.build(phase.strategy)\n", "        pass\n",
        "The first arms of the grid are recorded before it is refused.",
        (f"{BAD_GRID}[strategy]", f"{BAD_GRID}[knob]"),
    ),
    Bug(
        "a metric that no record has", "files", "ftlib/evidence/grids.py",
        "        if metric not in known:\n", "        if False:\n",
        "All tuning runs are made, and no rate can be chosen.",
        (f"{BAD_GRID}[metric]", f"{BAD_GRID}[metric of train]"),
    ),
    Bug(
        "broken lines are left out", "files", "ftlib/evidence/runs.py",
        "        if line.strip():\n", '        if line.strip().endswith("}"):\n',
        "Half a line is a run that is recorded anew, or a row that a table lacks.",
        (f"{BAD_RESULTS}[half]",),
    ),
    Bug(
        "the test split as a target", "files", "ftlib/evidence/spec.py",
        "            for loader, name in phase.data.items():\n",
        '            for loader, name in {k: v for k, v in phase.data.items() if k == "train"}.items():\n',
        "Adaptation learns from the examples on which it is judged.",
        (NO_TEST,),
    ),
    Bug(
        "the test split of another task", "files", "ftlib/evidence/spec.py",
        'if split_of(name, self.task)[1] == "test":', 'if split_of(name, self.task) == (self.task, "test"):',
        '"elpv/poly:test" is another name for what the run is scored on.',
        (NO_TEST,),
    ),
    Bug(
        "the test split read once a name", "files", "ftlib/evidence/spec.py",
        "            if read.count(at) > 1:\n", "            if self.splits.count(name) > 1:\n",
        "Under its task's own name it is read a second time.",
        (SPLITS,),
    ),
    Bug(
        "a phase is looked at when it is made and not when it is run", "files", "ftlib/evidence/runs.py",
        "    spec.check()  #", "    #",
        "A spec that was changed after it was made trains on the test split.",
        (f"{PAIRED}::test_the_test_split_is_read_once_or_there_is_no_record",),
    ),
    Bug(
        "rates chosen on test by name", "files", "ftlib/evidence/grids.py",
        '        if _last(split) == "test":\n', "        if False:\n",
        "Where nothing is searched, the metric on test stays in the grid and is copied into the next.",
        (f"{BAD_GRID}[chosen on test]",),
    ),
    Bug(
        "written without reading again", "files", "ftlib/evidence/sharing.py",
        '            records = self.read() | {made["id"]: made}\n',
        '            records = self.records = self.records | {made["id"]: made}\n',
        "The last of two processes writes what it knew when it began: eight records become one.",
        (ADDED,),
    ),
    Bug(
        "a run is never taken", "files", "ftlib/evidence/sharing.py",
        "            except Timeout:\n                continue\n",
        "            except Timeout:\n                pass\n",
        "Two processes run the same specs side by side.",
        (ADDED, WAITED),
    ),
    Bug(
        "what was finished meanwhile is run again", "files", "ftlib/evidence/sharing.py",
        "            if spec.id in self.read():", "            if False:",
        "Between the look at the file and the lock another process has recorded it.",
        (ADDED,),
    ),
    Bug(
        "the others are not waited for", "files", "ftlib/evidence/grids.py",
        "                if not made:  #", "                if not made:\n                    break  #",
        "A process that finds everything taken returns a file that is not complete.",
        (WAITED,),
    ),
    Bug(
        "a second look before the others' first", "files", "ftlib/evidence/grids.py",
        "            elif comparison.looks or not made:", "            elif not made:",
        "A short recording looks at one task twice, and at another not at all.",
        ("test_record.py::test_every_comparison_has_its_first_look_before_one_has_its_second",),
    ),
    Bug(
        "a run that failed stays taken", "files", "ftlib/evidence/sharing.py",
        "        for name in list(self.held):\n", "        for name in ():\n",
        "In a notebook the next call waits for itself, for ever.",
        (f"{RECORD}::test_a_run_that_fails_is_free_again",),
    ),
    Bug(
        "a part is left behind", "files", "ftlib/io/writing.py",
        "        part.unlink(missing_ok=True)\n", "        pass\n",
        "Each full disk and each interrupt leaves half a file for good.",
        (FULL_DISK, f"{WRITING}::test_an_error_leaves_the_old_file_and_nothing_else"),
    ),
    Bug(
        "half a file takes the place of the old one", "files", "ftlib/io/writing.py",
        "        part.unlink(missing_ok=True)\n", "        part.exists() and os.replace(part, file)\n",
        "A full disk costs what was recorded before.",
        (FULL_DISK, f"{WRITING}::test_an_error_leaves_the_old_file_and_nothing_else"),
    ),
    Bug(
        "a file takes its place before it is on the disk", "files", "ftlib/io/writing.py",
        "            os.fsync(written.fileno())  #", "            pass  #",
        "After a power cut the new file is empty and the old one is gone.",
        (f"{WRITING}::test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place",),
    ),
    Bug(
        "two processes write to one part", "files", "ftlib/io/writing.py",
        'part = file.with_name(f"{file.name}.{os.getpid()}.part")', 'part = file.with_name(f"{file.name}.part")',
        "One process renames what the other is still writing.",
        (f"{WRITING}::test_two_processes_that_write_one_file_do_not_meet",),
    ),
    Bug(
        "a trial file stays", "files", "ftlib/io/writing.py",
        "        probe.unlink()\n", "        pass\n",
        "Each recording leaves a file of its own beside the results.",
        (f"{WRITING}::test_a_trial_leaves_nothing_and_makes_the_folder",),
    ),
    Bug(
        "a folder is tried after the run", "files", "ftlib/evidence/runs.py",
        "    if file:\n        must_be_writable(file.parent)\n", "",
        "An hour of training ends in a PermissionError.",
        (f"{RECORD}::test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_run",),
    ),
    Bug(
        "stale runs in place of new ones", "files", "ftlib/evidence/claims.py",
        'other = len({r["id"] for r in made} - allowed)', "other = 0",
        "The grid was changed, and old runs beside the new ones are judged too.",
        (f"{TEACH}::test_a_claim_compares_the_ids_of_its_records_with_those_of_the_grid",),
    ),
    Bug(
        "recorded without a number", "files", "ftlib/evidence/grids.py",
        "                _refuse_no_number(comparison, one)\n", "",
        "A rate whose runs have no score is never chosen, and nobody is told.",
        (NO_NUMBER, f"{RECORD}::test_a_measured_run_without_a_score_on_test_is_refused"),
    ),
    Bug(
        "a mean passes over what is no number", "files", "ftlib/evidence/grids.py",
        "    if column not in runs or not np.isfinite(runs[column].astype(float)).all():\n",
        "    if column not in runs:\n",
        "A rate is chosen by the seeds on which it did not fail.",
        (NO_NUMBER,),
    ),
    Bug(
        "compared without the seeds that failed", "files", "ftlib/evidence/compare.py",
        "    if len(bad):\n", "    if False:\n",
        "The mean of an arm leaves out the seeds on which its score has no value.",
        (f"{COMPARE}::test_a_score_that_is_no_number_is_said_and_no_mean_passes_over_it",),
    ),
    Bug(
        "one metric for many tasks", "files", "ftlib/evidence/claim_files.py",
        "        if isinstance(part.metric, str) != (part.by in OVER_TASKS):\n", "        if False:\n",
        "A claim about each task is judged by runs of all tasks together.",
        (f"{BAD_CLAIM}[one metric]",),
    ),
    Bug(
        "runs on other data beside each other", "runs", "ftlib/evidence/own_data.py",
        "if then.get(name, digest) != digest:", "if False:",
        "A file was added between two runs: their difference is one of data.",
        (
            "test_own_data.py::test_a_spec_by_name_runs_and_its_record_knows_the_data",
            "test_own_data.py::test_strategies_are_compared_in_one_call_and_kept",
        ),
    ),
    Bug(
        "looks with ordinary intervals", "looks", "ftlib/evidence/looks.py",
        "DIFFERENT = 0.988", "DIFFERENT = 0.95",
        "Five looks with 95 % intervals find a difference that is none in about 15 of 100 experiments.",
        (f"{LOOKS}::test_without_an_effect_all_looks_together_err_in_at_most_5_of_100",),
    ),
    Bug(
        "a look half inside the margin", "looks", "ftlib/evidence/looks.py",
        "-margin < inner_low and inner_high < margin", "-margin < inner_low or inner_high < margin",
        "No difference is said of effects as large as the margin.",
        (f"{LOOKS}::test_an_interval_that_leaves_the_margin_on_one_side_is_open",),
    ),
    Bug(
        "all looks are taken", "looks", "ftlib/evidence/looks.py",
        "        if last.word != \"open\":\n            break\n", "",
        "The last look decides, and not the first that could.",
        (f"{LOOKS}::test_the_first_look_that_decides_ends_it",),
    ),
    Bug(
        "a seed with one arm counts", "confirm", "ftlib/evidence/confirm.py",
        "columns=[row.arm, row.baseline]).dropna()", "columns=[row.arm, row.baseline]).fillna(0)",
        "A run whose partner is not recorded yet counts as if the partner had scored 0.",
        (f"{LOOKS}::test_seeds_with_one_arm_only_do_not_count",),
    ),
    Bug(
        "the mean of two splits is one split", "confirm", "ftlib/evidence/confirm.py",
        "(runs[f\"{task}validation.{name}\"] + runs[f\"{task}test.{name}\"]) / 2", "runs[f\"{task}validation.{name}\"]",
        "The rule names validation and test, and rates were chosen on validation.",
        (f"{LOOKS}::test_validation_and_test_together",),
    ),
    Bug(
        "the opposite counts as yes", "confirm", "ftlib/evidence/confirm.py",
        "return \"yes\" if self.look.word == self.row.expects else \"the opposite\"", "return \"yes\"",
        "Any difference supports the sentence.",
        (f"{LOOKS}::test_a_row_answers_in_one_word",),
    ),
    Bug(
        "a claim with an open row is decided", "confirm", "ftlib/evidence/confirm.py",
        "        if \"open\" in words:\n            return \"open\"\n", "        words.discard(\"open\")\n",
        "A claim is supported while one of its rows can't tell.",
        (f"{LOOKS}::test_a_claim_has_one_word",),
    ),
    Bug(
        "a diagram without words", "diagrams", "ftlib/classroom/diagrams.py",
        "        if not all(said):", "        if not any(said):",
        "A diagram without a description ends in an AttributeError, and a reader hears nothing of it.",
        (f"{LOOKS}::test_a_diagram_is_shown_with_its_words",),
    ),
]  # fmt: skip
