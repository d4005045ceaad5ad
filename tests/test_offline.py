"""The guard against network access bites, lets this computer's own traffic pass, and has seen nothing."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TESTS = Path(__file__).parent
NOWHERE = "192.0.2.1"  # a documentation address (RFC 5737): no computer has it
ATTEMPTS = {
    "connect": f"socket.create_connection(({NOWHERE!r}, 80), timeout=1)",
    "connect_ex": f"socket.socket().connect_ex(({NOWHERE!r}, 80))",
    "sendto": f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ({NOWHERE!r}, 9))",
    "sendto with flags": f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'', 0, ({NOWHERE!r}, 9))",
    "IPv6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "getaddrinfo": "socket.getaddrinfo('hub.invalid', 443)",
    "gethostbyname": "socket.gethostbyname('hub.invalid')",
    "asyncio": f"asyncio.run(asyncio.wait_for(asyncio.open_connection({NOWHERE!r}, 80), 60))",
    "urllib": "urllib.request.urlopen('http://hub.invalid/', timeout=1)",
}
if hasattr(socket.socket, "sendmsg"):  # not on Windows
    ATTEMPTS["sendmsg"] = f"socket.socket(type=socket.SOCK_DGRAM).sendmsg([b''], [], 0, ({NOWHERE!r}, 9))"
IMPORTS = "import asyncio, socket, urllib.request\n"


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess:
    """Run the code in a new Python that inherits this one's environment."""
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_a_subprocess_is_refused_and_logged(attempt: str, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    done = run_python(IMPORTS + attempt, FTLIB_SOCKET_LOG=str(log))
    assert done.returncode == 1
    assert "would leave this computer" in done.stderr
    assert len(log.read_text().splitlines()) == 1


def test_a_hidden_attempt_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    hidden = f"try: {ATTEMPTS['connect']}\nexcept OSError: print('went on offline')"
    done = run_python(IMPORTS + hidden, FTLIB_SOCKET_LOG=str(log))
    assert done.stdout.strip() == "went on offline"
    assert NOWHERE in log.read_text()


def test_this_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.txt"
    monkeypatch.setenv("FTLIB_SOCKET_LOG", str(log))
    with socket.socket() as one, pytest.raises(OSError, match="blocked: connect"):
        one.connect((NOWHERE, 80))
    assert NOWHERE in log.read_text()


def test_a_notebook_kernel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.txt"
    monkeypatch.setenv("FTLIB_SOCKET_LOG", str(log))
    cells = [nbformat.v4.new_code_cell(IMPORTS + ATTEMPTS["connect"])]
    with pytest.raises(CellExecutionError, match="would leave this computer"):
        notebook = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(notebook, kernel_name="python3", timeout=600, startup_timeout=600).execute()
    assert NOWHERE in log.read_text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_passes(host: str) -> None:
    with socket.create_server((host, 0)) as server:
        answering = threading.Thread(target=lambda: server.accept()[0].sendall(b"here"))
        answering.start()
        done = run_python(f"import socket; print(socket.create_connection({server.getsockname()}).recv(4))")
        answering.join()
    assert done.stdout.strip() == "b'here'", done.stderr


def test_local_datagrams_and_pairs_pass() -> None:
    code = """
import socket
one, two = socket.socketpair()
one.sendall(b"a pair, ")
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
udp.sendto(b"a datagram", udp.getsockname())
print((two.recv(20) + udp.recv(20)).decode(), socket.getaddrinfo(None, 80) != [])
"""
    done = run_python(code)
    assert done.stdout.strip() == "a pair, a datagram True", done.stderr


def test_another_sitecustomize_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.environ['SECOND'] = 'it ran'")
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path)])
    done = run_python("import os, socket; print(os.environ['SECOND'], socket.ftlib_guarded)", PYTHONPATH=path)
    assert done.stdout.strip() == "it ran True", done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_a_session_that_tried_to_leave_fails_though_each_test_passed(tmp_path: Path, workers: int) -> None:
    """However many processes share the tests: all of them, and what they start, write into one log."""
    shutil.copy(TESTS.parent / "conftest.py", tmp_path)
    shutil.copytree(TESTS / "offline", tmp_path / "tests" / "offline")
    hidden = f"    try:\n        {ATTEMPTS['connect']}\n    except OSError:\n        pass\n"
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(f"import socket\n\n\ndef test_{name}():\n{hidden}")
    left_out = ("PYTEST_XDIST", "FTLIB_SOCKET_LOG")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    command = [sys.executable, "-m", "pytest", tmp_path, "-p", "no:cacheprovider", "-n", str(workers)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "2 passed" in done.stdout, done.stdout
    assert done.stdout.count(NOWHERE) == 2 and "tried to leave this computer" in done.stdout


def test_notebooks_alone_are_guarded_too(tmp_path: Path) -> None:
    """As `make test` calls them; conftest.py is above them."""
    hidden = f"{IMPORTS}\ntry:\n    {ATTEMPTS['connect']}\nexcept OSError:\n    pass"
    shutil.copy(TESTS.parent / "conftest.py", tmp_path)
    shutil.copytree(TESTS / "offline", tmp_path / "tests" / "offline")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(hidden)]), tmp_path / "one.ipynb")
    left_out = ("PYTEST_XDIST", "FTLIB_SOCKET_LOG", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-kernel-startup-timeout=600"]
    command = [sys.executable, "-m", "pytest", tmp_path, *options, "-p", "no:cacheprovider", "-n", "2"]
    done = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True)
    assert done.returncode == 1 and "1 passed" in done.stdout, done.stdout
    assert done.stdout.count(NOWHERE) == 1 and "tried to leave this computer" in done.stdout
