"""The scores of ftlib's continual learners: continual_ours.json, for tests/strategies/test_continual_scores.py.

They stand beside those of Avalanche, which continual_peers.py wrote. To make them anew, in five minutes:

    PYTHONPATH=.:tests python tests/data/continual_ours.py
"""

import json
from importlib.metadata import version
from pathlib import Path

from continual import OURS, SEEDS, ours, scores


def main() -> None:
    out = {
        "made by": "tests/data/continual_ours.py", "versions": {name: version(name) for name in ("torch",)},
        "seeds": [*SEEDS], "scores": scores(ours, OURS),
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
