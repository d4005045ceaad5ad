"""Inside Firefly's environment: what the clone's own code reads of train_1.json, and the tokens that it makes.

python read_firefly.py parse|tokens RESULT        in the exported folder, where `firefly` is the clone
"""

import json
import sys

what, result = sys.argv[1:3]
sys.path.insert(0, "firefly")
sys.argv = ["train.py", "--train_args_file", "train_1.json"]

import train  # noqa: E402
from component.argument import CustomizedArguments  # noqa: E402
from transformers import HfArgumentParser, TrainingArguments  # noqa: E402

(args, training) = HfArgumentParser((CustomizedArguments, TrainingArguments)).parse_json_file("train_1.json")
if what == "parse":
    found = {"lr": training.learning_rate, "steps": training.max_steps, "seed": training.seed}
    found |= {"batch_size": training.per_device_train_batch_size, "warmup": training.warmup_steps}
    found |= {"schedule": str(getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type))}
    found |= {"method": args.train_mode, "length": args.max_seq_length}
    found |= {"r": args.lora_rank, "alpha": args.lora_alpha, "dropout": args.lora_dropout}
else:
    rows = train.load_sft_dataset(args, train.load_tokenizer(args))
    found = [
        {"ids": list(row["input_ids"]), "counted": [bool(one) for one in row["target_mask"]]}
        for row in (rows[k] for k in range(len(rows)))
    ]
with open(result, "w", encoding="utf-8") as file:
    json.dump(found, file)
