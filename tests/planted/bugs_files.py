"""Bugs of the kit's own files: what is read without a word, what is lost, and ways past the guard of the test split."""

from bugs import Bug

RECORD, PAIRED, TEACH, COMPARE = "test_record.py", "test_paired_runs.py", "test_teach.py", "test_compare.py"
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
FULL_DISK = f"{RECORD}::test_a_full_disk_leaves_what_was_there_and_nothing_else"

BUGS = [
    # ---- keys and values
    Bug(
        "unknown keys are dropped", "files", "typed.py",
        'KNOWN_KEYS_ONLY = ConfigDict(extra="forbid")', 'KNOWN_KEYS_ONLY = ConfigDict(extra="ignore")',
        "A claim that allows a loss under a misspelt name allows none, and its verdict turns round.",
        (f"{BAD_CLAIM}[alowed]", f"{BAD_CLAIM}[decide]", f"{BAD_GRID}[precison]", f"{BAD_RESULTS}[key]"),
    ),
    Bug(
        "any direction is lower", "files", "teach/said.py",
        'Direction = Literal["higher", "lower"]', "Direction = Text",
        "A misspelt direction is read as the other one.",
        (f"{BAD_CLAIM}[direction]",),
    ),
    Bug(
        "numbers in words are taken", "files", "typed.py",
        "Positive = Annotated[float, Field(strict=True, ", "Positive = Annotated[float, Field(",
        "A rate in quotes is converted here, and compared as a word elsewhere.",
        (f"{BAD_GRID}[a rate in words]",),
    ),
    Bug(
        "a margin may be infinite", "files", "typed.py",
        "NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]",
        "NotNegative = Annotated[float, Field(strict=True, ge=0)]",
        "Every difference is inside the margin: the claim is equivalent whatever was measured.",
        (f"{BAD_CLAIM}[allowed]", BAD_SPEC),
    ),
    Bug(
        "the second arm of a name replaces the first", "files", "typed.py",
        "        if key in found:\n", "        if False:\n",
        "An arm is gone from the grid, and nobody is told.",
        (f"{RECORD}::test_an_arm_that_stands_twice_is_refused_and_does_not_replace_the_first",),
    ),
    Bug(
        "parts of a claim may name rules that are not there", "files", "teach/said.py",
        "        if part.by not in rules:\n", "        if number == 0 and part.by not in rules:\n",
        "A KeyError in the middle of a lesson.",
        (f"{BAD_CLAIM}[by beside]",),
    ),
    Bug(
        "the claim of another file", "files", "teach/said.py",
        "    if said.id != file.stem:\n", "    if False:\n",
        "A copied claim shows the verdict of its copy under the old name.",
        (f"{BAD_CLAIM}[id]",),
    ),
    Bug(
        "an option of fit that is not there", "files", "spec.py",
        "                if name not in FIT:\n", "                if False:\n",
        "The grid says accumulate=2 under a misspelt name.",
        (BAD_PHASE,),
    ),
    Bug(
        "an arm that stops early without validations", "files", "record.py",
        '    for purpose in ("tune", "measure"):\n        _spec(', '    for purpose in ():\n        _spec(',
        "The grid is refused when its tuning runs are made, or after them.",
        (f"{BAD_GRID}[patience]", f"{BAD_GRID}[beside]", f"{BAD_GRID}[task beside]"),
    ),
    Bug(
        "a misspelt strategy is found by its first run", "files", "record.py",
        "        strategies.build(phase.strategy)\n", "        pass\n",
        "The first arms of the grid are recorded before it is refused.",
        (f"{BAD_GRID}[strategy]", f"{BAD_GRID}[knob]"),
    ),
    Bug(
        "a metric that no record has", "files", "record.py",
        "        if metric not in known:\n", "        if False:\n",
        "All tuning runs are made, and no rate can be chosen.",
        (f"{BAD_GRID}[metric]", f"{BAD_GRID}[metric of train]"),
    ),
    Bug(
        "broken lines are left out", "files", "runs.py",
        "        if line.strip():\n", "        if line.strip().endswith(\"}\"):\n",
        "Half a line is a run that is recorded anew, or a row that a table lacks.",
        (f"{BAD_RESULTS}[half]",),
    ),
    # ---- the test split
    Bug(
        "the test split as a target", "files", "spec.py",
        "            for loader, name in phase.data.items():\n",
        "            for loader, name in {k: v for k, v in phase.data.items() if k == \"train\"}.items():\n",
        "Adaptation learns from the examples on which it is judged.",
        (NO_TEST,),
    ),
    Bug(
        "the test split of another task", "files", "spec.py",
        'if split_of(name, self.task)[1] == "test":', 'if split_of(name, self.task) == (self.task, "test"):',
        "\"elpv/poly:test\" is another name for what the run is scored on.",
        (NO_TEST,),
    ),
    Bug(
        "the test split read once a name", "files", "spec.py",
        "            if read.count(at) > 1:\n", "            if self.splits.count(name) > 1:\n",
        "Under its task's own name it is read a second time.",
        (SPLITS,),
    ),
    Bug(
        "a phase is looked at when it is made and not when it is run", "files", "runs.py",
        "    spec.check()  #", "    #",
        "A spec that was changed after it was made trains on the test split.",
        (f"{PAIRED}::test_the_test_split_is_read_once_or_there_is_no_record",),
    ),
    Bug(
        "rates chosen on test by name", "files", "record.py",
        '        if _last(split) == "test":\n', "        if False:\n",
        "Where nothing is searched, the metric on test stays in the grid and is copied into the next.",
        (f"{BAD_GRID}[chosen on test]",),
    ),
    # ---- several processes
    Bug(
        "written without reading again", "files", "sharing.py",
        '            records = self.read() | {made["id"]: made}\n',
        '            records = self.records = self.records | {made["id"]: made}\n',
        "The last of two processes writes what it knew when it began: eight records become one.",
        (ADDED,),
    ),
    Bug(
        "a run is never taken", "files", "sharing.py",
        "            except Timeout:\n                continue\n",
        "            except Timeout:\n                pass\n",
        "Two processes run the same specs side by side.",
        (ADDED, WAITED),
    ),
    Bug(
        "what was finished meanwhile is run again", "files", "sharing.py",
        "            if spec.id in self.read():", "            if False:",
        "Between the look at the file and the lock another process has recorded it.",
        (ADDED,),
    ),
    Bug(
        "the others are not waited for", "files", "record.py",
        "            elif not made:  #", "            elif not made:\n                break  #",
        "A process that finds everything taken returns a file that is not complete.",
        (WAITED,),
    ),
    Bug(
        "a run that failed stays taken", "files", "sharing.py",
        "        for name in list(self.held):\n", "        for name in ():\n",
        "In a notebook the next call waits for itself, for ever.",
        (f"{RECORD}::test_a_run_that_fails_is_free_again",),
    ),
    Bug(
        "a part is left behind", "files", "runs.py",
        "        part.unlink(missing_ok=True)\n", "        pass\n",
        "Each full disk and each interrupt leaves half a file for good.",
        (FULL_DISK,),
    ),
    Bug(
        "a folder is tried after the run", "files", "runs.py",
        "    if file:\n        must_be_writable(file.parent)\n", "",
        "An hour of training ends in a PermissionError.",
        (f"{RECORD}::test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_run",),
    ),
    Bug(
        "stale runs in place of new ones", "files", "teach/judging.py",
        'there = wanted & {r["id"] for r in made}', 'there = {r["id"] for r in made}',
        "The grid was changed, the number of its runs was not, and the old ones are judged.",
        (f"{TEACH}::test_a_claim_compares_the_ids_of_its_records_with_those_of_the_grid",),
    ),
    # ---- scores that are no numbers
    Bug(
        "recorded without a number", "files", "record.py",
        "                _refuse_no_number(comparison, one)\n", "",
        "A rate whose runs have no score is never chosen, and nobody is told.",
        (NO_NUMBER, f"{RECORD}::test_a_measured_run_without_a_score_on_test_is_refused"),
    ),
    Bug(
        "a mean passes over what is no number", "files", "record.py",
        "    if column not in runs or not np.isfinite(runs[column].astype(float)).all():\n",
        "    if column not in runs:\n",
        "A rate is chosen by the seeds on which it did not fail.",
        (NO_NUMBER,),
    ),
    Bug(
        "compared without the seeds that failed", "files", "compare.py",
        "    if len(bad):\n", "    if False:\n",
        "The mean of an arm leaves out the seeds on which its score has no value.",
        (f"{COMPARE}::test_a_score_that_is_no_number_is_said_and_no_mean_passes_over_it",),
    ),
]  # fmt: skip
