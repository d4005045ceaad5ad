"""Bugs of the models: stages, folders, adapters, language models, chats."""

from bug import Bug

CACHE = "test_cache.py"
SHARED = "test_shared_prefix.py"
ADAPTERS = "test_adapters.py"
MODELS = "test_models.py"
CHAT = "test_chat.py"
AS_PEFT = f"{ADAPTERS}::test_pefts_own_folder_gives_what_peft_gives_on_the_uncut_network_and_is_saved_as_such"
OTHER_BASE = f"{ADAPTERS}::test_an_adapter_on_other_weights_than_it_was_trained_on_is_refused"
LONG_ROWS = f"{MODELS}::test_rows_longer_than_the_window_give_what_the_uncut_network_gives"
SHORT_WINDOW = f"{MODELS}::test_a_window_that_the_stages_get_wrong_is_refused_though_no_row_of_the_proof_fills_it"
TURN = f"{CHAT}::test_a_training_row_begins_as_what_generate_reads_and_ends_as_the_template_does"

BUGS = [
    Bug(
        "load that matches nothing", "Full", "ftlib/models/base.py",
        "    if wrong:\n", "    if False:\n",
        "strict=False takes a file of other names without a word, and the network keeps its random weights.",
        ("test_models.py::test_a_file_of_other_weights_changes_nothing",),
    ),
    Bug(
        "load that matches nothing, transformers", "Full", "ftlib/models/folder.py",
        "    if wrong:\n", "    if False:\n",
        "transformers draws what it does not find, with a warning that nobody sees here.",
        ("test_models.py::test_weights_of_another_model_are_refused[bert-one missing]",),
    ),
    Bug(
        "image network without its weights", "Full", "ftlib/models/__init__.py",
        "image.read_lite0(pretrained)", "image.read_lite0(False)",
        "The architecture is there and the pretrained weights are not.",
        ("test_models.py::test_weights_equal_the_checkpoint[efficientnet-lite0]",),
    ),
    Bug(
        "text network without its weights", "Full", "ftlib/models/folder.py",
        "net = _pretrained(folder, auto, options | local) if pretrained else make()", "net = make()",
        "A network made from its configuration alone: random weights.",
        ("test_models.py::test_weights_equal_the_checkpoint[minilm]",),
    ),
    Bug(
        "a clone without its weights", "Full", "ftlib/models/__init__.py",
        "    return fill(model, read_tensors(path), path)", "    return model",
        "The copy of a model has its architecture and other weights.",
        ("test_models.py::test_weights_survive_a_file[resnet]",),
    ),
    Bug(
        "used for pictures that it was not made of", "cache", "ftlib/models/base.py",
        "if owner is not self.stages or not same:", "if owner is not self.stages:",
        "A loss that shows the model another picture gets the answer for the first one.",
        (f"{CACHE}::test_what_is_kept_is_not_used_for_other_pictures",),
    ),
    Bug(
        "one model's activations used by another", "cache", "ftlib/models/base.py",
        "if owner is not self.stages or not same:", "if owner is None or not same:",
        "A teacher goes on from what the student's stages gave.",
        (f"{CACHE}::test_what_is_kept_for_one_model_is_not_used_by_another",),
    ),
    Bug(
        "not divided by the standard deviation", "models", "ftlib/models/image.py",
        "- self.mean) / self.std", "- self.mean)",
        "The network sees pictures with half the contrast that it was trained on.",
        ("test_models.py::test_lite0_knows_a_cat_and_an_espresso",),
    ),
    Bug(
        "pads are averaged", "models", "ftlib/models/text.py",
        "return (h * mask).sum(1) / mask.sum(1).clamp(min=1)", "return h.mean(1)",
        "A sentence's feature depends on how long the others in its batch are.",
        ("test_models.py::test_padding_does_not_change_a_row[minilm]",),
    ),
    Bug(
        "a row does not see all that comes before it", "models", "ftlib/models/text.py",
        ".tril(past)", ".tril()",
        "Each row loses the end of the question, which it shares with the others, out of sight.",
        (f"{SHARED}::test_logits_loss_and_gradients_are_those_of_the_uncut_network[ragged-llama]",),
    ),
    Bug(
        "positions begin anew after what is shared", "models", "ftlib/models/text.py",
        "torch.arange(past, past + n,", "torch.arange(n,",
        "A row's words stand at the places of the question's words.",
        (f"{SHARED}::test_logits_loss_and_gradients_are_those_of_the_uncut_network[ragged-llama]",),
    ),
    Bug(
        "what is shared gets no gradient", "models", "ftlib/models/text.py",
        "        first = super().through(", "        with torch.no_grad():\n            first = super().through(",
        "The question is read as if it were frozen: the loss is right, and training is another one.",
        (f"{SHARED}::test_lora_gets_the_same_gradients",),
    ),
    Bug(
        "one draw of dropout for all rows", "models", "ftlib/models/text.py",
        "if any(_draws(module)", "if False and any(_draws(module)",
        "What is shared is dropped in all rows alike: less noise in the rows' difference than was asked for.",
        (f"{SHARED}::test_dropout_draws_for_every_row_anew",),
    ),
    Bug(
        "shared by number alone", "models", "ftlib/models/text.py",
        "((ids == ids[:1]) & near)", "(ids == ids[:1])",
        "A row whose activations were changed on the way gets those of the first row.",
        (f"{SHARED}::test_rows_that_were_changed_on_the_way_are_not_the_same",),
    ),
    Bug(
        "the depthwise gradient of neighbours swapped", "models", "ftlib/models/depthwise.py",
        "out=out[i * size + j])", "out=out[j * size + i])",
        "Every filter learns the transpose of what it should.",
        ("test_depthwise.py::test_outputs_and_gradients_are_pytorchs",),
    ),
    Bug(
        "a pattern by layer name is read with our names", "adapters", "ftlib/models/adapters.py",
        "{model.original_names[k]: k for k in layers}", "{k: k for k in layers}",
        "alpha_pattern and rank_pattern of peft match nothing: the update is scaled by another number.",
        (AS_PEFT,),
    ),
    Bug(
        "a pattern is saved with our names", "adapters", "ftlib/models/adapters.py",
        "{layer: model.original_names[layer] for layer in layers})", "{layer: layer for layer in layers})",
        "What peft loads from the folder is scaled by another number.",
        (AS_PEFT,),
    ),
    Bug(
        "every matrix of IA3 scales its output", "adapters", "ftlib/models/adapters.py",
        "name.endswith(tuple(ends))", "name in ends",
        "`feedforward_modules` holds endings of names, and is taken for whole names.",
        (AS_PEFT,),
    ),
    Bug(
        "an option of peft is passed over", "adapters", "ftlib/models/adapters.py",
        "    if used:\n", "    if False:\n",
        "An adapter with biases of its own, or one that begins otherwise, loads and computes something else.",
        (f"{ADAPTERS}::test_an_adapter_that_would_compute_something_else_is_refused_with_the_reason",),
    ),
    Bug(
        "the base is not compared", "adapters", "ftlib/models/adapters.py",
        "    if worst:\n", "    if False:\n",
        "An adapter that was trained after a full fine-tuning is put on the pristine base.",
        (OTHER_BASE,),
    ),
    Bug(
        "a base differs only where much does", "adapters", "ftlib/models/adapters.py",
        "ROUNDING = 2**-8", "ROUNDING = 0.5",
        "A few steps of another strategy before LoRA are taken for rounding.",
        (OTHER_BASE,),
    ),
    Bug(
        "a base in bfloat16 is called another", "adapters", "ftlib/models/adapters.py",
        "ROUNDING = 2**-8", "ROUNDING = 2**-20",
        "The same base, saved in bfloat16 by somebody, is refused.",
        (f"{ADAPTERS}::test_the_base_is_the_same_in_another_number_format",),
    ),
    Bug(
        "pissa's and merged weights are compared too", "adapters", "ftlib/models/adapters.py",
        'if kind != "weight" or layer not in {*changed, *without}:', "if True:",
        "What the adapter itself has changed is taken for another base.",
        (f"{ADAPTERS}::test_the_base_is_the_same_in_another_number_format",),
    ),
    Bug(
        "merged weights are trained", "models", "ftlib/models/base.py",
        "        if mode and any(p.requires_grad", "        if False and any(p.requires_grad",
        "After unmerging, the base is neither what it was nor what was trained.",
        (f"{ADAPTERS}::test_merged_weights_are_not_trained",),
    ),
    Bug(
        "a window of one token more", "models", "ftlib/models/text.py",
        "seen.triu(past - self.window + 1)", "seen.triu(past - self.window)",
        "A token sees one more than it was trained with.",
        (LONG_ROWS,),
    ),
    Bug(
        "a window that forgets what was read before", "models", "ftlib/models/text.py",
        "seen.triu(past - self.window + 1)", "seen.triu(1 - self.window)",
        "With a cache, as in generation and with a shared beginning, the window stands in another place.",
        (LONG_ROWS,),
    ),
    Bug(
        "a window in every layer", "models", "ftlib/models/text.py",
        'k == "sliding_attention" for k in kinds', 'k != "nothing" for k in kinds',
        "Layers that see all tokens get the window of the others.",
        (LONG_ROWS,),
    ),
    Bug(
        "the proof does not outgrow the window", "models", "ftlib/models/text.py",
        "(window, SHORT) if window else (None,)", "(window,)",
        "Eight tokens fill no real window, so any mistake in it passes.",
        (SHORT_WINDOW,),
    ),
    Bug(
        "angles of long rows", "models", "ftlib/models/text.py",
        'if rope.get("rope_type") == "longrope" else None', "if False else None",
        "Past the length of pretraining all angles change, and the keys that were kept do not.",
        (f"{MODELS}::test_angles_that_change_with_the_length_of_a_row_end_where_they_would_change",),
    ),
    Bug(
        "layers without a place are passed over", "models", "ftlib/models/folder.py",
        "    if more:\n", "    if False:\n",
        "A folder whose config.json names fewer layers loads as a shorter network.",
        (f"{MODELS}::test_a_folder_is_refused_for_the_true_reason",),
    ),
    Bug(
        "labels beyond the head", "models", "ftlib/models/base.py",
        "(highest := int(labels.max())) >= k", "(highest := int(labels.max())) > k + 9",
        "A model of two classes is asked about ten, and fails somewhere inside a metric.",
        (f"{MODELS}::test_labels_that_the_head_cannot_give_are_one_sentence_in_training_and_evaluating",),
    ),
    Bug(
        "eos ends every turn", "chat", "ftlib/models/chat.py",
        "next((token for token in behind if token in special), tokenizer.eos_token_id)", "tokenizer.eos_token_id",
        "A model learns to end its turn with a token that its template never writes.",
        (TURN,),
    ),
    Bug(
        "generation goes on after its turn", "chat", "ftlib/models/text.py",
        "ends |= {end_of_turn(self.tokenizer)} if chat else set()", "ends |= set()",
        "An answer runs on into the next turn, which the model writes for itself.",
        (f"{CHAT}::test_generate_stops_at_the_end_of_turn_and_at_the_end_of_a_text",),
    ),
    Bug(
        "fit leaves no line", "saved models", "ftlib/training/setup.py",
        "        if history:\n", "        if False:\n",
        "The model card says that the model was never trained.",
        ("test_use_model.py::test_each_run_of_fit_adds_a_line",),
    ),
    Bug(
        "texts longer than in training", "saved models", "ftlib/training/predicting.py",
        "about.preprocessing.max_length or model.context", "model.context",
        "A long text is read to its end, though the model has learnt from beginnings only.",
        ("test_use_model.py::test_long_texts_are_cut_as_in_training",),
    ),
    Bug(
        "every image is stretched", "saved models", "ftlib/models/pixels.py",
        'if way.shape == "stretch":', "if True:",
        "The model was trained on crops and is asked about distorted images.",
        ("test_use_model.py::test_an_image_becomes_square_as_in_training[crop-200]",),
    ),
    Bug(
        "a folder of others replaced", "saved models", "ftlib/models/saved.py",
        "    _must_be_ours(folder)\n", "",
        "Saving to a folder that holds a thesis deletes the thesis.",
        ("test_use_model.py::test_a_folder_of_others_is_left_alone",),
    ),
    Bug(
        "an adapter without its changed base", "saved models", "ftlib/models/saved.py",
        "        if all(k in fresh and torch.equal(", "        if True or all(k in fresh and torch.equal(",
        "The adapter of a fine-tuned model is put on the pristine one.",
        ("test_use_model.py::test_an_adapter_on_a_changed_base_brings_the_base",),
    ),
]  # fmt: skip
