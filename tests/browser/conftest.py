"""A real browser for the tests in this folder: Chromium, driven by playwright, which may reach this computer only."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from reader import SECONDS, Reader

import labserver
from labserver import Lab

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # the first one found is taken
MISSING = "no browser found: install Debian's chromium, or name a Chromium or Chrome in the variable CHROMIUM"
SCREEN = {"width": 1280, "height": 1000}  # pixels
OFFLINE = [  # no name but this computer's is looked up, and the browser's own services stay silent
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--no-pings",
    "--disable-features=AutofillServerCommunication,OptimizationHints,MediaRouter,Translate",
]
SETTINGS = {
    "notebook__tracker": {"windowingMode": "none"},  # every cell is on the page, also those off the screen
    "docmanager__plugin": {"autosave": False},
}


def find_browser() -> str | None:
    """The browser's program: what CHROMIUM names, or what is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Where there is none, the tests are left out, for this reason only; in continuous integration they fail.

    One for each file, and not for the whole session: while playwright is at work, no other test can use asyncio.
    """
    program = find_browser()
    if not program and os.environ.get("CI"):
        pytest.fail(MISSING)
    if not program:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OFFLINE, timeout=1000 * SECONDS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def kit(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a notebook reads, so that nothing that a test runs or saves touches the originals."""
    folder = tmp_path_factory.mktemp("kit")
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return folder


@pytest.fixture(scope="module")
def lab(browser: Browser, kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on that copy, with the kit's command."""
    extra = ["--LabApp.expose_app_in_browser=True"]
    with labserver.running(tmp_path_factory.mktemp("lab"), root=kit, extra=extra, **SETTINGS) as lab:
        yield lab


@pytest.fixture
def reader(browser: Browser, lab: Lab) -> Iterator[Reader]:
    """Somebody with a fresh profile in front of it."""
    context = browser.new_context(viewport=SCREEN, reduced_motion="reduce", service_workers="block")
    context.set_default_timeout(1000 * SECONDS)
    expect.set_options(timeout=1000 * SECONDS)
    yield Reader(context.new_page(), lab)
    context.close()
