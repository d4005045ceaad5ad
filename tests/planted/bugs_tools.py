"""Bugs of the exports to other tools."""

from bug import Bug

TOOLS = "test_tools.py"
FOLDER = "test_tools_folder.py"
IMPORTING = "test_tools_importing.py"
FAULT = f"{IMPORTING}::test_a_fault_is_a_sentence_and_nothing_is_written"
RECIPES = "test_tools_recipes.py"
SAME_TEXT = f"{TOOLS}::test_a_row_is_what_the_models_own_template_writes"

BUGS = [
    Bug(
        "a column that is not registered", "tools", "ftlib/tools/llama_factory.py",
        '"columns": {"messages": "messages"}', '"columns": {}',
        "Once an entry has columns, LLaMA-Factory reads each unnamed one as None.",
        (f"{TOOLS}::test_llama_factory_reads_every_column_since_an_unnamed_one_is_none",),
    ),
    Bug(
        "a head that stands still", "tools", "ftlib/tools/llama_factory.py",
        'found |= {"freeze_extra_modules": made.base.head} if made.base.head else {}', "pass",
        "Beside frozen layers the kit trains a head of its own, which can hold most of the trained weights.",
        (f"{FOLDER}::test_frozen_layers_leave_the_same_weights_to_learn",),
    ),
    Bug(
        "an alpha that is rounded", "tools", "ftlib/tools/recipes.py",
        'if lora["alpha"] != int(lora["alpha"]):', "if False:",
        "An alpha of 0.5 becomes 0, and nothing is learned.",
        (f"{RECIPES}::test_a_tool_with_whole_numbers_for_alpha_refuses_another_one",),
    ),
    Bug(
        "parts that are built one by one", "tools", "ftlib/tools/recipes.py",
        "strategies.build(phase.strategy)  # knobs", "# knobs",
        "Of two schedules one vanishes, and the export says nothing.",
        (f"{RECIPES}::test_a_combination_that_the_kit_or_a_tool_cannot_do_is_refused",),
    ),
    Bug(
        "a target domain with its labels", "tools", "ftlib/tools/recipes.py",
        "for loader in phase.data if loader in ASIDE]", "for loader in phase.data if loader in ()]",
        "Examples that the kit reads without labels become training data.",
        (f"{RECIPES}::test_examples_that_the_kit_reads_without_labels_are_not_exported_with_them",),
    ),
    Bug(
        "a weight of no data set", "tools", "ftlib/tools/recipes.py", "if unread:", "if False:",
        "A misspelt name counts as 1.",
        (f"{RECIPES}::test_a_weight_is_of_a_loader_or_of_a_task_of_the_phase",),
    ),
    Bug(
        "a data set written over another", "tools", "ftlib/tools/rows.py",
        "if f.lower() not in taken)", "if f not in files)",
        "On some disks A and a are one file, and dataset_info.json is LLaMA-Factory's own.",
        (f"{RECIPES}::test_files_of_data_sets_have_names_of_their_own",),
    ),
    Bug(
        "an arm of two lines", "tools", "ftlib/tools/recipes.py",
        'name = " ".join("".join(c if c.isprintable() else " " for c in spec.arm).split())', "name = spec.arm",
        "The second line of the name stands in a script as code.",
        (f"{RECIPES}::test_an_arm_of_any_name_gives_files_that_parse",),
    ),
    Bug(
        "layers that are called otherwise", "tools", "ftlib/tools/base.py",
        'if not key.endswith(".weight") or', 'if not key.endswith("_proj.weight") or',
        "Phi has dense, fc1 and fc2, and GPT-NeoX has no _proj at all.",
        (f"{FOLDER}::test_linear_layers_are_found_whatever_they_are_called",),
    ),
    Bug(
        "angles of whole heads", "tools", "ftlib/tools/base.py",
        'plain |= {"partial_rotary_factor": part,', 'plain |= {"partial": part,',
        "transformers 4 turns half of a head of Phi whatever part was turned in training.",
        (f"{FOLDER}::test_angles_of_a_part_of_each_head_stay_a_part",),
    ),
    Bug(
        "weights that are links", "tools", "ftlib/tools/base.py",
        "shutil.copyfile(file, target / file.name)", "(target / file.name).hardlink_to(file.resolve())",
        "A tool that saves into the folder writes over the model that it was made of.",
        (f"{FOLDER}::test_the_weights_are_a_copy",),
    ),
    Bug(
        "a key that only some messages have", "tools", "ftlib/tools/xtuner.py",
        '"content": text, "loss": k == last}', '"content": text, **({"loss": True} if k == last else {})}',
        "datasets fills the gap with None, and XTuner reads a loss of None as false.",
        (f"{TOOLS}::test_every_record_of_a_file_has_the_same_keys",),
    ),
    Bug(
        "a chat without its system text", "tools", "ftlib/tools/rows.py",
        'turns = row = [("system", base.markup.default_system), *turns]', "pass",
        "Each tool then writes a default of its own: LLaMA-Factory's has one full stop more.",
        (f"{TOOLS}::test_each_chat_holds_its_system_text_and_no_template_of_the_tool_has_a_say",),
    ),
    Bug(
        "the first token twice", "tools", "ftlib/tools/xtuner.py",
        "markup.system[0].removeprefix(markup.bos)", "markup.system[0]",
        "XTuner puts the first token in front of a row, where the template has written it already.",
        (f"{SAME_TEXT}[xtuner]", f"{TOOLS}::test_xtuner_takes_the_first_token_off_a_longer_beginning_too"),
    ),
    Bug(
        "the first token twice, unsloth", "tools", "ftlib/tools/unsloth.py",
        "return text.removeprefix(bos) if adds else text", "return text",
        "The template writes the first token and the tokenizer adds another.",
        (f"{TOOLS}::test_unsloths_script_takes_off_a_first_token_that_the_tokenizer_adds",),
    ),
    Bug(
        "a warmup of one step", "tools", "ftlib/tools/recipes.py",
        '"warmup": warmup if warmup >= FEWEST else 0', '"warmup": warmup',
        "transformers trains its first step at rate 0, and XTuner's rate stays near 0 for the whole run.",
        (f"{TOOLS}::test_a_warmup_of_one_step_is_left_out_and_said",),
    ),
    Bug(
        "a rate that is a text", "tools", "ftlib/tools/llama_factory.py",
        "mantissa if '.' in mantissa else mantissa + '.0'", "mantissa",
        "YAML 1.1 reads 1e-05 as a text, since it has no point.",
        (f"{TOOLS}::test_numbers_and_words_keep_their_type_in_yaml",),
    ),
    Bug(
        "steps for batches", "tools", "ftlib/tools/xtuner.py",
        "end, warm = stage.steps * stage.accumulate,", "end, warm = stage.steps,",
        "XTuner counts batches, so with accumulation it would stop early.",
        (f"{TOOLS}::test_xtuner_counts_batches_and_converts_the_checkpoint_that_is_written",),
    ),
    Bug(
        "an exit status that says nothing", "tools", "ftlib/tools/xtuner.py",
        'if not (Path(folder) / f"iter_{{batches}}.pth").is_file():', "if False:",
        "`xtuner train` ends with 0 after an error, and the next command goes on with an old file.",
        (f"{TOOLS}::test_xtuners_launcher_fails_where_no_checkpoint_was_written",),
    ),
    Bug(
        "a conversion whose exit status says nothing", "tools", "ftlib/tools/xtuner.py",
        'if not list(folder.glob("*.safetensors")):', "if False:",
        "`xtuner convert` ends with 0 after an error too.",
        (f"{TOOLS}::test_xtuners_conversion_fails_where_no_weights_were_written",),
    ),
    Bug(
        "angles that transformers 4 doesn't find", "tools", "ftlib/tools/base.py",
        'plain["rope_theta"] = rope.get("rope_theta", config.get("rope_theta", 10000.0))', "pass",
        "A folder of transformers 5 is read by transformers 4 with a rope_theta of 10,000, without a word.",
        (f"{FOLDER}::test_the_angle_stands_where_transformers_4_looks_for_it",),
    ),
    Bug(
        "all answers of a chat are trained", "tools", "ftlib/tools/llama_factory.py",
        'found["mask_history"] = True', 'found["mask_history"] = False',
        "The kit's loss counts the last answer of a chat.",
        (f"{TOOLS}::test_the_loss_is_that_of_the_kit_where_the_tool_can_be_told",),
    ),
    Bug(
        "xTuring's names as they are", "tools", "ftlib/tools/importing.py",
        'return {key if key.startswith(PREFIX) else f"base_model.{key}": tensor for key, tensor in tensors.items()}',
        "return tensors",
        "peft passes over every one of its tensors, and the adapter does nothing.",
        (f"{IMPORTING}::test_a_result_becomes_a_folder_that_plain_peft_reads_whole[xturing]",),
    ),
    Bug(
        "a key that nobody knows", "tools", "ftlib/tools/importing.py", "if k not in known and v}", "if False}",
        "peft leaves it out with a warning, and computes something else than the tool did.",
        (f"{FAULT}[unknown key]",),
    ),
    Bug(
        "an adapter of zeros", "tools", "ftlib/tools/importing.py",
        'if not any(tensor.any() for key, tensor in tensors.items() if ".lora_B." in key):', "if False:",
        "It loads, and nobody says why nothing has changed.",
        (f"{FAULT}[zeros]",),
    ),
    Bug(
        "a layer without its tensors", "tools", "ftlib/tools/importing.py", "if missing:", "if False:",
        "A half-written file is read as an adapter of fewer layers.",
        (f"{FAULT}[missing layer]",),
    ),
    Bug(
        "logits that stay", "tools", "ftlib/tools/importing.py", "if not moved > 0:", "if False:",
        "An adapter that loads and does nothing is taken for a result.",
        (f"{IMPORTING}::test_an_adapter_that_moves_no_logit_is_refused",),
    ),
    Bug(
        "a pickle that may run anything", "tools", "ftlib/tools/importing.py",
        "weights_only=True", "weights_only=False",
        "A folder from somewhere else can run code on this computer.",
        (f"{IMPORTING}::test_only_tensors_are_read_of_a_pickle",),
    ),
    Bug(
        "the ninth phase for the tenth", "tools", "ftlib/tools/importing.py",
        "key=lambda f: int(f.name)", "key=lambda f: f.name",
        "Folders sorted as texts put 10 before 9.",
        (f"{IMPORTING}::test_the_last_phase_is_taken_and_ten_comes_behind_nine",),
    ),
]  # fmt: skip
