"""Bugs of the three kinds that survived longest: which split is read when, what counts as a target, what a figure or a
widget says. Each contract must find several."""

from bugs import Bug

SPLITS, TARGETS = "contracts/test_splits_read.py", "contracts/test_targets.py"
FIGURES, WORDS = "contracts/test_figures.py", "contracts/test_widget_words.py"
PATH = f"{SPLITS}::test_each_path_reads_these_splits_so_often_and_then"
NUMBERS = f"{SPLITS}::test_a_record_says_each_split_s_own_numbers_and_its_curve_those_of_validation"
STOPS = f"{SPLITS}::test_early_stopping_watches_validation_and_gives_its_best_weights_back"
GRID = f"{SPLITS}::test_a_grid_chooses_by_the_split_that_it_names_and_reads_no_other_before"
ALIGNED = f"{TARGETS}::test_source_and_target_are_divided_by_their_own_numbers"
FEW = f"{TARGETS}::test_a_few_labels_are_divided_by_their_own_number"
MIXED = f"{TARGETS}::test_what_mixes_counts_each_row_once"
TOKENS = f"{TARGETS}::test_a_language_model_counts_its_tokens"
PLAIN = f"{TARGETS}::test_plain_labels"
FIGURE = f"{FIGURES}::test_a_figure_says_what_its_data_say"
WIDGET = f"{WORDS}::test_a_widget_says_what_its_data_say"
TWO = "better and worse"

BUGS = [
    # ---- which split is read when
    Bug(
        "curves of the training split", "runs", "runs.py",
        '_loader(spec, task, model, "validation", batch_size=64)', '_loader(spec, task, model, "train", batch_size=64)',
        "Curves and early stopping look at the examples that are learned.",
        (f"{PATH}[a curve]", NUMBERS, f"{STOPS}[measure]"),
    ),
    Bug(
        "scores of another split", "runs", "runs.py",
        "_loader(spec, task, model, split, batch_size=64)) for split in spec.splits}",
        '_loader(spec, task, model, split.replace("validation", "train"), batch_size=64)) for split in spec.splits}',
        "What is called validation was learned.",
        (f"{PATH}[a run that tunes]", NUMBERS),
    ),
    Bug(
        "a curve is a step behind", "runs", "runs.py",
        'done + row["step"] + 1', 'done + row["step"]',
        "Every validation seems to be a step earlier than it was.",
        (NUMBERS,),
    ),
    Bug(
        "beside is read in tuning", "runs", "record.py",
        'comparison.beside if purpose == "measure" else []', "comparison.beside",
        "The test split of another task is read while rates are chosen.",
        (f"{GRID}[accuracy-validation]",),
    ),
    Bug(
        "tuned by validation whatever the grid says", "runs", "record.py",
        'column = metric if "." in metric else', 'column = metric.replace("train.", "test.") if "." in metric else',
        "A grid that asks for the training split is chosen by test.",
        (f"{GRID}[train.accuracy-train]",),
    ),
    Bug(
        "held-out examples are those that were learned", "LabelShift", "strategies/domain_shift.py",
        'loaders["held_out" if "held_out" in loaders else "train"]', 'loaders["train"]',
        "The mistakes are counted where a network makes too few.",
        (f"{SPLITS}::test_a_strategy_reads_the_loaders_that_it_is_for_and_no_other[LabelShift]",
         f"{PATH}[held-out examples at the end]"),
    ),
    # ---- what counts as a target
    Bug(
        "the target is counted in source rows", "DeepCORAL", "strategies/domain.py",
        '"target": len(next(iter(target.values())))}', '"target": count_targets(source["labels"])}',
        "In a step of several batches a target batch weighs what its source batch does.",
        (ALIGNED,),
    ),
    Bug(
        "ignored positions are counted", "loop", "strategy.py",
        "int((labels != IGNORED).sum())", "labels.numel()",
        "The loss of a language model is divided by its prompt, too.",
        (TOKENS, f"{PLAIN}[some not counted-1]"),
    ),
    Bug(
        "the few are counted in source rows", "FewLabels", "strategies/domain_shift.py",
        '{"n": {term: count_targets(batch["labels"])}}'.removeprefix("{").removesuffix("}"),
        '"n": {term: count_targets(source["labels"])}',
        "Few labels weigh less than their mean loss.",
        (FEW,),
    ),
    Bug(
        "the few as a mean of means", "FewLabels", "strategies/domain_shift.py",
        'self.weight * terms["few"]', 'self.weight * terms["few"] / len(batch["labels"])',
        "Divided twice: by its batch and by all.",
        (FEW,),
    ),
    Bug(
        "mixed labels are counted twice", "MixUp", "strategies/mixing.py",
        '"pixels": mix(x, share), "labels": mix(y, share)}',
        '"pixels": mix(x, share), "labels": mix(y, share), "n": {"loss": 2 * len(y)}}',
        "Two labels a row: half of the loss.",
        (f"{MIXED}[MixUp-1]", f"{MIXED}[MixUp-2]"),
    ),
    Bug(
        "smoothing adds instead of spreading", "LabelSmoothing", "strategies/mixing.py",
        "(1 - self.epsilon) * y + self.epsilon / y.shape[1]", "y + self.epsilon / y.shape[1]",
        "A row's shares add up to more than 1.",
        (f"{MIXED}[LabelSmoothing-1]",),
    ),
    # ---- what figures say
    Bug(
        "a bar of the wrong arm", "compare", "plots.py",
        "runs.loc[runs.arm == arm, metric]", "runs.loc[runs.arm != arm, metric]",
        "The light points beside a mean are those of the others.",
        (f"{FIGURE}[scores-{TWO}]", f"{WIDGET}[board-{TWO}]"),
    ),
    Bug(
        "intervals of 90 %", "compare", "compare.py",
        "LEVEL = 0.95", "LEVEL = 0.90",
        "Called 95 %, they are too narrow.",
        (f"{FIGURE}[scores-{TWO}]", f"{FIGURE}[sweep-{TWO}]"),
    ),
    Bug(
        "higher and lower swapped", "compare", "compare.py",
        '{"supported": "higher", "contradicted": "lower"}', '{"supported": "lower", "contradicted": "higher"}',
        "The better arm is called worse.",
        (f"{FIGURE}[differences-{TWO}]", f"{WIDGET}[board-{TWO}]", f"{WIDGET}[curves-{TWO}]"),
    ),
    Bug(
        "an interval upside down", "compare", "plots.py",
        '"array": _bars([d.diff_high - d.difference])', '"array": _bars([d.difference])',
        "A bar ends elsewhere than its interval.",
        (f"{FIGURE}[differences-{TWO}]",),
    ),
    Bug(
        "a curve's first step told as its last", "compare", "plots.py",
        "values: values.iloc[-1])", "values: values.iloc[0])",
        "The words say where training began.",
        (f"{FIGURE}[curves-{TWO}]",),
    ),
    Bug(
        "losses counted from step 0", "compare", "plots.py",
        'x=[r["step"] + 1 for r in rows]', 'x=[r["step"] for r in rows]',
        "Each loss stands a step too early.",
        (f"{FIGURE}[losses-{TWO}]",),
    ),
    Bug(
        "a diverged seed is left out", "compare", "plots.py",
        "values.mean(skipna=False)", "values.mean()",
        "The mean is that of the seeds that went well.",
        (f"{FIGURES}::test_a_curve_that_ended_in_no_number_does_not_end_where_it_last_was_one",),
    ),
    # ---- what widgets say
    Bug(
        "the arm taken from the baseline", "widgets", "widgets/curves.py",
        "column, arm, baseline)", "column, baseline, arm)",
        "The sign of the difference is turned round.",
        (f"{WIDGET}[curves-{TWO}]",),
    ),
    Bug(
        "the best loss is the highest", "widgets", "widgets/curves.py",
        "ends = [(min if low else max)", "ends = [max",
        "The words praise the worst step.",
        (f"{WIDGET}[curves-{TWO}]",
         f"{WORDS}::test_the_explorer_of_curves_knows_of_every_metric_which_way_is_better"),
    ),
    Bug(
        "bounds for the mean", "widgets", "widgets/curves.py",
        "for i in (1, 2, 0)]  # low", "for i in (0, 2, 1)]  # low",
        "The thick line is the lower bound.",
        (f"{WIDGET}[curves-{TWO}]",),
    ),
    Bug(
        "a share said to be per cent", "widgets", "widgets/space.py",
        "is right for {100 * right[step]:.0f} %", "is right for {right[step]:.0f} %",
        "1 % for all of them.",
        (f"{WIDGET}[feature_space-apart]",),
    ),
    Bug(
        "one direction too few", "widgets", "widgets/explorer.py",
        "rank {rank} keeps {100 * kept[rank - 1]:.0f} %", "rank {rank} keeps {100 * kept[rank - 2]:.0f} %",
        "The energy is that of the rank before.",
        (f"{WIDGET}[rank_explorer-{TWO}]",),
    ),
    Bug(
        "runs that chose a rate are shown", "widgets", "widgets/board.py",
        'runs = runs[runs.purpose == "measure"]', "runs = runs.copy()",
        "The board shows the scores by which rates were chosen.",
        (f"{WIDGET}[board-one seed]",),
    ),
    Bug(
        "the other class's probability", "widgets", "widgets/samples.py",
        '(network: {100 * self.opinions[i]:.0f} %', '(network: {100 - 100 * self.opinions[i]:.0f} %',
        "The network seems to think the opposite.",
        (f"{WIDGET}[samples-right]",),
    ),
    Bug(
        "the farthest run called the nearest", "widgets", "widgets/playground.py",
        "run, scores = min(here,", "run, scores = max(here,",
        "The words tell of a run that has nothing to do with what is drawn.",
        (f"{WIDGET}[playground-{TWO}]",),
    ),
    Bug(
        "one pair is called all", "widgets", "widgets/generation.py",
        "if len(groups) == 1:", "if len(groups) <= 2:",
        "Two models of three agree, and the words say all do.",
        (f"{WIDGET}[comparer-odd marks]",),
    ),
]  # fmt: skip
