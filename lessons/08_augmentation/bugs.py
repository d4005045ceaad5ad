"""Bugs of the strategies of lesson 08_augmentation, and of what only it uses."""

from bug import Bug

SAMPLES_WORDS = "lessons/08_augmentation/test_samples_words.py"
CURVES_WORDS = "lessons/08_augmentation/test_curves_words.py"
AUGMENT = "strategies/test_augmentation.py"
MIXING = "strategies/test_mixing.py"
HELD_OUT = f"{AUGMENT}::test_held_out_examples_stay_as_they_are_and_a_score_is_that_of_the_weights_alone"
REGULAR = "strategies/test_regularisation.py"
TARGETS = "contracts/test_targets.py"
MIXED = f"{TARGETS}::test_what_mixes_counts_each_row_once"
TWO = "better and worse"
RESTORE = "test_restore.py"
PAIRS = "test_pairs.py"

BUGS = [
    Bug(
        "one draw for the whole batch", "Flip", "ftlib/strategies/augmentation.py",
        "return (torch.rand(len(x)) < p).to(x.device).view(-1, 1, 1, 1)",
        "return (torch.rand(1) < p).to(x.device).view(-1, 1, 1, 1)",
        "torchvision's own way on a batch: all pictures are flipped, or none.",
        (
            f"{AUGMENT}::test_a_flip_makes_each_of_its_ways_equally_often",
            f"{AUGMENT}::test_pictures_have_their_own_draws_and_the_rest_of_a_batch_stays[Flip]",
        ),
    ),
    Bug(
        "flips the wrong way", "Flip", "ftlib/strategies/augmentation.py",
        "(self.vertical, [-2])", "(self.vertical, [-3])",
        "Channels are swapped instead of top and bottom: on grey pictures nothing happens.",
        (f"{AUGMENT}::test_a_flip_makes_each_of_its_ways_equally_often",),
    ),
    Bug(
        "written into the loader's tensor", "RandAugment", "ftlib/strategies/augmentation.py",
        "    out = x.clone()\n    for i, (name", "    out = x\n    for i, (name",
        "Where the loader hands out its own tensor, each epoch augments what the last one left.",
        (f"{AUGMENT}::test_pictures_have_their_own_draws_and_the_rest_of_a_batch_stays[RandAugment]",),
    ),
    Bug(
        "a digit may be turned", "Flip", "ftlib/strategies/augmentation.py",
        '"digits": ({}, 15.0)', '"digits": ({"horizontal": True, "vertical": True}, 15.0)',
        "A 6 is learnt as a 9.",
        (
            f"{AUGMENT}::test_cells_may_be_turned_and_digits_may_not",
            f"{AUGMENT}::test_the_policy_of_a_task_is_safe_for_it[digits/mnist]",
        ),
    ),
    Bug(
        "a crop shifted by half of itself", "Crop", "ftlib/strategies/augmentation.py",
        "(0, 2): left + w / 2 - W / 2", "(0, 2): left - W / 2",
        "The middle of the crop is taken for its edge: half of what is seen is black.",
        (
            f"{AUGMENT}::test_a_crop_shows_the_part_that_torchvision_would_stretch",
            f"{AUGMENT}::test_a_whole_crop_changes_nothing_and_areas_are_as_asked",
        ),
    ),
    Bug(
        "area and side confused", "Crop", "ftlib/strategies/augmentation.py",
        "(size * tall).sqrt().round(), (size / tall).sqrt().round()",
        "(size * tall / H).round(), (size / tall / W).round()",
        "The side of a crop is drawn where its area was meant: it shows much less.",
        (f"{AUGMENT}::test_a_whole_crop_changes_nothing_and_areas_are_as_asked",),
    ),
    Bug(
        "degrees taken for radians", "Rotation", "ftlib/strategies/augmentation.py",
        "cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()", "cos, sin = degrees.cos(), degrees.sin()",
        "Ten degrees become one and a half turns.",
        (
            f"{AUGMENT}::test_rotation_turns_either_way_up_to_its_degrees",
            f"{AUGMENT}::test_an_operation_on_a_batch_is_torchvisions_on_each_picture[Rotate-1]",
        ),
    ),
    Bug(
        "turned one way only", "Rotation", "ftlib/strategies/augmentation.py",
        "draw(x, -self.degrees, self.degrees)", "draw(x, 0, self.degrees)",
        "The mean picture is tilted.",
        (f"{AUGMENT}::test_rotation_turns_either_way_up_to_its_degrees",),
    ),
    Bug(
        "brighter than white", "ColorJitter", "ftlib/strategies/augmentation.py",
        "* (x - other)).clamp(0, 1)", "* (x - other))",
        "Pixels leave 0..1, which no camera gives.",
        (f"{AUGMENT}::test_an_operation_on_a_batch_is_torchvisions_on_each_picture[Brightness-1]",),
    ),
    Bug(
        "contrast about the middle of the batch", "ColorJitter", "ftlib/strategies/augmentation.py",
        "grey(x).mean((1, 2, 3), keepdim=True)", "grey(x).mean()",
        "A picture's contrast depends on which others share its batch.",
        (f"{AUGMENT}::test_an_operation_on_a_batch_is_torchvisions_on_each_picture[Contrast-1]",),
    ),
    Bug(
        "erased in black", "RandomErasing", "ftlib/strategies/augmentation.py",
        'noise = torch.rand_like(x) if self.fill == "noise" else x.new_zeros(())', "noise = x.new_zeros(())",
        "On a solar cell black rectangles are defects: the label is no longer true.",
        (f"{AUGMENT}::test_erased_places_are_noise_and_not_black",),
    ),
    Bug(
        "always erased", "RandomErasing", "ftlib/strategies/augmentation.py",
        "inside & found & coins(x, self.p)", "inside & found",
        "p does nothing: the network never sees a whole picture.",
        (f"{AUGMENT}::test_erasing_hides_one_rectangle_of_the_asked_size_p_of_the_time",),
    ),
    Bug(
        "never to the left", "RandAugment", "ftlib/strategies/augmentation.py",
        "(sign[rows] if name in SIGNED else 1)", "1",
        "Pictures are only ever shifted, turned and brightened one way.",
        (f"{AUGMENT}::test_every_picture_gets_one_of_the_fourteen_at_a_strength_of_its_own",),
    ),
    Bug(
        "shifted by pixels of another size", "RandAugment", "ftlib/strategies/augmentation.py",
        'far = {"TranslateX": 150 / 331 * x.shape[-1]', 'far = {"TranslateX": 150.0',
        "The shift is that of a picture of 331 pixels: a small one leaves the frame.",
        (f"{AUGMENT}::test_rand_augment_and_trivial_augment_ask_for_their_own_strengths",),
    ),
    Bug(
        "one strength for the whole batch", "TrivialAugment", "ftlib/strategies/augmentation.py",
        "torch.randint(BINS, (len(x),)) / (BINS - 1)", "(torch.randint(BINS, (1,)) / (BINS - 1)).expand(len(x))",
        "Every step is either too easy or too hard.",
        (f"{AUGMENT}::test_rand_augment_and_trivial_augment_ask_for_their_own_strengths",),
    ),
    Bug(
        "as gentle as RandAugment", "TrivialAugment", "ftlib/strategies/augmentation.py",
        '"Rotate": 135.0, "Posterize": 6.0', '"Rotate": 30.0, "Posterize": 4.0',
        "Not the wide space of the paper, under its name.",
        (f"{AUGMENT}::test_the_strengths_are_torchvisions[trivial]",),
    ),
    Bug(
        "the first token hidden", "TokenDropout", "ftlib/strategies/augmentation.py",
        "        hidden[:, 0] = False\n", "",
        "A short text may lose all its tokens: its feature is 0.",
        (f"{AUGMENT}::test_token_dropout_hides_p_of_the_words_and_never_the_first",),
    ),
    Bug(
        "keeps p instead of hiding it", "TokenDropout", "ftlib/strategies/augmentation.py",
        "return torch.rand(mask.shape) < self.p", "return torch.rand(mask.shape) >= self.p",
        "Nine words of ten are gone.",
        (f"{AUGMENT}::test_token_dropout_hides_p_of_the_words_and_never_the_first",),
    ),
    Bug(
        "the span lies among the pads", "SpanCut", "ftlib/strategies/augmentation.py",
        "words = mask.sum(1, keepdim=True) - 1", "words = torch.full((len(mask), 1), mask.shape[1] - 1)",
        "Of a short text in a long batch nothing is hidden.",
        (f"{AUGMENT}::test_a_cut_span_is_one_run_of_the_asked_length_anywhere",),
    ),
    Bug(
        "hidden in the loader's own mask", "TokenDropout", "ftlib/strategies/augmentation.py",
        "mask.masked_fill(hidden, 0)", "mask.masked_fill_(hidden, 0)",
        "Where the loader hands out its own tensor, words that were hidden once are gone for good.",
        (f"{HELD_OUT}[TokenDropout]", f"{HELD_OUT}[SpanCut]"),
    ),
    Bug(
        "erased in the loader's own pictures", "RandomErasing", "ftlib/strategies/augmentation.py",
        "return torch.where(inside & found & coins(x, self.p), noise, x)",
        "return x.copy_(torch.where(inside & found & coins(x, self.p), noise, x))",
        "Examples that are scored later have lost what was hidden in training.",
        (f"{HELD_OUT}[RandomErasing]",),
    ),
    Bug(
        "inputs mixed and labels not", "MixUp", "ftlib/strategies/mixing.py",
        '"pixels": mix(x, share), "labels": mix(y, share)}', '"pixels": mix(x, share), "labels": y}',
        "Half a cat is learnt as a whole one.",
        (
            f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",
            f"{MIXING}::test_pictures_and_labels_get_the_same_share",
        ),
    ),
    Bug(
        "another share for the labels", "MixUp", "ftlib/strategies/mixing.py",
        '"pixels": mix(x, share), "labels": mix(y, share)}', '"pixels": mix(x, share), "labels": mix(y, self.share())}',
        "Labels say another mixture than pictures show.",
        (f"{MIXING}::test_pictures_and_labels_get_the_same_share",),
    ),
    Bug(
        "half and half, always", "MixUp", "ftlib/strategies/mixing.py",
        "return float(torch.distributions.Beta(alpha, alpha).sample())", "return 0.5",
        "alpha does nothing.",
        (f"{MIXING}::test_the_share_has_the_mean_and_the_spread_of_beta",),
    ),
    Bug(
        "the share of the box that was asked for", "CutMix", "ftlib/strategies/mixing.py",
        "seen = 1 - (right - left) * (bottom - top) / (H * W)", "seen = share",
        "Where the rim has cut the box, labels give the other picture too much.",
        (
            f"{MIXING}::test_cutmix_counts_what_is_seen_where_the_rim_cuts_the_box",
            f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",
        ),
    ),
    Bug(
        "boxes moved and labels not", "CutMix", "ftlib/strategies/mixing.py",
        '"pixels": out, "labels": mix(y, seen)}', '"pixels": out, "labels": y}',
        "Half a cat is learnt as a whole one.",
        (
            f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",
            f"{MIXING}::test_cutmix_counts_what_is_seen_where_the_rim_cuts_the_box",
        ),
    ),
    Bug(
        "cut into the loader's own pictures", "CutMix", "ftlib/strategies/mixing.py",
        "        out = x.clone()\n", "        out = x\n",
        "Where the loader hands out its own tensor, pictures stay mixed under labels that do not say so.",
        (f"{HELD_OUT}[CutMix]",),
    ),
    Bug(
        "the share is a side", "CutMix", "ftlib/strategies/mixing.py",
        "half = x.shape[-2:], math.sqrt(1 - share) / 2", "half = x.shape[-2:], (1 - share) / 2",
        "Boxes are much smaller than λ says.",
        (f"{MIXING}::test_a_mixture_is_torchvisions_with_the_same_draws",),
    ),
    Bug(
        "pads of the partner", "EmbeddingMixup", "ftlib/strategies/mixing.py",
        "torch.maximum(mask, mask.roll(1, 0))", "mask",
        "What a longer sentence has more is mixed in and not seen.",
        (f"{MIXING}::test_embedded_words_are_mixed_with_the_share_of_the_labels",),
    ),
    Bug(
        "words mixed and labels not", "EmbeddingMixup", "ftlib/strategies/mixing.py",
        "target_loss(logits, mix(self.labels(batch), share))", "target_loss(logits, self.labels(batch))",
        "Half a sentence is learnt as a whole one.",
        (f"{MIXING}::test_embedded_words_are_mixed_with_the_share_of_the_labels",),
    ),
    Bug(
        "smoothed over too few classes", "LabelSmoothing", "ftlib/strategies/mixing.py",
        "self.epsilon / y.shape[1]", "self.epsilon / (y.shape[1] - 1)",
        "Labels add up to more than 1.",
        (f"{MIXING}::test_smoothing_is_torchs_own", f"{MIXING}::test_raters_that_disagree_can_be_smoothed_too"),
    ),
    Bug(
        "dropout in evaluation", "Dropout", "ftlib/strategies/regularisation.py",
        "else F.dropout(x, self.p, module.training)", "else F.dropout(x, self.p, True)",
        "Every prediction is another one.",
        (
            f"{REGULAR}::test_head_dropout_hides_p_of_the_features_and_keeps_their_mean", f"{HELD_OUT}[Dropout0]",
            f"{HELD_OUT}[Dropout1]",
        ),
    ),
    Bug(
        "stochastic depth in evaluation", "StochasticDepth", "ftlib/strategies/regularisation.py",
        'stochastic_depth(x, self.p, "row", module.training)', 'stochastic_depth(x, self.p, "row", True)',
        "Every prediction is that of another network.",
        (f"{HELD_OUT}[StochasticDepth]", f"{REGULAR}::test_a_skipped_branch_leaves_the_input_of_its_example_as_it_was"),
    ),
    Bug(
        "biases decay", "WeightDecay", "ftlib/strategies/regularisation.py",
        "if (p.ndim > 1) == decays]", 'if (p.ndim > 1 or name.endswith("bias")) == decays]',
        "Normalisations are spared by their size, biases are forgotten.",
        (
            f"{REGULAR}::test_what_does_not_decay_are_the_biases_and_the_normalisations_by_name",
            f"{REGULAR}::test_every_parameter_stays_in_one_group",
        ),
    ),
    Bug(
        "dropped twice", "Dropout", "ftlib/strategies/regularisation.py",
        "    take_away(module)\n    module.register", "    module.register",
        "A second phase, or a resumed run, hides twice as much.",
        (f"{REGULAR}::test_preparing_twice_drops_once",),
    ),
    Bug(
        "the network's own dropout not given back", "Dropout", "ftlib/training/restore.py",
        "            vars(module).update({k: v for k, v in values.items() if k in vars(module)})", "            pass",
        "What comes after trains with this strategy's dropout.",
        (f"{REGULAR}::test_dropout_of_the_networks_own_layers_is_set_for_training_and_given_back",),
    ),
    Bug(
        "all examples skip together", "StochasticDepth", "ftlib/strategies/regularisation.py",
        'stochastic_depth(x, self.p, "row", module.training)', 'stochastic_depth(x, self.p, "batch", module.training)',
        "One coin a batch: steps of networks of very different depth.",
        (f"{REGULAR}::test_a_skipped_branch_leaves_the_input_of_its_example_as_it_was",),
    ),
    Bug(
        "early branches skipped most", "StochasticDepth", "ftlib/strategies/regularisation.py",
        "self.p * (i + 1) / len(ends)", "self.p * (len(ends) - i) / len(ends)",
        "What all later layers build on is missing.",
        (f"{REGULAR}::test_deeper_branches_are_skipped_more_often_and_only_those_that_are_branches",),
    ),
    Bug(
        "normalisations and biases decay", "WeightDecay", "ftlib/strategies/regularisation.py",
        "if (p.ndim > 1) == decays]", "if decays]",
        "The scale of a normalisation shrinks to 0, where it deletes its feature.",
        (
            f"{REGULAR}::test_matrices_shrink_by_the_closed_form_and_vectors_do_not",
            f"{REGULAR}::test_every_parameter_stays_in_one_group",
        ),
    ),
    Bug(
        "old and new confused", "EMA", "ftlib/strategies/regularisation.py",
        "torch.lerp(self.average[name], t, share)", "torch.lerp(t, self.average[name], share)",
        "It remembers 5 % of the past where it should forget 5 %.",
        (f"{REGULAR}::test_ema_is_torchs_with_its_buffers",),
    ),
    Bug(
        "the pretrained weights are averaged in", "EMA", "ftlib/strategies/regularisation.py",
        "        if self.begun:\n            self.see(model, progress)\n", "        self.see(model, progress)\n",
        "The average starts where training has done nothing yet, and drags it along.",
        (f"{REGULAR}::test_ema_is_torchs_with_its_buffers",),
    ),
    Bug(
        "the average is made and not used", "EMA", "ftlib/strategies/regularisation.py",
        "            model.load_state_dict({**model.state_dict(), **self.average})\n", "",
        "The last weights are evaluated.",
        (f"{REGULAR}::test_ema_is_torchs_with_its_buffers",),
    ),
    Bug(
        "the average of the last phase goes on", "EMA", "ftlib/strategies/regularisation.py",
        "        Average.__post_init__(self)  #", "        #",
        "A second phase starts with weights of the first one in its average.",
        (f"{REGULAR}::test_a_later_phase_has_an_average_of_its_own",),
    ),
    Bug(
        "statistics of weights that nobody has", "SWA", "ftlib/strategies/regularisation.py",
        "            count_statistics(model, moving, loaders", "            dict(a=model, b=moving, c=loaders",
        "BatchNorm normalises by the statistics of the weights that were averaged away.",
        (
            f"{REGULAR}::test_swa_is_torchs_over_the_end_of_the_run_with_its_update_bn",
            f"{REGULAR}::test_the_statistics_of_averaged_weights_are_those_of_the_training_data",
        ),
    ),
    Bug(
        "the newest batches count most", "SWA", "ftlib/networks.py",
        "            m.momentum = None  #", "            pass  #",
        "The statistics are an average that forgets, and depend on the order of the batches.",
        (
            f"{REGULAR}::test_swa_is_torchs_over_the_end_of_the_run_with_its_update_bn",
            "test_networks.py::test_counted_statistics_are_the_mean_over_the_batches",
        ),
    ),
    Bug(
        "frozen statistics are counted anew", "SWA", "ftlib/strategies/regularisation.py",
        "self.moving = {name: m.training for name, m in batchnorms(model).items()}",
        "self.moving = {name: True for name, m in batchnorms(model).items()}",
        "Frozen stages change after all.",
        (f"{REGULAR}::test_what_is_frozen_stays_to_the_last_bit",),
    ),
    Bug(
        "averaged from the beginning", "SWA", "ftlib/strategies/regularisation.py",
        "1 / (self.points + 1) if progress >= self.start else 0.0", "1 / (self.points + 1)",
        "Weights on their way drag the mean back.",
        (f"{REGULAR}::test_swa_is_torchs_over_the_end_of_the_run_with_its_update_bn",),
    ),
    Bug(
        "mixed labels are counted twice", "MixUp", "ftlib/strategies/mixing.py",
        '"pixels": mix(x, share), "labels": mix(y, share)}',
        '"pixels": mix(x, share), "labels": mix(y, share), "n": {"loss": 2 * len(y)}}',
        "Two labels a row: half of the loss.",
        (f"{MIXED}[MixUp-1]", f"{MIXED}[MixUp-2]"),
    ),
    Bug(
        "smoothing adds instead of spreading", "LabelSmoothing", "ftlib/strategies/mixing.py",
        "(1 - self.epsilon) * y + self.epsilon / y.shape[1]", "y + self.epsilon / y.shape[1]",
        "A row's shares add up to more than 1.",
        (f"{MIXED}[LabelSmoothing-1]",),
    ),
    Bug(
        "the arm taken from the baseline", "widgets", "lessons/08_augmentation/widget_curves.py",
        "column, arm, baseline)", "column, baseline, arm)",
        "The sign of the difference is turned round.",
        (f"{CURVES_WORDS}::test_it_says_what_its_data_say[{TWO}]",),
    ),
    Bug(
        "the best loss is the highest", "widgets", "lessons/08_augmentation/widget_curves.py",
        "ends = [(min if low else max)", "ends = [max",
        "The words praise the worst step.",
        (
            f"{CURVES_WORDS}::test_it_says_what_its_data_say[{TWO}]",
            f"{CURVES_WORDS}::test_the_explorer_of_curves_knows_of_every_metric_which_way_is_better",
        ),
    ),
    Bug(
        "bounds for the mean", "widgets", "lessons/08_augmentation/widget_curves.py",
        "for i in (1, 2, 0)]  # low", "for i in (0, 2, 1)]  # low",
        "The thick line is the lower bound.",
        (f"{CURVES_WORDS}::test_it_says_what_its_data_say[{TWO}]",),
    ),
    Bug(
        "the other class's probability", "widgets", "lessons/08_augmentation/widget_samples.py",
        "(network: {100 * self.opinions[i]:.0f} %", "(network: {100 - 100 * self.opinions[i]:.0f} %",
        "The network seems to think the opposite.",
        (f"{SAMPLES_WORDS}::test_it_says_what_its_data_say[right]",),
    ),
    Bug(
        "hooks outlive the run", "Dropout", "ftlib/training/restore.py",
        "                now.clear()\n                now.update(before)\n", "                now.update(before)\n",
        "After Ctrl-C the model goes on dropping features.",
        (f"{RESTORE}::test_dropout_inside_is_the_models_own_again_after_ctrl_c",),
    ),
    Bug(
        "numbers of modules outlive the run", "Dropout", "ftlib/training/restore.py",
        "            vars(module).update({k: v for k, v in values.items() if k in vars(module)})", "            pass",
        "After Ctrl-C the model's own dropout keeps the probability of the run.",
        (f"{RESTORE}::test_dropout_inside_is_the_models_own_again_after_ctrl_c",),
    ),
    Bug(
        "SWA counts the source's statistics over the target's", "SWA", "ftlib/strategies/regularisation.py",
        "    exclusive = (*Average.exclusive, STATISTICS)\n", "",
        "After DANN the network is normalised by the source again.",
        (f"{PAIRS}::test_two_strategies[SWA-DANN]",),
    ),
]  # fmt: skip
