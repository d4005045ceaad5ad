"""Set up the kit and use it: `lab` opens JupyterLab, `test` tests all, `check` what is quick, `setup` only prepares.

Any Python 3.11, 3.12 or 3.13 runs this file; no package is needed. `make` calls it; where there is no make:

    py -3.11 setup_env.py lab           on Windows; what follows `lab` goes to JupyterLab, e.g. --no-browser
    python3.12 setup_env.py test        elsewhere; what follows `test` goes to pytest, e.g. -k metrics

The environment is `.venv`, with the versions in constraints.txt. A stamp in it, written last, holds a hash of
all that decides its contents: a second call installs nothing, an interrupted one is not taken for finished.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

if not (3, 11) <= sys.version_info < (3, 14):
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sys.exit(f"The kit needs Python 3.11, 3.12 or 3.13, and this is {here}: call this file with one of those.")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "ftlib-setup.txt"
UNFINISHED = "unfinished"
IDLE = 2 * 3600  # seconds: a kernel that did nothing for so long is stopped, and its memory is free again
# Linux gives large pages of memory to those who ask. Training in small ones takes up to three times as long on a
# virtual machine. Elsewhere nobody reads this variable.
LARGE_PAGES = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
DISK = 10e9  # bytes: 6.4 GB of packages on Linux, where torch brings its CUDA libraries, and their downloads
# Of pip's variables, those that say where packages come from and how; the others would change what is installed where.
PIP_KEPT = "INDEX_URL PYPI_URL EXTRA_INDEX_URL NO_INDEX FIND_LINKS TRUSTED_HOST CERT CLIENT_CERT PROXY TIMEOUT "
PIP_KEPT += "DEFAULT_TIMEOUT RETRIES RESUME_RETRIES KEYRING_PROVIDER CACHE_DIR NO_CACHE_DIR CONFIG_FILE USE_FEATURE "
PIP_KEPT += "USE_DEPRECATED LOG QUIET VERBOSE PROGRESS_BAR NO_COLOR"
TESTS_FAILED, NO_TESTS = 1, 5  # two of pytest's exit statuses
TRIED = "llama-factory"  # the tool that the tests train with; where it can't be installed, they say so
FIRST_PAGE = "work/00_start_here.ipynb"  # the learner's copy, without results
READ_ONLY_PAGE = "notebooks/00_start_here.ipynb"  # where no copy can be written
TEACHERS_PAGES = ["@jupyter/nbgrader", "@jupyter-notebook/lab-extension"]  # nbgrader's and its `notebook` package's
TEACHERS_HANDLERS = ["notebook"] + [
    f"nbgrader.server_extensions.{name}"
    for name in ("assignment_list", "course_list", "formgrader", "validate_assignment")
]


def main(arguments: list[str]) -> int:
    """Run one of the four commands and return its exit status."""
    command, *extra = arguments or ["help"]
    if command not in ("setup", "lab", "test", "check"):
        sys.exit(f"{__doc__}\nExpected setup, lab, test or check, got {command!r}.")
    python = prepare()
    if command == "lab":
        return start_lab(python, extra)
    if command == "check":
        return run_check(python, extra)
    return run_tests(python, extra) if command == "test" else 0


# -- the environment -----------------------------------------------------------------------------------------
def prepare() -> Path:
    """Make `.venv` and the assets ready; return the environment's Python."""
    python, state = python_in(VENV), STAMP.read_text() if STAMP.is_file() else ""
    if state != fingerprint(version_of(python)) or other_python_asked(python):
        install(python, state)
    if status := run(python, "-m", "ftlib", "assets"):
        sys.exit(status)
    return python


def install(python: Path, state: str) -> None:
    """Install the pinned packages into `.venv`, built anew unless it is sound; write the stamp last."""
    if state == UNFINISHED or not version_of(python) or other_python_asked(python):
        create()
        state = ""
    before = contents()
    STAMP.write_text(UNFINISHED)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    pip += ["-c", "constraints.txt"]
    pip += [] if sys.stdout.isatty() else ["--quiet"]
    print(f"Installing the packages of constraints.txt into {VENV}: a first time takes minutes.", flush=True)
    if run(*pip, "setuptools") or run(*pip, "--no-build-isolation", "-e", ".[test,grading]"):
        if contents() == before:  # pip changed nothing yet: the environment is as good as it was
            STAMP.write_text(state)
        sys.exit("The packages could not be installed (pip says why, above): see to that, and call again.")
    kernel = ["ipykernel", "install", "--sys-prefix", "--name", "ftlib", "--display-name", "Fine-Tuning Lab"]
    kernel += ["--env", *LARGE_PAGES]
    if run(python, "-m", *kernel):
        sys.exit("Jupyter's kernel could not be registered (see above): call again.")
    STAMP.write_text(fingerprint(version_of(python)))


def create() -> None:
    """An empty `.venv`, marked as unfinished from its first moment."""
    free = shutil.disk_usage(ROOT).free
    if free < DISK:
        print(f"Note: {free / 1e9:.1f} GB are free, and the set-up may need {DISK / 1e9:.0f} GB.", flush=True)
    VENV.mkdir(exist_ok=True)
    STAMP.write_text(UNFINISHED)
    for old in set(VENV.iterdir()) - {STAMP}:  # the mark stays while the rest goes, whoever is killed meanwhile
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    if run(sys.executable, "-m", "venv", VENV):
        sys.exit("Python could not make .venv (see above); on Debian and Ubuntu, install python3-venv first.")


def fingerprint(version: str) -> str:
    """The hash of what decides the contents of `.venv`: Python, this folder's place, and three files."""
    files = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "setup_env.py")]
    return hashlib.sha256(b"\0".join([version.encode(), str(ROOT).encode(), *files])).hexdigest()


def python_in(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def version_of(python: Path) -> str:
    """Its version, such as "3.11.7"; "" where it does not run, or is none that the kit supports."""
    ask = [python, "-I", "-c", "import platform; print(platform.python_version())"]
    try:
        version = subprocess.run(ask, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
    return version if version.startswith(("3.11.", "3.12.", "3.13.")) else ""


def other_python_asked(python: Path) -> bool:
    """Whether the variable PYTHON names another Python than the one that `.venv` has."""
    return bool(os.environ.get("PYTHON")) and version_of(python) != version_of(Path(sys.executable))


def contents() -> list[tuple[str, int]]:
    """The environment's package folders with their times: any change by pip shows here."""
    folders = [*VENV.glob("lib/*/site-packages"), *VENV.glob("Lib/site-packages")]
    return [(str(folder), folder.stat().st_mtime_ns) for folder in folders]


# -- what it is for ------------------------------------------------------------------------------------------
def start_lab(python: Path, extra: list[str]) -> int:
    """Make the learner's copies of the notebooks, then open JupyterLab at the first one, until it is stopped."""
    copied = run(python, "-m", "ftlib", "fresh") == 0
    page = FIRST_PAGE if copied else READ_ONLY_PAGE
    command, environment = lab_command(python, extra, page), lab_environment(VENV / "etc" / "lab")
    os.chdir(ROOT)
    if os.name != "nt":
        os.execve(python, command, environment)  # Ctrl-C is JupyterLab's from here on
    lab = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return lab.wait()


def lab_command(python: Path, extra: list[str], page: str = FIRST_PAGE) -> list[str]:
    """JupyterLab for this computer only: loopback, a token that it draws itself, and no look at the news."""
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [
        *(str(python), "-m", "jupyterlab"),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{page}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        f"--MappingKernelManager.cull_idle_timeout={IDLE}",
        "--MappingKernelManager.cull_connected=True",
        *root,
        *extra,
    ]


def lab_environment(settings: Path) -> dict[str, str]:
    """The kit's own folder of settings.

    No personal one opens a port, no question about news pops up, closing a notebook frees its memory, and what the
    teacher's tool adds to JupyterLab stays away from learners.
    """
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    freed = {"kernelShutdown": True}  # a closed notebook's kernel would keep some GB of memory
    defaults = {"@jupyterlab/apputils-extension:notification": quiet, "@jupyterlab/notebook-extension:tracker": freed}
    folder = settings / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "default_setting_overrides.json").write_text(json.dumps(defaults))
    (folder / "page_config.json").write_text(json.dumps({"disabledExtensions": dict.fromkeys(TEACHERS_PAGES, True)}))
    off = {"ServerApp": {"jpserver_extensions": dict.fromkeys(TEACHERS_HANDLERS, False)}}
    (settings / "jupyter_server_config.json").write_text(json.dumps(off))
    return os.environ | {"JUPYTER_CONFIG_DIR": str(settings)}


def run_tests(python: Path, extra: list[str]) -> int:
    """Style, the library's tests, then every cell of every notebook; the first failure's status, or 0.

    The browser tests execute the notebooks and save them, and nbval judges what was saved. Where a notebook wasn't
    saved, since its test failed or there is no browser, nbval executes it. `-n0` among the extra arguments runs the
    files one after the other, which a debugger needs. Files and folders among them replace all that is tested.
    """
    if status := run_style(python):
        return status
    options, places = split(extra)
    if not extra:  # no test may leave this computer, so what some of them need is installed here
        run(python, "-m", "verify.environment", TRIED)
        for group in ("site", "board"):
            run(python, "bench/environment.py", group)
    cells = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=3600", "--nbval-kernel-startup-timeout=600"]
    cells += ["-p", "tests.replay"]
    results = []
    with tempfile.TemporaryDirectory(prefix="ftlib-run-") as folder:  # new each time, so no old copy is judged
        os.environ |= {"FTLIB_EXECUTED": str(Path(folder, "executed")), "FTLIB_SECONDS": str(Path(folder, "seconds"))}
        second = [o.replace(".xml", "-notebooks.xml") if o.startswith("--junit") else o for o in options]
        for names, own in ((("tests", "lessons"), options), (("notebooks",), cells + second)):
            what = [p for p in places if any(below(p, name) for name in names)] if places else names
            if what and go_on(results, options):
                results.append(run(python, "-m", "pytest", *what, *side_by_side(), *own))
    if extra and any(result != NO_TESTS for result in results):  # -k selects none of the notebooks, say
        results = [result for result in results if result != NO_TESTS]
    return next((result for result in results if result), 0)


def go_on(results: list[int], options: list[str]) -> bool:
    """Whether another call of pytest is due: not after one that crashed or was interrupted, nor where -x says so."""
    first_failure = {"-x", "--exitfirst", "--maxfail=1"} & set(options)
    return set(results) <= {0, NO_TESTS} | (set() if first_failure else {TESTS_FAILED})


def split(extra: list[str]) -> tuple[list[str], list[str]]:
    """pytest's options, and the files, folders and tests that were named: "tests/test_metrics.py::test_one"."""
    options, places = [], []
    for before, argument in zip(["", *extra], extra):
        ours = any(below(argument, name) for name in ("tests", "lessons", "notebooks"))
        exists = ours and (ROOT / argument.split("::")[0]).exists()
        (places if exists and before not in ("-k", "--ignore", "--deselect") else options).append(argument)
    return options, places


def below(place: str, folder: str) -> bool:
    """Whether it is the folder, or lies in it."""
    return Path(place.split("::")[0]).parts[:1] == (folder,)


def run_check(python: Path, extra: list[str]) -> int:
    """Style, then all tests but those that tests/slow.txt lists: in all less than two minutes on two cores."""
    slow = [f"--ignore={name}" for name in (ROOT / "tests" / "slow.txt").read_text().split()]
    return run_style(python) or run(python, "-m", "pytest", "tests", "lessons", *slow, *side_by_side(), *extra)


def run_style(python: Path) -> int:
    """Whether ruff finds the code clean and well formatted; the texts of lessons have narrower lines."""
    texts = sorted(file for name in ("lesson", "depth") for file in ROOT.glob(f"lessons/*/{name}.py"))
    narrow = ["--config", "lessons/cells.toml", *(file.relative_to(ROOT) for file in texts)]
    form = ["-m", "ruff", "format", "--check"]
    return run(python, "-m", "ruff", "check") or run(python, *form) or run(python, *form, *narrow)


def side_by_side() -> list[str]:
    """pytest's options for as many processes as there are cores: two of one thread do more than one of two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, 4)  # each holds a network or two, so memory sets a limit as well
    # OpenMP's threads wait for each other in loops: with more of them than cores all of them wait.
    os.environ |= {"OMP_NUM_THREADS": str(cores // workers), "OMP_WAIT_POLICY": "PASSIVE"}
    return ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]  # the browser first: it takes longest


def run(*command: object) -> int:
    """Run a command in the kit's folder and return its exit status."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, env=own_environment()).returncode


def own_environment() -> dict[str, str]:
    """The variables without those that put other packages, or another place for them, into the kit's environment.

    And with large pages of memory, unless the user tunes the C library in another way.

    A cluster that sets PIP_USER or PYTHONPATH for everybody would else make pip fail, or take its packages for ours.
    """
    kept = {f"PIP_{name}" for name in PIP_KEPT.split()}
    foreign = {name for name in os.environ if name.upper().startswith("PIP_") and name.upper() not in kept}
    foreign |= {"PYTHONPATH", "PYTHONHOME"}
    ours = {name: value for name, value in os.environ.items() if name not in foreign}
    # 0: also where pip's own file of settings says user
    return dict([LARGE_PAGES]) | ours | {"PIP_USER": "0", "PYTHONNOUSERSITE": "1"}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted: the next call goes on from here.")
