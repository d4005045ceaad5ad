"""`make lab`, started for real: this computer only, with a token, at the first notebook, without news."""

import http.client
import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import setup_env

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Lab:
    """A running JupyterLab."""

    process: subprocess.Popen
    port: int
    token: str

    def ask(self, path: str, token: str | None = None, method: str = "GET", body: str | None = None) -> tuple:
        """One request: (status, body, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Authorization": f"token {token}"} if token else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, dict(answer.getheaders())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab's own command on a free port, with all that it writes in a temporary folder."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    extra = ["--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    places = {
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "IPYTHONDIR": folder / "ipython",
    }
    environment = setup_env.lab_environment(folder / "config") | {name: str(at) for name, at in places.items()}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            setup_env.lab_command(sys.executable, extra),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Lab(process, port, token_of(process, folder))
    finally:
        process.terminate()
        process.wait(30)


def token_of(process: subprocess.Popen, folder: Path) -> str:
    """Wait until the server has written down where it listens; its token stands there too."""
    for _ in range(600):
        for file in (folder / "runtime").glob("jpserver-*.json"):
            if text := file.read_text():
                return json.loads(text)["token"]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{(folder / 'log.txt').read_text()}")


def test_the_command_opens_nothing() -> None:
    command = setup_env.lab_command(Path("python"), [])
    assert command[:3] == ["python", "-m", "jupyterlab"]
    assert [part for part in command if "ip=" in part] == ["--ServerApp.ip=127.0.0.1"]
    risky = ("token", "password", "0.0.0.0", "origin", "xsrf", "remote_access", "auth")
    assert not [part for part in command for word in risky if word in part.lower()]


def test_only_root_is_allowed_root(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    for user in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user, raising=False)
        asked[user] = "--allow-root" in setup_env.lab_command(Path("python"), [])
    assert asked == {0: True, 1000: False}


def test_what_follows_goes_to_the_server() -> None:
    assert setup_env.lab_command(Path("python"), ["--no-browser"])[-1] == "--no-browser"


def test_without_the_token_nothing_is_served(lab: Lab) -> None:
    assert len(lab.token) >= 32
    assert lab.ask("/api/contents")[0] == 403
    assert lab.ask("/api/contents", token="guessed")[0] == 403
    status, body, _ = lab.ask("/api/contents", token=lab.token)
    assert status == 200
    assert {"notebooks", "ftlib", "LICENSE"} <= {entry["name"] for entry in json.loads(body)["content"]}


def test_every_socket_is_on_the_loopback_interface(lab: Lab) -> None:
    """The server's and a kernel's."""
    status, body, _ = lab.ask("/api/kernels", lab.token, "POST", json.dumps({"name": "ftlib"}))
    assert status == 201, body
    server = psutil.Process(lab.process.pid)
    for _ in range(300):
        family = [server, *server.children(recursive=True)]
        open_at = [(p.pid, c.laddr.ip) for p in family for c in p.net_connections("inet") if c.laddr]
        if len({pid for pid, _ in open_at}) > 1:  # the kernel has its sockets too
            break
        time.sleep(0.1)
    assert len({pid for pid, _ in open_at}) > 1
    assert {ip for _, ip in open_at if not ipaddress.ip_address(ip).is_loopback} == set()
    assert lab.ask(f"/api/kernels/{json.loads(body)['id']}", lab.token, "DELETE")[0] == 204


def test_it_opens_the_first_notebook(lab: Lab) -> None:
    status, _, headers = lab.ask("/", lab.token)
    assert (status, headers["Location"].split("?")[0]) == (302, f"/lab/tree/{setup_env.FIRST_PAGE}")


def test_it_asks_for_no_news_and_no_updates(lab: Lab) -> None:
    """Nor does a window ask whether it may; that nothing went out is seen by the last test of all."""
    assert json.loads(lab.ask("/lab/api/news", lab.token)[1]) == {"news": []}
    assert json.loads(lab.ask("/lab/api/update", lab.token)[1])["notification"] is None
    _, body, _ = lab.ask("/lab/api/settings/@jupyterlab/apputils-extension:notification", lab.token)
    defaults = {name: entry["default"] for name, entry in json.loads(body)["schema"]["properties"].items()}
    assert (defaults["fetchNews"], defaults["checkForUpdates"]) == ("false", False)
