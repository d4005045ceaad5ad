"""Bugs planted into the data, the tasks and the assets: what is taken though it is damaged, or lost without a word."""

from bugs import Bug

TASKS, ASSETS, DAMAGED = "test_tasks.py", "test_assets.py", "test_tasks.py::test_a_damaged_picture_cache_is_made_anew"
CUT = f"{TASKS}::test_texts_that_lose_their_end_are_counted_and_said_once"
MISTAKE, LABELS = f"{TASKS}::test_a_mistake_gets_one_clear_sentence", f"{TASKS}::test_a_split_checks_its_labels"
CHECKS = "tasks/checks.py"

BUGS = [
    Bug(
        "float pixels divided again", "tasks", "tasks/task.py",
        'if "pixels" in batch and not batch["pixels"].is_floating_point():', 'if "pixels" in batch:',
        "Pixels that lie in 0..1 already become 255 times too dark.",
        (f"{TASKS}::test_float_pixels_in_0_to_1_are_taken_as_they_are",),
    ),
    Bug(
        "float pixels not bounded", "tasks", CHECKS,
        "good = ((pixels >= 0) & (pixels <= 1))", "good = (pixels >= 0)",
        "Floats in 0..255 reach the network as they are.",
        (f"{TASKS}::test_other_pixels_are_refused[inputs0-in 0..1, but image 2 holds 255]",),
    ),
    Bug(
        "labels of another kind kept", "tasks", CHECKS,
        "labels.float() if labels.is_floating_point() else labels.long()", "labels",
        "Cross-entropy refuses int16, int32 and bool after training has begun.",
        (f"{TASKS}::test_class_numbers_of_every_kind_are_taken[torch.int16]",
         f"{TASKS}::test_class_numbers_of_every_kind_are_taken[torch.bool]"),
    ),
    Bug(
        "the wrong row named", "tasks", CHECKS,
        "row = int((~good).nonzero()[0])\n            seen", "row = int(good.nonzero()[0])\n            seen",
        "The sentence points at a label that is right.",
        (f"{LABELS}[labels0-2-whole number from 0 to 1 an example, got 2 in row 2]",),
    ),
    Bug(
        "cut texts not counted", "tasks", "tasks/task.py",
        "if not self.encode:", "if self.encode:",
        "Texts lose their end without a word.",
        (CUT,),
    ),
    Bug(
        "full texts counted as cut", "tasks", CHECKS,
        "if len(ids) > len(rows[i])]", "if len(ids) >= len(rows[i])]",
        "A text that just fits is said to have lost its end.",
        (f"{TASKS}::test_a_text_that_just_fits_is_not_cut",),
    ),
    Bug(
        "a length of 0 is the default", "tasks", "tasks/task.py",
        "length = self.max_length if max_length is None else whole", "length = max_length or self.max_length or whole",
        "max_length=0 and max_length=-3 get past: the one is the default, the other a raw error.",
        (f"{TASKS}::test_loaders_refuse_what_they_cannot_do",),
    ),
    Bug(
        "missing classes looked for in training only", "tasks", "tasks/task.py",
        'if name != "train":', 'if name == "train":',
        "A validation split without a class goes unnoticed, and a small n is complained of.",
        (f"{TASKS}::test_a_class_that_a_measuring_split_lacks_is_said",),
    ),
    Bug(
        "missing classes not looked for in a part", "tasks", "tasks/__init__.py",
        "        task.say_lacking()\n", "",
        "held_out leaves classes out, and nobody hears of it.",
        (f"{TASKS}::test_rare_classes_are_looked_for_in_loaded_tasks",),
    ),
    Bug(
        "True is a whole number", "tasks", "refusals.py",
        "operator.index(value) if not isinstance(value, bool) else None", "operator.index(value)",
        "seed=True is seed 1.",
        (f"{TASKS}::test_loaders_refuse_what_they_cannot_do",),
    ),
    Bug(
        "no largest number", "tasks", "refusals.py",
        "or (most is not None and found > most)", "",
        "size=10000 asks for 262 GB.",
        (f"{MISTAKE}[call57-size must be a whole number from 8 to 512 pixels, not 10000]",),
    ),
    Bug(
        "the digest not compared", "assets", "tasks/elpv.py",
        "return content if hashlib.sha256(content).hexdigest() == digest else None", "return content",
        "Damaged pictures of the right size are learnt from.",
        (f"{DAMAGED}[all black]", f"{DAMAGED}[one bit]"),
    ),
    Bug(
        "damaged originals decoded", "assets", "tasks/elpv.py",
        'assets.path("elpv", thorough=True)', 'assets.path("elpv")',
        "A flipped byte of a picture goes into the cache, with a digest that calls it sound.",
        (f"{TASKS}::test_pictures_are_decoded_of_sound_files_only",),
    ),
    Bug(
        "small assets not hashed", "assets", "assets.py",
        'thorough = thorough or sum(size for size, _ in stamp["files"].values()) <= CHEAP\n', "pass\n",
        "A flipped byte of weights loads, and the doctor says ready.",
        (f"{ASSETS}::test_a_changed_byte_of_a_small_asset_is_found_at_each_look",),
    ),
    Bug(
        "doctor --check does not hash", "doctor", "doctor.py",
        "assets.problem_with(name, thorough=thorough)", "assets.problem_with(name)",
        "The doctor calls damaged weights ready, though it was asked to look at each byte.",
        (f"{ASSETS}::test_a_changed_byte_is_found_by_a_thorough_check",),
    ),
    Bug(
        "nothing swept", "assets", "assets.py",
        "    sweep(base)\n    prefix", "    prefix",
        "What a killed process left beside wheels and caches stays for good.",
        (f"{ASSETS}::test_what_was_left_of_others_is_removed_and_an_odd_name_harms_nobody[pack]",),
    ),
    Bug(
        "no file named", "assets", "wheels.py",
        "error.filename = error.filename or str(file)", "pass",
        "A full disk is told without the file.",
        (f"{ASSETS}::test_a_full_disk_names_the_file_while_packing",),
    ),
]  # fmt: skip
