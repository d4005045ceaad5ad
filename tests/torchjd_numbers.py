"""What torchjd makes of the gradients of several tasks: tests/data/torchjd.json, for test_task_gradients.py.

torchjd is not among the pinned packages, since nothing else here needs it and its solvers. So its values are kept as
data. To make them anew, in an environment with torch:

    pip install torchjd==0.18.0 qpsolvers quadprog cvxpy clarabel
    python tests/torchjd_numbers.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from torchjd.aggregation import CAGrad, PCGrad, UPGrad
from torchjd.linalg import QuadprogProjector

PEERS = ["torchjd", "torch"]


def numbers(*shape, seed: int) -> list:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64).round(decimals=3).tolist()


CASES = {
    "two in conflict": [[1.0, 0.0], [-1.0, 1.0]],
    "two that agree": [[1.0, 0.5], [0.2, 1.0]],
    "a long and a short one": [[10.0, 0.0, 1.0], [-0.3, 0.4, 0.1]],
    "nearly opposite": [[1.0, 0.1, 0.0], [-1.0, 0.1, 0.05]],
    "three, one pair in conflict": [[1.0, 0.0, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.3, 1.0]],
    "three, all in conflict": [[1.0, 0.0, 0.2], [-0.6, 0.9, 0.2], [-0.5, -0.8, 0.3]],
    "four at random": numbers(4, 8, seed=0),
    "five at random": numbers(5, 12, seed=1),
}
ONE_ORDER = list(CASES)[:5]  # where PCGrad's random order doesn't matter


def main() -> None:
    found = {}
    for name, rows in CASES.items():
        rows = torch.tensor(rows, dtype=torch.float64)
        found[name] = {"UPGrad": UPGrad(projector=QuadprogProjector(norm_eps=1e-12, reg_eps=1e-9))(rows).tolist()}
        if name in ONE_ORDER:
            found[name]["PCGrad"] = PCGrad()(rows).tolist()
        for c in (0.2, 0.5, 0.8):
            found[name][f"CAGrad {c}"] = CAGrad(c=c, norm_eps=1e-12)(rows).tolist()
    out = {"made by": "tests/torchjd_numbers.py", "versions": {name: version(name) for name in PEERS},
           "inputs": CASES, "found": found}  # fmt: skip
    Path(__file__).with_name("data").joinpath("torchjd.json").write_text(json.dumps(out, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
