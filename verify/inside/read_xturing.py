"""Inside xTuring's environment: the exported script up to where it would train, and what its own code makes of a row.

python read_xturing.py parse|tokens RESULT        in the exported folder
"""

import json
import sys
from pathlib import Path

what, result = sys.argv[1:3]
before, mark, _ = Path("train.py").read_text(encoding="utf-8").partition("\nmodel.finetune(rows)\n")
if not mark:
    sys.exit("train.py has no line model.finetune(rows)")
made = {"__name__": "__main__"}
exec(compile(before, "train.py", "exec"), made)
model, config, rows = made["model"], made["config"], made["rows"]
if what == "parse":
    found = {"lr": config.learning_rate, "batch_size": config.batch_size, "length": config.max_length}
    found["steps"] = config.num_train_epochs * -(-len(rows) // config.batch_size)
    lora = getattr(model.engine.model, "peft_config", None)
    found["method"] = "full" if lora is None else "lora"
    if lora is not None:
        found |= {"r": lora.r, "alpha": lora.lora_alpha, "dropout": lora.lora_dropout}
        found["targets"] = sorted(lora.target_modules)
else:
    collate = model._make_collate_fn(rows)
    found = []
    for row in rows:
        batch = collate([row])
        ids = batch["input_ids"][0].tolist()
        # its training step looks for "label_mask" and finds none, so every token counts
        counted = batch["label_mask"][0].tolist() if "label_mask" in batch else [True] * len(ids)
        found.append({"ids": ids, "counted": counted})
with open(result, "w", encoding="utf-8") as file:
    json.dump(found, file)
