"""`make lab`, started for real: this computer only, with a token, at the first notebook, without news."""

import ipaddress
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import labserver
import setup_env
from labserver import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab's own command on a free port, with all that it writes in a temporary folder."""
    with labserver.running(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


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
    end = time.monotonic() + labserver.LATE
    while time.monotonic() < end:
        family = [server, *server.children(recursive=True)]
        open_at = [(p.pid, ip) for p in family for ip in addresses(p)]
        if len({pid for pid, _ in open_at}) > 1:  # the kernel has its sockets too
            break
        time.sleep(0.1)
    assert len({pid for pid, _ in open_at}) > 1
    assert {ip for _, ip in open_at if not ipaddress.ip_address(ip).is_loopback} == set()
    assert lab.ask(f"/api/kernels/{json.loads(body)['id']}", lab.token, "DELETE")[0] == 204


def addresses(process: psutil.Process) -> list[str]:
    """Where a process has sockets; one that ends while it is looked at has none."""
    try:
        return [c.laddr.ip for c in process.net_connections("inet") if c.laddr]
    except psutil.NoSuchProcess:
        return []


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


def test_memory_is_freed(lab: Lab) -> None:
    """A closed notebook's kernel is shut down, and an idle one some time later."""
    _, body, _ = lab.ask("/lab/api/settings/@jupyterlab/notebook-extension:tracker", lab.token)
    assert json.loads(body)["schema"]["properties"]["kernelShutdown"]["default"] is True
    command = setup_env.lab_command(Path("python"), [])
    assert {"--MappingKernelManager.cull_idle_timeout=7200", "--MappingKernelManager.cull_connected=True"} <= {*command}


def test_what_nbgrader_adds_stays_away_from_learners(lab: Lab) -> None:
    """It is installed for teachers: its menu and buttons would only ask learners for a course that they don't have."""
    _, body, _ = lab.ask("/lab", lab.token)
    page = json.loads(re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', body, re.S)[1])
    assert set(setup_env.TEACHERS_PAGES) <= set(page["disabledExtensions"])
    assert "anywidget" in {extension["name"] for extension in page["federated_extensions"]}  # learners' own are there
    assert lab.ask("/formgrader", lab.token)[0] == 404
    assert lab.ask("/tree", lab.token)[0] == 404
