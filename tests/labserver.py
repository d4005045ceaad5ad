"""JupyterLab started by the kit's own command, for tests: a free port, and all that it writes in one folder."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import setup_env

LATE = 600  # seconds: no step takes so long, even on a busy computer; it only ends a test that hangs


@dataclass
class Lab:
    """A running JupyterLab."""

    process: subprocess.Popen
    port: int
    token: str

    @property
    def address(self) -> str:
        """Where it is: the start of every address that it serves."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, token: str | None = None, method: str = "GET", body: str | None = None) -> tuple:
        """One request: (status, body, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LATE)
        connection.request(method, path, body, {"Authorization": f"token {token}"} if token else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, dict(answer.getheaders())


@contextmanager
def running(folder: Path, root: Path = setup_env.ROOT, extra: list[str] = (), **settings: dict) -> Iterator[Lab]:
    """Start it, wait until it answers, stop it in the end.

    folder is for its configuration, runtime and log; root is what it serves; extra goes to its command line, and
    settings are what a user would set by hand, {"extension__plugin": {...}}.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    extra = ["--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0", *extra]
    command = [
        f"--ServerApp.root_dir={root}" if part.startswith("--ServerApp.root_dir=") else part
        for part in setup_env.lab_command(sys.executable, extra)
    ]
    places = {
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "IPYTHONDIR": folder / "ipython",
    }
    environment = setup_env.lab_environment(folder / "config") | {name: str(at) for name, at in places.items()}
    for name, values in settings.items():
        extension, plugin = name.split("__")
        file = folder / f"config/lab/user-settings/@jupyterlab/{extension}-extension/{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield Lab(process, port, token_of(process, folder))
    finally:
        process.terminate()
        process.wait(LATE)


def token_of(process: subprocess.Popen, folder: Path) -> str:
    """Wait until the server has written down where it listens; its token stands there too."""
    end = time.monotonic() + LATE
    while time.monotonic() < end:
        for file in (folder / "runtime").glob("jpserver-*.json"):
            if text := file.read_text():
                return json.loads(text)["token"]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{(folder / 'log.txt').read_text()}")
