"""Bugs of the tasks: splits, corruptions, data that are damaged."""

from bug import Bug

TASKS = "test_tasks.py"
DAMAGED = "test_tasks.py::test_a_damaged_picture_cache_is_made_anew"
CUT = f"{TASKS}::test_texts_that_lose_their_end_are_counted_and_said_once"
MISTAKE = "test_tasks.py::test_a_mistake_gets_one_clear_sentence"
LABELS = "test_tasks.py::test_a_split_checks_its_labels"
CHAT = "test_chat.py"
OWN, OWN_IMAGES, OWN_TABLES = "test_own_data.py", "test_own_images.py", "test_own_tables.py"
QUESTIONS, SEQUENCES = "test_questions.py", "test_sequences.py"
SAME_EXAMPLES = f"{QUESTIONS}::test_a_question_has_the_examples_of_its_base_and_the_labels_of_its_column"
PERMUTED = f"{QUESTIONS}::test_permuted_labels_are_permuted_in_train_alone"
TURN = f"{CHAT}::test_a_training_row_begins_as_what_generate_reads_and_ends_as_the_template_does"

BUGS = [
    Bug(
        "one noise for all pictures", "tasks", "ftlib/tasks/corruptions.py",
        "torch.Generator().manual_seed(int(i))", "torch.Generator().manual_seed(0)",
        "A network can learn the noise and subtract it.",
        ("test_corruptions.py::test_a_cell_has_its_own_noise_whatever_else_is_loaded",),
    ),
    Bug(
        "a solar module on both sides of a split", "tasks", "ftlib/tasks/elpv.py",
        "rows = group_stratified_split(module, defective,",
        "rows = group_stratified_split(np.arange(len(p)), defective,",
        "Cells of one module are learnt from and tested: the score is too good.",
        ("test_tasks.py::test_splits_are_apart_and_as_large_as_promised[elpv-options0]",),
    ),
    Bug(
        "a review on both sides of a split", "tasks", "ftlib/tasks/sentiment.py",
        'own = row["review"] in ("", row["id"])', "own = True",
        "Sentences of one review are learnt from and tested.",
        ("test_tasks.py::test_equal_tweets_and_sentences_of_a_review_stay_together",),
    ),
    Bug(
        "the seed is no part of the split", "tasks", "ftlib/tasks/splits.py",
        "np.random.default_rng([seed, domain])", "np.random.default_rng([0, domain])",
        "Every seed has the same split, so that intervals say nothing about other data.",
        ("test_tasks.py::test_elpv_block_splits_are_even[0]",),
    ),
    Bug(
        "subsets are not nested", "tasks", "ftlib/tasks/splits.py",
        "stratified_order(strata, np.random.default_rng([seed, SUBSET]))",
        "stratified_order(strata, np.random.default_rng([seed, n]))",
        "A sweep over the number of examples compares other examples, not more.",
        ("test_tasks.py::test_smaller_subsets_are_nested_and_stratified[digits/mnist]",),
    ),
    Bug(
        "as many of every class", "tasks", "ftlib/tasks/splits.py",
        "np.flatnonzero(labels == k))[:count]", "np.flatnonzero(labels == k))[: max(counts)]",
        "A shift of the shares of the classes is none.",
        ("test_tasks.py::test_so_many_of_each_class_can_be_asked_for_and_only_training_changes",),
    ),
    Bug(
        "not shuffled", "tasks", "ftlib/tasks/task.py",
        "drawn = generator if shuffle else None", "drawn = None",
        "Training sees the rows in the order of the file, one class after the other.",
        ("test_tasks.py::test_the_generator_may_be_seeded_anew[elpv/mono]",),
    ),
    Bug(
        "validation images augmented", "tasks", "ftlib/tasks/task.py",
        ".float().div_(255)  #", ".float().div_(255).flip(-1 if torch.rand(()) < 0.5 else -2)  #",
        "Pictures are flipped at random in every split: validation is another question each time.",
        ("test_tasks.py::test_validation_pictures_are_the_stored_ones_each_time",),
    ),
    Bug(
        "pixels in 0..255", "tasks", "ftlib/tasks/task.py",
        ".float().div_(255)  #", ".float()  #",
        "The model normalises pixels that are 255 times too bright.",
        ("test_tasks.py::test_image_batches[digits/mnist-28]",),
    ),
    Bug(
        "labels not shifted", "tasks", "ftlib/tasks/instructions.py",
        'prompt + counted[:-1])  # (T,)\n        rows["labels"].append([IGNORED] * (len(prompt) - 1) + counted)',
        'prompt + counted)  # (T,)\n        rows["labels"].append([IGNORED] * len(prompt) + counted)',
        "The language model learns to repeat the token that it reads.",
        ("test_tasks.py::test_instructions_count_the_answer_and_the_end_of_turn_only",),
    ),
    Bug(
        "the question is counted", "tasks", "ftlib/tasks/instructions.py",
        "[IGNORED] * (len(prompt) - 1) + counted", "prompt[1:] + counted",
        "Most of the loss is about writing our own question.",
        ("test_tasks.py::test_instructions_count_the_answer_and_the_end_of_turn_only",),
    ),
    Bug(
        "readings of the test split not counted", "tasks", "ftlib/tasks/task.py",
        "started=lambda: self.reads.update([split])", "started=lambda: None",
        "Nobody notices that a run looks at the test split again and again.",
        ("test_tasks.py::test_passes_over_a_split_are_counted",),
    ),
    Bug(
        "a difference of bytes", "tasks", "ftlib/tasks/digits.py",
        ".transpose(2, 0, 1).astype(int)  #", ".transpose(2, 0, 1)  #",
        "Below 0 it begins again at 255: the digits are drawn in noise.",
        ("test_tasks.py::test_digits_over_photographs_are_the_same_digits_and_the_same_everywhere",),
    ),
    Bug(
        "float pixels divided again", "tasks", "ftlib/tasks/task.py",
        'if "pixels" in batch and not batch["pixels"].is_floating_point():', 'if "pixels" in batch:',
        "Pixels that lie in 0..1 already become 255 times too dark.",
        (f"{TASKS}::test_float_pixels_in_0_to_1_are_taken_as_they_are",),
    ),
    Bug(
        "float pixels not bounded", "tasks", "ftlib/tasks/checks.py",
        "good = ((pixels >= 0) & (pixels <= 1))", "good = (pixels >= 0)",
        "Floats in 0..255 reach the network as they are.",
        (f"{TASKS}::test_other_pixels_are_refused[inputs0-in 0..1, but image 2 holds 255]",),
    ),
    Bug(
        "labels of another kind kept", "tasks", "ftlib/tasks/checks.py",
        "labels.float() if labels.is_floating_point() else labels.long()", "labels",
        "Cross-entropy refuses int16, int32 and bool after training has begun.",
        (
            f"{TASKS}::test_class_numbers_of_every_kind_are_taken[torch.int16]",
            f"{TASKS}::test_class_numbers_of_every_kind_are_taken[torch.bool]",
        ),
    ),
    Bug(
        "the wrong row named", "tasks", "ftlib/tasks/checks.py",
        "row = int((~good).nonzero()[0])\n            seen", "row = int(good.nonzero()[0])\n            seen",
        "The sentence points at a label that is right.",
        (f"{LABELS}[labels0-2-whole number from 0 to 1 an example, got 2 in row 2]",),
    ),
    Bug(
        "cut texts not counted", "tasks", "ftlib/tasks/task.py",
        "if not self.encode:", "if self.encode:",
        "Texts lose their end without a word.",
        (CUT,),
    ),
    Bug(
        "full texts counted as cut", "tasks", "ftlib/tasks/checks.py",
        "if len(ids) > len(rows[i])]", "if len(ids) >= len(rows[i])]",
        "A text that just fits is said to have lost its end.",
        (f"{TASKS}::test_a_text_that_just_fits_is_not_cut",),
    ),
    Bug(
        "a length of 0 is the default", "tasks", "ftlib/tasks/task.py",
        "length = self.max_length if max_length is None else whole", "length = max_length or self.max_length or whole",
        "max_length=0 and max_length=-3 get past: the one is the default, the other a raw error.",
        (f"{TASKS}::test_loaders_refuse_what_they_cannot_do",),
    ),
    Bug(
        "missing classes looked for in training only", "tasks", "ftlib/tasks/task.py",
        'if name != "train":', 'if name == "train":',
        "A validation split without a class goes unnoticed, and a small n is complained of.",
        (f"{TASKS}::test_a_class_that_a_measuring_split_lacks_is_said",),
    ),
    Bug(
        "missing classes not looked for in a part", "tasks", "ftlib/tasks/__init__.py",
        "        task.say_lacking()\n", "",
        "held_out leaves classes out, and nobody hears of it.",
        (f"{TASKS}::test_rare_classes_are_looked_for_in_loaded_tasks",),
    ),
    Bug(
        "True is a whole number", "tasks", "ftlib/io/refusals.py",
        "operator.index(value) if not isinstance(value, bool) else None", "operator.index(value)",
        "seed=True is seed 1.",
        (f"{TASKS}::test_loaders_refuse_what_they_cannot_do",),
    ),
    Bug(
        "no largest number", "tasks", "ftlib/io/refusals.py",
        "or (most is not None and found > most)", "",
        "size=10000 asks for 262 GB.",
        (f"{MISTAKE}[call58-size must be a whole number from 8 to 512 pixels, not 10000]",),
    ),
    Bug(
        "the digest not compared", "assets", "ftlib/tasks/elpv.py",
        "return content if hashlib.sha256(content).hexdigest() == digest else None", "return content",
        "Damaged pictures of the right size are learnt from.",
        (f"{DAMAGED}[all black]", f"{DAMAGED}[one bit]"),
    ),
    Bug(
        "damaged originals decoded", "assets", "ftlib/tasks/elpv.py",
        'assets.path("elpv", thorough=True)', 'assets.path("elpv")',
        "A flipped byte of a picture goes into the cache, with a digest that calls it sound.",
        (f"{TASKS}::test_pictures_are_decoded_of_sound_files_only",),
    ),
    Bug(
        "the template trims in generation only", "chat", "ftlib/tasks/instructions.py",
        "prompt_text(tokenizer, prompt) for", 'prompt_text(tokenizer, "§").replace("§", prompt) for',
        "A prompt that begins with a space is trained on other tokens than it is asked with.",
        (TURN,),
    ),
    Bug(
        "a duplicate on both sides", "tasks", "ftlib/tasks/own.py",
        'keys = [("content", key) for key in row.content]', "keys = []",
        "A copy of a training image is tested: the score is too good.",
        (f"{OWN}::test_groups_and_duplicates_never_have_two_sides", f"{OWN_TABLES}::test_duplicates_are_on_one_side"),
    ),
    Bug(
        "a patient on both sides", "tasks", "ftlib/tasks/own.py",
        '([("group", row.group)] if row.group else [])', "[]",
        "Images of one patient are learned from and tested.",
        (f"{OWN}::test_groups_and_duplicates_never_have_two_sides",),
    ),
    Bug(
        "files in the order of the disk", "tasks", "ftlib/tasks/folder.py",
        'files = sorted(walk(place), key=lambda file: (unicodedata.normalize("NFC", file), file))',
        "files = walk(place)",
        "A seed gives another split on another computer.",
        (f"{OWN}::test_a_seed_gives_the_same_split_in_another_process_and_whatever_the_folder_order",),
    ),
    Bug(
        "bright 16-bit images are white", "tasks", "ftlib/models/pixels.py",
        "1 / DEEP if top <= 65535", "1.0 if top <= 65535",
        "All values above 255 become white, as Pillow's own conversion does.",
        (f"{OWN_IMAGES}::test_each_mode_is_read_as_people_see_it[16 bits]",),
    ),
    Bug(
        "photographs lie on their side", "tasks", "ftlib/tasks/images.py",
        "return ImageOps.exif_transpose(image)", "return image",
        "Most photographs of telephones are turned by their EXIF data only.",
        (f"{OWN_IMAGES}::test_the_camera_may_be_turned",),
    ),
    Bug(
        "bad rows vanish", "tasks", "ftlib/tasks/table.py",
        "            report.leave_out(row, *problem)", "            pass",
        "Rows without a text are dropped in silence.",
        (f"{OWN_TABLES}::test_bad_rows_are_counted_and_shown_with_their_lines",),
    ),
    Bug(
        "earlier turns are lost", "tasks", "ftlib/tasks/chats.py",
        "turns = [row.inputs[:-1] for row in rows]", "turns = [row.inputs[-2:-1] for row in rows]",
        "A model answers the last question without what was said before.",
        (f"{OWN_TABLES}::test_the_loss_counts_the_last_answer_and_the_end_of_its_turn",),
    ),
    Bug(
        "the main task's labels under the question's name", "questions", "ftlib/tasks/questions.py",
        "labels=part.columns[which], classes=len(labels) or 1",
        "labels=part.labels, classes=part.classes",
        "Two heads learn the same task, and the second is scored on the first one's labels.",
        (SAME_EXAMPLES, f"{OWN_TABLES}::test_two_columns_of_labels_are_two_tasks_of_the_same_rows"),
    ),
    Bug(
        "a question splits its examples otherwise", "questions", "ftlib/tasks/__init__.py",
        "module.load(domain or None, seed=seed, n=", "module.load(domain or None, seed=seed + bool(asked), n=",
        "What the second head is tested on, the network has seen while it trained the first.",
        (SAME_EXAMPLES,),
    ),
    Bug(
        "permuted labels in validation too", "questions", "ftlib/tasks/questions.py",
        '            if name == "train":\n', "            if name:\n",
        "The control is scored on labels that mean nothing, so its curve says nothing.",
        (PERMUTED,),
    ),
    Bug(
        "all questions permuted alike", "questions", "ftlib/tasks/questions.py",
        "[seed, DRAW, crc32(which.encode())]", "[seed, DRAW]",
        "Two permuted questions still predict each other.",
        (PERMUTED,),
    ),
    Bug(
        "a permutation for all seeds", "questions", "ftlib/tasks/questions.py",
        "[seed, DRAW, crc32(which.encode())]", "[0, DRAW, crc32(which.encode())]",
        "The interval of a control leaves out how its labels were drawn.",
        (f"{QUESTIONS}::test_permutations_follow_the_seed_and_a_control_may_be_asked_by_its_name",),
    ),
    Bug(
        "a batch tells its portion", "questions", "ftlib/tasks/task.py",
        "data = Batches(columns, tokens, lengths, self.head)", "data = Batches(columns, tokens, lengths, self.name)",
        "In class-incremental learning the network may read which classes are meant.",
        ("test_portions.py::test_only_a_portion_that_is_told_says_which_answers_are_allowed",),
    ),
    Bug(
        "a question is read for its base", "questions", "ftlib/tasks/questions.py",
        "metric=metric, splits=splits, reads=Counter(),", "metric=metric, splits=splits,",
        "A run that tests two questions once each is refused, as if it had read the test split twice.",
        (f"{SEQUENCES}::test_questions_of_one_task_share_their_examples_and_count_their_reads",),
    ),
    Bug(
        "tested again as a control", "questions", "ftlib/evidence/spec.py",
        "tasks.cut_name(tasks.without_control(task))[0]", "tasks.cut_name(task)[0]",
        "The test labels of one task are read under two names.",
        (f"{SEQUENCES}::test_each_question_is_tested_once_and_nothing_is_learned_from_it",),
    ),
    Bug(
        "rows that lack a second label", "questions", "ftlib/tasks/labels.py",
        'return f"missing {column}", f"missing label in column {column!r}"', 'value = "none"',
        "A class of its own is made of what nobody has labelled.",
        (f"{OWN_TABLES}::test_a_row_that_lacks_one_of_its_labels_is_left_out_of_all_tasks",),
    ),
    Bug(
        "an error that falls is a loss", "metrics", "ftlib/metrics.py",
        "{task: -1 if task in lower else 1 for task in scores}", "dict.fromkeys(scores, 1)",
        "A task that got better makes the multi-task model look worse.",
        ("test_metrics.py::test_delta_m_by_hand",),
    ),
]  # fmt: skip
