"""Bugs of the strategies of lesson 04_peft, and of what only it uses."""

from bug import Bug

GENERATION_WORDS = "lessons/04_peft/test_generation_words.py"
EXPLORER_WORDS = "lessons/04_peft/test_explorer_words.py"
CONTRACT = "test_contract.py"
PEFT = "strategies/test_peft.py"
PROMPTS = "strategies/test_prompts.py"
FOLDERS = "test_adapters.py"
BY_HAND = f"{PEFT}::test_twenty_steps_of_lora_by_hand_equal_those_of_peft"
STILL = f"{PEFT}::test_the_base_stands_still_to_the_last_bit_and_the_head_learns"
SECOND_PHASE = f"{PEFT}::test_a_second_phase_goes_on_with_what_was_learned"
TWO = "better and worse"
RESTORE = "test_restore.py"
ARGUMENTS = "test_arguments.py"
FROZE = f"{RESTORE}::test_what_a_run_froze_only_that_run_froze"

BUGS = [
    Bug(
        "B drawn at random", "LoRA", "ftlib/strategies/peft.py",
        'init_lora_weights="pissa" if self.variant == "pissa" else True', "init_lora_weights=False",
        "Training starts at another function than the pretrained one.",
        (BY_HAND, f"{CONTRACT}::TestEveryStrategy::test_starts_at_the_pretrained_function[LoRA]"),
    ),
    Bug(
        "alpha / r missing", "LoRA", "ftlib/strategies/peft.py",
        "lora_alpha=self.alpha", "lora_alpha=self.r",
        "The update is not scaled: alpha is accepted and does nothing.",
        (BY_HAND, f"{PEFT}::test_the_update_is_scale_times_b_a_and_of_rank_r"),
    ),
    Bug(
        "rsLoRA scaled as LoRA", "LoRA", "ftlib/strategies/peft.py",
        'use_rslora=self.variant == "rslora"', "use_rslora=False",
        "alpha / r instead of alpha / √r.",
        (f"{PEFT}::test_the_update_is_scale_times_b_a_and_of_rank_r[rslora]",),
    ),
    Bug(
        "DoRA without its magnitudes", "LoRA", "ftlib/strategies/peft.py",
        'use_dora=self.variant == "dora"', "use_dora=False",
        "The variant is accepted and does nothing.",
        (f"{PEFT}::test_dora_is_magnitude_times_direction",),
    ),
    Bug(
        "LoRA+ ignored", "LoRA", "ftlib/strategies/peft.py",
        'self.ratio * group["lr"]', 'group["lr"]',
        "B learns as fast as A.",
        (f"{PEFT}::test_lora_plus_lets_b_learn_faster_than_a",),
    ),
    Bug(
        "injected twice", "LoRA", "ftlib/strategies/peft.py",
        "    if not held:\n", "    if True:\n",
        "peft draws a learned adapter anew, with no more than a warning: a second phase forgets the first.",
        (SECOND_PHASE,),
    ),
    Bug(
        "the base is trained too", "Adapter", "ftlib/networks.py",
        "    model.stages.requires_grad_(False)\n", "",
        "Full fine-tuning with a few parameters more.",
        (STILL, SECOND_PHASE),
    ),
    Bug(
        "the fresh head is not trained", "LoRA", "ftlib/networks.py",
        'model.head.requires_grad_(getattr(model, "kind", None) != "lm")', "model.head.requires_grad_(False)",
        "The task is learned through a random head.",
        (STILL,),
    ),
    Bug(
        "statistics of the frozen base move", "IA3", "ftlib/strategies/peft.py",
        "        module.eval()\n", "        pass\n",
        "BatchNorm adapts to the task's batches: without the adapter the base is another network.",
        (STILL,),
    ),
    Bug(
        "IA3 behind the feed-forward part", "IA3", "ftlib/strategies/peft.py",
        "feedforward_modules=inputs", "feedforward_modules=[]",
        "It scales what the last matrix gives instead of what it reads.",
        (f"{PEFT}::test_ia3_scales_keys_values_and_the_inside_of_the_feed_forward_part",),
    ),
    Bug(
        "up-projection drawn at random", "Adapter", "ftlib/strategies/peft.py",
        "nn.init.zeros_(self.up.weight)", "nn.init.normal_(self.up.weight)",
        "Training starts at another function than the pretrained one.",
        (f"{CONTRACT}::TestEveryStrategy::test_starts_at_the_pretrained_function[Adapter]",),
    ),
    Bug(
        "bottleneck without its residual", "Adapter", "ftlib/strategies/peft.py",
        "return h + self.bottleneck(h)", "return self.bottleneck(h)",
        "The layer's own output is lost.",
        (f"{PEFT}::test_a_bottleneck_of_a_decoder_follows_its_layer_and_stays_before_the_last_norm",),
    ),
    Bug(
        "answers read at the prompt", "Prompt", "ftlib/strategies/prompts.py",
        "return h[:, count:]", "return h[:, :-count]",
        "Labels meet the logits of other tokens.",
        (f"{PROMPTS}::test_on_a_decoder_a_prompt_is_pefts",),
    ),
    Bug(
        "prompt masked out", "Prompt", "ftlib/strategies/prompts.py",
        "(count, 0), value=1)", "(count, 0), value=0)",
        "An encoder's tokens do not see the prompt: it learns nothing.",
        (f"{PROMPTS}::test_an_encoder_sees_what_stands_before_its_text",),
    ),
    Bug(
        "keys taken for values", "Prefix", "ftlib/strategies/prompts.py",
        "for t in (k, v))", "for t in (v, k))",
        "Tokens attend by what they should read.",
        (f"{PROMPTS}::test_on_a_decoder_a_prefix_is_pefts",),
    ),
    Bug(
        "a prefix that sees the future", "Prefix", "ftlib/models/text.py",
        ".tril(past)", "",
        "Behind a prefix every token sees those that it should predict.",
        (f"{PROMPTS}::test_on_a_decoder_a_prefix_is_pefts",),
    ),
    Bug(
        "merged twice", "LoRA", "ftlib/models/adapters.py",
        "    active_adapter(model)\n    _unmerged(model)\n    for", "    active_adapter(model)\n    for",
        "The second call is taken without a word.",
        (f"{FOLDERS}::test_merging_twice_is_an_error_and_changes_nothing",),
    ),
    Bug(
        "an adapter of another base taken", "LoRA", "ftlib/models/adapters.py",
        "    if wrong or not got:\n", "    if False:\n",
        "peft passes over tensors that fit nowhere: the adapter is there and untrained.",
        (f"{FOLDERS}::test_an_adapter_of_another_base_is_refused_with_what_does_not_fit",),
    ),
    Bug(
        "the head stays behind", "LoRA", "ftlib/models/adapters.py",
        '    if model.kind != "lm":\n', "    if False:\n",
        "The folder holds the adapter, and a random head answers.",
        (f"{FOLDERS}::test_an_adapter_survives_its_folder_head_included",),
    ),
    Bug(
        "one direction too few", "widgets", "lessons/04_peft/widget_explorer.py",
        "rank {rank} keeps {100 * kept[rank - 1]:.0f} %", "rank {rank} keeps {100 * kept[rank - 2]:.0f} %",
        "The energy is that of the rank before.",
        (f"{EXPLORER_WORDS}::test_it_says_what_its_data_say[{TWO}]",),
    ),
    Bug(
        "one pair is called all", "widgets", "lessons/04_peft/widget_generation.py",
        "if len(groups) == 1:", "if len(groups) <= 2:",
        "Two models of three agree, and the words say all do.",
        (f"{GENERATION_WORDS}::test_it_says_what_its_data_say[odd marks]",),
    ),
    Bug(
        "a module is hidden by the value that it replaced", "Prompt", "ftlib/training/restore.py",
        "for k, v in values.items() if k in vars(module)}", "for k, v in values.items()}",
        "The learned prompt is there, but no longer read.",
        (f"{FROZE}[Prompt]",),
    ),
    Bug(
        "a misspelt knob is a text for Python's error", "LoRA", "ftlib/strategy.py",
        "        check_knobs(cls, values, knobs)\n", "",
        "LoRA(rank=4) says 'unexpected keyword argument', LoRA(r='4') fails in the middle of training.",
        (
            f"{ARGUMENTS}::test_knobs_of_the_wrong_kind",
            f"{ARGUMENTS}::test_a_knob_that_does_not_exist_is_named_with_the_nearest",
        ),
    ),
]  # fmt: skip
