"""The settings of the nbgrader course that `make release` makes: nbgrader reads them where it is called."""

import os
import sysconfig
from pathlib import Path

# nbgrader calls a program of its environment by name, so that environment's folder of programs must be found.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
os.environ.setdefault("FTLIB_PROFILE", "quick")  # every copy is graded with the same small budgets
os.environ.setdefault("HF_HUB_OFFLINE", "1")

c = get_config()  # noqa: F821, nbgrader gives it
c.CourseDirectory.course_id = "ftlib"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.Execute.kernel_name = "python3"  # the Python that runs nbgrader, whatever kernel the student chose
c.Execute.timeout = 120  # seconds a cell; after them it is stopped, and the cells below are still graded
