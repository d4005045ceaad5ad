"""Inside unsloth's environment: the exported script up to where it would train, and what it has made by then.

python read_unsloth.py parse|tokens RESULT        in the exported folder
"""

import json
import sys
from pathlib import Path

what, result = sys.argv[1:3]
script = Path("train_1.py").read_text(encoding="utf-8")
before, mark, _ = script.partition("\ntrainer.train()\n")
if not mark:
    sys.exit("train_1.py has no line trainer.train()")
made = {"__name__": "__main__"}
exec(compile(before, "train_1.py", "exec"), made)
trainer, model = made["trainer"], made["model"]
if what == "parse":
    args, found = trainer.args, {"method": "full"}
    if hasattr(model, "peft_config"):
        lora = model.peft_config["default"]
        found = {"r": lora.r, "alpha": lora.lora_alpha, "dropout": lora.lora_dropout, "method": "lora"}
        found["targets"] = sorted(
            {name.rpartition(".")[2] for name, part in model.named_modules() if hasattr(part, "lora_A")}
        )
    found |= {"lr": args.learning_rate, "steps": args.max_steps, "seed": args.seed, "warmup": args.warmup_steps}
    found |= {"batch_size": args.per_device_train_batch_size, "length": args.max_length}
    found |= {"schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))}
else:
    found = [
        {"ids": list(row["input_ids"]), "counted": [label != -100 for label in row["labels"]]}
        for row in trainer.train_dataset
    ]
with open(result, "w", encoding="utf-8") as file:
    json.dump(found, file)
