"""What holds for every test: the quick profile, and no network, in this process and in all that it starts."""

import os
import shutil
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
SOCKET_LOG = Path(tempfile.mkdtemp(prefix="ftlib-tests-")) / "sockets.txt"
collect_ignore = ["test_commands.py"] if os.name == "nt" else []  # make and bash are not Windows's own
LAST = "test_nothing_asked_the_network"


def go_offline() -> None:
    """Guard this process and, through PYTHONPATH, every kernel and subprocess to come."""
    os.environ["FTLIB_SOCKET_LOG"] = str(SOCKET_LOG)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    spec = spec_from_file_location("ftlib_offline", OFFLINE / "sitecustomize.py")
    spec.loader.exec_module(module_from_spec(spec))


os.environ["FTLIB_PROFILE"] = "quick"
os.environ["FTLIB_ANSWERS"] = str(SOCKET_LOG.parent / "answers")  # a learner's own answers stay untouched
go_offline()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that reads the log of refused connections comes last, after the notebooks too."""
    items.sort(key=lambda item: item.name == LAST)


def pytest_unconfigure() -> None:
    shutil.rmtree(SOCKET_LOG.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def one_thread():
    """For files of small networks: a second thread gains little, and on a busy computer the two wait for each other."""
    import torch  # here, since most commands of pytest need no torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def socket_log() -> Path:
    """The file that gets a line for each refused attempt to leave this computer."""
    return SOCKET_LOG
