"""Processes that have the heavy packages already: forks of multiprocessing's server, which imports them once.

Where there is no such server (Windows), each process imports them anew. The library itself is not among them, since a
test may put a changed copy in its place.
"""

import multiprocessing
import os

from _pytest.config import default_plugins

HEAVY = ["accelerate", "anywidget", "IPython.display", "jinja2", "pandas", "peft", "plotly.graph_objects", "pydantic"]
HEAVY += ["scipy.stats", "skimage.data", "sklearn.linear_model", "timm", "torchmetrics.functional.classification"]
HEAVY += ["torchvision.transforms.v2.functional", "transformers.models.auto.modeling_auto"]
HEAVY += [f"transformers.models.{name}.modeling_{name}" for name in ("bert", "llama")]
HEAVY += ["pytest", *(f"_pytest.{name}" for name in default_plugins)]
PROCESSES = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
PROCESSES.set_forkserver_preload(HEAVY)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for the server: else threads of its forks wait in loops
