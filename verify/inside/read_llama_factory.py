"""Inside LLaMA-Factory's environment: what its own code reads of train_1.yaml, and the tokens that it makes.

python read_llama_factory.py parse|tokens RESULT        in the exported folder
"""

import json
import sys

what, result = sys.argv[1:3]
sys.argv = ["train", "train_1.yaml"]  # as its own command line passes it on

from llamafactory.hparams import get_train_args  # noqa: E402
from llamafactory.hparams.parser import read_args  # noqa: E402

model, data, training, tuning, _ = get_train_args(read_args())
if what == "parse":
    lora = tuning.finetuning_type == "lora"
    found = {"r": tuning.lora_rank, "alpha": tuning.lora_alpha, "dropout": tuning.lora_dropout} if lora else {}
    found |= {"lr": training.learning_rate, "steps": training.max_steps, "seed": training.seed}
    found |= {"batch_size": training.per_device_train_batch_size, "schedule": str(training.lr_scheduler_type.value)}
    found |= {"warmup": training.warmup_steps, "method": tuning.finetuning_type, "length": data.cutoff_len}
    found |= {"targets": sorted(tuning.lora_target)} if lora else {}
else:
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    module = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data)
    rows = get_dataset(template, model, data, training, stage=tuning.stage, **module)["train_dataset"]
    found = [{"ids": list(row["input_ids"]), "counted": [label != -100 for label in row["labels"]]} for row in rows]
with open(result, "w", encoding="utf-8") as file:
    json.dump(found, file)
