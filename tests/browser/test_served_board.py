"""`make board` in a real browser: voila serves the board and the guided choice to this computer, and to nobody else."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from reader import PLOT, SECONDS

from bench import environment

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
SAYS = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\w+)")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address that voila prints, with its token."""
    if not environment.is_ready("board"):
        pytest.skip(
            "The served board was not verified this time: voila is not there, and no test may install it. "
            "`make test` or `make board` installs it where the package index can be reached."
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "website.served", "--no-browser", f"--port={port}"]
    voila = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        yield next(found[0] for line in voila.stderr if (found := SAYS.search(line)))
    finally:
        voila.terminate()
        voila.wait(SECONDS)


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page with all its widgets. `said`: errors, and requests to other computers."""
    context = browser.new_context(viewport={"width": 900, "height": 1000}, reduced_motion="reduce")
    page = context.new_page()
    page.said = []
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("console", lambda m: page.said.append(m.text) if m.type == "error" else None)
    home = (address.partition("?")[0], "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(home) else page.said.append(r.url))
    expect.set_options(timeout=1000 * SECONDS)
    page.goto(f"{address}&theme={request.param}")
    expect(page.locator(PLOT)).to_be_visible()
    expect(page.get_by_text("Your plan:")).to_be_visible()
    yield page
    context.close()


def test_the_board_and_the_choice_answer_to_the_keyboard(page: Page):
    title = page.locator(f"{PLOT} .gtitle")
    expect(title).to_contain_text("On the front")  # also what Python drew before the page was there
    page.get_by_role("button", name="differences").press("Enter")
    expect(title).to_contain_text("differ clearly from")
    page.get_by_role("combobox", name="Baseline").focus()
    page.keyboard.press("ArrowUp")
    expect(title).to_contain_text("differ clearly from probe")
    plan = page.get_by_text("Your plan:")
    said = plan.text_content()
    page.get_by_role("combobox", name="Must the old task be kept?").focus()
    page.keyboard.press("ArrowUp")
    expect(plan).not_to_have_text(said)
    expect(page.locator("table.ftlib-rows tbody tr").first).to_be_visible()
    theme = "dark" if "theme=dark" in page.url else "light"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"served-board-{theme}.png", full_page=True)
    assert page.said == []


def test_it_fits_900_pixels_and_is_read_by_a_screen_reader(page: Page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    controls = page.locator("select, input, button").locator("visible=true").all()
    assert [c.evaluate("e => e.outerHTML") for c in controls if '"' not in c.aria_snapshot().partition("\n")[0]] == []


def test_without_the_token_there_is_nothing_to_see(browser: Browser, address: str):
    page = browser.new_page()
    page.goto(address.partition("?")[0])
    assert "/login" in page.url and page.locator(PLOT).count() == 0
    page.close()
