"""Bugs of the strategies of lesson 07_domain, and of what only it uses."""

from bug import Bug

FEATURE_SPACE_WORDS = "lessons/07_domain/test_feature_space_words.py"
CONTRACT = "test_contract.py"
DOMAIN = "strategies/test_domain.py"
SHIFT = "strategies/test_domain_shift.py"
NETWORKS = "test_networks.py"
GAUGE = "strategies/test_domain_gauge.py"
REVERSED = f"{DOMAIN}::test_dann_turns_the_gradient_of_the_features_and_not_that_of_the_discriminator"
LAMBDA_0 = f"{DOMAIN}::test_lambda_0_is_source_only_to_the_last_bit_though_the_discriminator_learns"
UNREAD = f"{DOMAIN}::test_no_label_of_the_target_is_read"
KNOWN_WEIGHTS = f"{SHIFT}::test_known_weights_are_found"
SPLITS_READ = "contracts/test_splits_read.py"
TARGETS = "contracts/test_targets.py"
PATH = f"{SPLITS_READ}::test_each_path_reads_these_splits_so_often_and_then"
ALIGNED = f"{TARGETS}::test_source_and_target_are_divided_by_their_own_numbers"
FEW = f"{TARGETS}::test_a_few_labels_are_divided_by_their_own_number"
ARGUMENTS = "test_arguments.py"
PAIRS = "test_pairs.py"
MEASURED = f"{ARGUMENTS}::test_what_is_measured_is_what_is_returned"
MISSING = f"{ARGUMENTS}::test_a_missing_loader_is_known_before_the_first_step"

BUGS = [
    Bug(
        "gradient reversal with the sign flipped", "DANN", "ftlib/strategies/domain.py",
        "return -ctx.strength * gradient, None", "return ctx.strength * gradient, None",
        "The features help the discriminator: the domains move apart.",
        (f"{DOMAIN}::test_reversal_is_the_identity_forward_and_minus_lambda_backward", REVERSED),
    ),
    Bug(
        "a ramp that begins at one half", "DANN", "ftlib/strategies/domain.py",
        "2 / (1 + math.exp(-gamma * progress)) - 1", "1 / (1 + math.exp(-gamma * progress))",
        "An untrained discriminator is listened to from the first step on.",
        (f"{DOMAIN}::test_lambda_rises_as_in_the_paper",),
    ),
    Bug(
        "domain loss on the source only", "DANN", "ftlib/strategies/domain.py",
        "return (F.softplus(s).mean() + F.softplus(-t).mean()) / 2", "return F.softplus(s).mean()",
        "The discriminator says the same of everything and is right.",
        (f"{DOMAIN}::test_the_discriminator_gets_both_domains_in_equal_parts",),
    ),
    Bug(
        "the discriminator drawn anew", "DANN", "ftlib/strategies/domain.py",
        '        if not hasattr(model, "domain"):\n', "        if True:\n",
        "A second phase, and a resumed run, begin with one that has learned nothing.",
        (f"{CONTRACT}::TestEveryStrategy::test_preparing_twice_is_preparing_once[DANN]",),
    ),
    Bug(
        "dropout of the target moves the source's masks", "DANN", "ftlib/strategies/domain.py",
        "with aside, _statistics_stand_still(", "with _statistics_stand_still(",
        "Beside source-only other masks are drawn: the arms of a comparison are not paired.",
        (LAMBDA_0,),
    ),
    Bug(
        "statistics of both domains whatever norm says", "MMD", "ftlib/strategies/domain.py",
        'with _statistics_stand_still(model, self.norm == "target"):', "with _statistics_stand_still(model, False):",
        "The network that is used on the target is normalised by a mixture that it never saw in training.",
        (f"{DOMAIN}::test_the_statistics_that_stay_are_those_that_norm_names",),
    ),
    Bug(
        "target labels read during adaptation", "PseudoLabels", "ftlib/strategies/domain.py",
        "yield batch, UnlabelledBatch(next(target))", "yield batch, next(target)",
        "Nothing stops a method from reading the labels that it must do without.",
        (UNREAD,),
    ),
    Bug(
        "a rating gives the label away", "PseudoLabels", "ftlib/strategy.py",
        'if name in (*INPUTS, "index")', 'if name != "labels"',
        "The labels are gone, and the columns they were made of are not.",
        (f"{DOMAIN}::test_a_target_batch_holds_no_label_and_says_so",),
    ),
    Bug(
        "the weight of the alignment ignored", "MMD", "ftlib/strategies/domain.py",
        'self.weight * batch["n"]["target"] * value', 'batch["n"]["target"] * value',
        "The knob is accepted and does nothing.",
        (f"{DOMAIN}::test_the_terms_are_sums_with_their_counts",),
    ),
    Bug(
        "row k beside row k in every pass", "MMD", "ftlib/strategies/domain.py",
        '["target"].generator.initial_seed() + 1)', '["target"].generator.initial_seed())',
        "Over photographs the same digit stands in both halves of a batch: pairs that nobody has.",
        (f"{DOMAIN}::test_equally_long_domains_are_not_paired_row_by_row",),
    ),
    Bug(
        "the cross term counted once", "MMD", "ftlib/strategies/domain.py",
        "- 2 * k[:b, b:].mean()", "- k[:b, b:].mean()",
        "The distance of a sample to itself is not 0.",
        (f"{DOMAIN}::test_mmd_is_the_double_loop_over_pairs_and_kernels",),
    ),
    Bug(
        "divided by 4 D", "DeepCORAL", "ftlib/strategies/domain.py",
        "/ (4 * source.shape[1] ** 2)", "/ (4 * source.shape[1])",
        "The same weight means another thing for every width.",
        (f"{DOMAIN}::test_coral_is_the_closed_formula_entry_by_entry",),
    ),
    Bug(
        "a gradient through the probabilities", "CDAN", "ftlib/strategies/domain.py",
        ".softmax(-1).detach()  # (B, K)", ".softmax(-1)  # (B, K)",
        "The head learns to confuse the discriminator instead of the classes.",
        (f"{DOMAIN}::test_cdan_judges_features_times_probabilities_and_leaves_the_head_alone",),
    ),
    Bug(
        "heads that agree", "MCD", "ftlib/strategies/domain.py",
        "return -apart", "return apart",
        "The heads lower their disagreement and the features raise it.",
        (f"{DOMAIN}::test_mcds_heads_raise_what_its_features_lower",),
    ),
    Bug(
        "entropy raised", "EntropyMin", "ftlib/strategies/domain.py",
        "return -(logits.softmax(-1)", "return (logits.softmax(-1)",
        "Answers on the target become unsure.",
        (f"{DOMAIN}::test_entropy_is_torchs",),
    ),
    Bug(
        "all answers weigh the same", "MCC", "ftlib/strategies/domain.py",
        "weight = 1 + torch.exp(-entropy(soft).detach())", "weight = torch.ones(len(logits))",
        "Examples of which the network knows nothing pull as hard as the sure ones.",
        (f"{DOMAIN}::test_class_confusion_is_the_papers_formula_entry_by_entry",),
    ),
    Bug(
        "every answer believed", "PseudoLabels", "ftlib/strategies/domain.py",
        'reduction="none") * believed).mean()', 'reduction="none")).mean()',
        "The threshold does nothing: it learns its own mistakes.",
        (f"{DOMAIN}::test_pseudo_labels_are_its_own_answers_where_it_is_sure",),
    ),
    Bug(
        "features are collected from batches with their labels", "CORAL", "ftlib/networks.py",
        "h = model.features(send_to_device(UnlabelledBatch(batch), device))",
        "h = model.features(send_to_device(batch, device))",
        "A network that peeks at the target's labels is not found out.",
        (f"{NETWORKS}::test_columns_come_in_the_order_that_was_asked_for_and_the_network_sees_no_label",),
    ),
    Bug(
        "a short loader is begun late", "FewLabels", "ftlib/networks.py",
        "return passes(iter(loaders[name]))", "return passes(iter(()))",
        "It draws its seed after the source, so the source's order depends on what is beside it.",
        (f"{NETWORKS}::test_a_loader_begins_at_once_and_again_only_when_it_must",),
    ),
    Bug(
        "the last batches weigh more", "AdaBN", "ftlib/strategies/domain_shift.py",
        "m.momentum = rows / seen  #", "m.momentum = 0.1  #",
        "A part of the source's statistics stays, and the order of the batches decides.",
        (f"{SHIFT}::test_adabn_counts_every_example_once_and_changes_no_weight",),
    ),
    Bug(
        "statistics of the source", "AdaBN", "ftlib/strategies/domain_shift.py",
        'for batch in loaders["target"]:', 'for batch in loaders["train"]:',
        "Nothing is adapted.",
        (f"{SHIFT}::test_adabn_undoes_a_change_of_scale_and_offset",),
    ),
    Bug(
        "coloured before it is whitened", "CORAL", "ftlib/strategies/domain_shift.py",
        "power(ct + more, -0.5) @ power(cs + more, 0.5)", "power(cs + more, 0.5) @ power(ct + more, -0.5)",
        "The covariance is that of neither domain.",
        (f"{SHIFT}::test_recoloured_rows_have_the_mean_and_covariance_of_the_source",),
    ),
    Bug(
        "the mean of the target not re-coloured", "CORAL", "ftlib/strategies/domain_shift.py",
        "source.mean(0) - target.mean(0) @ a", "source.mean(0) - target.mean(0)",
        "All answers are off by a constant.",
        (f"{SHIFT}::test_recoloured_rows_have_the_mean_and_covariance_of_the_source",),
    ),
    Bug(
        "confusion matrix on its side", "LabelShift", "ftlib/strategies/domain_shift.py",
        "answers * classes + labels", "labels * classes + answers",
        "Mistakes are taken for those in the other direction.",
        (KNOWN_WEIGHTS,),
    ),
    Bug(
        "mistakes counted on what was learnt", "LabelShift", "ftlib/strategies/domain_shift.py",
        'loaders["held_out" if "held_out" in loaders else "train"]', 'loaders["train"]',
        "A network makes too few there, and every shift looks smaller or larger than it is.",
        (f"{SHIFT}::test_label_shift_adds_the_logarithm_of_the_weights_to_the_biases",),
    ),
    Bug(
        "a label counted at every reading", "FewLabels", "ftlib/strategies/domain_shift.py",
        'sorted({*self.read, *torch.as_tensor(batch["index"]).tolist()})',
        '[*self.read, *torch.as_tensor(batch["index"]).tolist()]',
        "Ten labels read eight times are reported as eighty.",
        (f"{SHIFT}::test_a_few_labels_are_counted_once_each_however_often_they_are_read",),
    ),
    Bug(
        "all target labels for a few", "FewLabels", "ftlib/evidence/sequences.py",
        "if drawn else {}", "if False else {}",
        "The arm with ten labels is given as many as the source has.",
        ("test_paired_runs.py::test_a_target_and_a_few_of_its_labels_come_from_another_task",),
    ),
    Bug(
        "chance taken for a distance", "DomainGauge", "ftlib/strategies/domain_gauge.py",
        "2 * (1 - 2 * error)", "2 * (1 - error)",
        "Two samples of one domain are at a distance of 1.",
        (f"{GAUGE}::test_the_distance_is_about_0_for_one_domain_and_about_2_for_two",),
    ),
    Bug(
        "one class for all is the best answer", "DomainGauge", "ftlib/strategies/domain_gauge.py",
        ".sum(-1).mean() - torch.xlogy(mean, mean).sum())", ".sum(-1).mean())",
        "The validator prefers a network that has collapsed.",
        (f"{GAUGE}::test_information_maximisation_by_hand",),
    ),
    Bug(
        "each example its own neighbour", "DomainGauge", "ftlib/strategies/domain_gauge.py",
        ".fill_diagonal_(-torch.inf)", "",
        "The density of a neighbourhood counts its centre, which is nearest to itself.",
        (f"{GAUGE}::test_soft_neighbourhood_density_by_hand",),
    ),
    Bug(
        "control variate with the wrong sign", "DomainGauge", "ftlib/strategies/domain_gauge.py",
        "eta = -np.mean(", "eta = np.mean(",
        "The noise of the weights is doubled instead of taken away.",
        (f"{GAUGE}::test_dev_sees_the_targets_loss_on_the_source",),
    ),
    Bug(
        "held-out examples are those that were learned", "LabelShift", "ftlib/strategies/domain_shift.py",
        'loaders["held_out" if "held_out" in loaders else "train"]', 'loaders["train"]',
        "The mistakes are counted where a network makes too few.",
        (
            f"{SPLITS_READ}::test_a_strategy_reads_the_loaders_that_it_is_for_and_no_other[LabelShift]",
            f"{PATH}[held-out examples at the end]",
        ),
    ),
    Bug(
        "the target is counted in source rows", "DeepCORAL", "ftlib/strategies/domain.py",
        '"target": len(next(iter(target.values())))}', '"target": count_targets(source["labels"])}',
        "In a step of several batches a target batch weighs what its source batch does.",
        (ALIGNED,),
    ),
    Bug(
        "the few are counted in source rows", "FewLabels", "ftlib/strategies/domain_shift.py",
        '{"n": {term: count_targets(batch["labels"])}}'.removeprefix("{").removesuffix("}"),
        '"n": {term: count_targets(source["labels"])}',
        "Few labels weigh less than their mean loss.",
        (FEW,),
    ),
    Bug(
        "the few as a mean of means", "FewLabels", "ftlib/strategies/domain_shift.py",
        'self.weight * terms["few"]', 'self.weight * terms["few"] / len(batch["labels"])',
        "Divided twice: by its batch and by all.",
        (FEW,),
    ),
    Bug(
        "a share said to be per cent", "widgets", "lessons/07_domain/widget.py",
        "right for {100 * right[step]:.0f} %", "right for {right[step]:.0f} %",
        "1 % for all of them.",
        (f"{FEATURE_SPACE_WORDS}::test_it_says_what_its_data_say[apart]",),
    ),
    Bug(
        "parts finish in the alphabet's order", "AdaBN", "ftlib/strategy.py",
        'for part in sorted(owners(self, "finish"), key=lambda part: FINISH.index(part.finishes)):',
        'for part in owners(self, "finish"):',
        "EMA's statistics come over those that AdaBN has counted on the target.",
        (f"{ARGUMENTS}::test_statistics_of_the_target_are_counted_for_the_weights_that_stay[EMA]", MEASURED),
    ),
    Bug(
        "measured before the threshold moves", "DomainGauge", "ftlib/strategies/domain_gauge.py",
        '    finishes = "measure"\n', '    finishes = "average"\n',
        "The validators of LabelShift are those of source-only.",
        (MEASURED,),
    ),
    Bug(
        "a threshold is moved twice", "LabelShift", "ftlib/strategies/domain_shift.py",
        "        self.weights, self.applied = w.tolist(), True\n", "        self.weights = w.tolist()\n",
        "Two calls of fit correct the same shift twice.",
        (f"{ARGUMENTS}::test_a_correction_is_made_once",),
    ),
    Bug(
        "the same class twice is taken", "CORAL", "ftlib/strategy.py",
        'for what in (*inject, *part.exclusive, f"are {type(part).__name__}"):',
        "for what in (*inject, *part.exclusive):",
        "CORAL is applied twice.",
        (f"{ARGUMENTS}::test_a_strategy_twice_is_refused",),
    ),
    Bug(
        "statistics of the target and a comparison with the source", "LabelShift", "ftlib/strategies/domain_shift.py",
        '    needs = ("target",)\n    may_use = ("held_out", "train")\n    exclusive = (CORRECTS, COMPARES, ONE_HEAD)\n',
        '    needs = ("target",)\n    may_use = ("held_out", "train")\n',
        "AdaBN's statistics make the source's answers wrong, and the threshold moves by nonsense.",
        (f"{PAIRS}::test_two_strategies[AdaBN-LabelShift]",),
    ),
    Bug(
        "only the source is augmented", "DeepCORAL", "ftlib/strategy.py",
        "        if target is None or not augment:\n            return out\n", "        return out\n",
        "Erased rectangles are a difference of the domains that the aligner learns to hide.",
        (f"{ARGUMENTS}::test_the_target_is_augmented_as_the_source_is",),
    ),
    Bug(
        "a missing loader is found after training", "AdaBN", "ftlib/training/arguments.py",
        "if missing := [name for name in wanted if name not in loaders]:", "if missing := []:",
        "An hour of training ends in a KeyError.",
        (MISSING,),
    ),
]  # fmt: skip
