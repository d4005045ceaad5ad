"""Inside XTuner's environment: what its own code reads of config_1.py, and the tokens that it makes.

python read_xtuner.py parse|tokens RESULT        in the exported folder
"""

import json
import sys

import torch

if not hasattr(torch.cpu, "is_bf16_supported"):  # XTuner asks for it on a computer without a GPU
    torch.cpu.is_bf16_supported = lambda *args, **more: False
from mmengine.config import Config
from xtuner.registry import BUILDER

what, result = sys.argv[1:3]
config = Config.fromfile("config_1.py")
if what == "parse":
    found = {"method": "full"}
    if "lora" in config.model:
        lora = BUILDER.build(config.model.lora)
        found = {"r": lora.r, "alpha": lora.lora_alpha, "dropout": lora.lora_dropout, "method": "lora"}
        found["targets"] = sorted(lora.target_modules)
    found |= {"lr": config.optim_wrapper.optimizer.lr, "seed": config.randomness.seed}
    found |= {"steps": config.train_cfg.max_iters // config.optim_wrapper.accumulative_counts}
    found |= {"batch_size": config.train_dataloader.batch_size, "length": config.train_dataset.max_length}
    parameter = torch.nn.Parameter(torch.zeros(1))
    kind = config.optim_wrapper.optimizer.type
    kind = kind if callable(kind) else getattr(torch.optim, str(kind).rpartition(".")[2])
    kind([parameter], **{k: v for k, v in config.optim_wrapper.optimizer.items() if k != "type"})
else:
    rows = BUILDER.build(config.train_dataset)
    found = [{"ids": list(row["input_ids"]), "counted": [label != -100 for label in row["labels"]]} for row in rows]
with open(result, "w", encoding="utf-8") as file:
    json.dump(found, file)
