"""`make site` in a real browser: the built site, from a disk and from a server, and the board's numbers.

Sphinx has an environment of its own, and no test may install it. Where it is not there, the tests of the built site say
"not verified" in the summary; the board's numbers need no Sphinx.
"""

import functools
import json
import re
import subprocess
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from reader import SECONDS

import ftlib
from bench import environment
from website import board_data

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "website" / "static"
LOADS = re.compile(r"<(?:script|link|img|iframe|source|video|object)\b[^>]*?(?:src|href|data)=\"((?:https?:)?//[^\"]*)")
MOST = 60e6  # bytes of the whole site
PAGES = ["index.html", "board.html", "docs/claims.html", "docs/lessons.html", "reference/machine.html"]
PAGES += ["notebooks/02_freezing.html", "docs/glossary.html"]
OURS = {"include": [[".ft-figure"], [".ft-question"]]}  # on a page of a lesson: all of it takes a minute


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A warning of Sphinx, of a dead link for example, is an error."""
    if not environment.is_ready("site"):
        pytest.skip(
            "The site was not verified this time: its environment is not there, and no test may install it. "
            "`make test` or `make site` installs it where the package index can be reached."
        )
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [environment.python_of("site"), "-m", "website", folder]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def served(site: Path):
    """The address of a server on this computer that hands the site out."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def visit(browser):
    """A function that opens an address: the page, which keeps in `said` all errors and all requests to elsewhere."""
    contexts = []
    expect.set_options(timeout=1000 * SECONDS)

    def opened(address: str, **options) -> Page:
        contexts.append(browser.new_context(viewport={"width": 900, "height": 900}, reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.said = []
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("console", lambda m: page.said.append(m.text) if m.type in ("error", "warning") else None)
        left = "net::ERR_ABORTED"  # the page was left meanwhile
        page.on("requestfailed", lambda r: None if r.failure == left else page.said.append(r.url))
        home = ("file:", "data:", "blob:", "about:", address[:20] if address.startswith("http") else "file:")
        page.on("request", lambda r: None if r.url.startswith(home) else page.said.append(r.url))
        page.goto(address, wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()


# -- the built site ------------------------------------------------------------------------------------------
def test_no_page_loads_anything_from_outside_and_every_link_leads_somewhere(site: Path):
    pages = sorted(page for page in site.rglob("*.html") if "_static" not in page.parts)
    assert len(pages) > 50 and sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < MOST
    assert len(list(site.rglob("plotly*.js"))) == 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert LOADS.findall(text) == [], page
        for target in re.findall(r'<(?:a|link|script|img)\b[^>]*?(?:href|src)="([^"#?:]+)[^":]*"', text):
            assert (page.parent / target).exists(), f"{page.relative_to(site)} names {target}"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_a_disk_and_from_a_server(name: str, site: Path, served: str, visit: Callable):
    for address, scheme in (((site / name).as_uri(), "light"), (served + name, "dark")):
        page = visit(address, color_scheme=scheme)
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        assert page.said == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than 900 pixels"
    page.evaluate(axe())
    found = page.evaluate("where => axe.run(where)", OURS if name.startswith("notebooks/") else "body")["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []


def axe() -> str:
    """axe-core, from the site's environment."""
    found = list(environment.venv("site").glob("**/axe_playwright_python/axe.min.js"))
    return found[0].read_text(encoding="utf-8")


def test_a_figure_of_a_lesson_comes_alive_by_the_keyboard(site: Path, visit: Callable):
    page = visit((site / "notebooks" / "02_freezing.html").as_uri())
    figure = page.locator(".ft-figure").first
    expect(figure.locator("img")).to_have_attribute("alt", re.compile("Two bars"))
    assert page.evaluate("typeof Plotly") == "undefined"
    figure.get_by_role("button", name="Make this figure interactive").press("Enter")
    expect(figure.locator(".main-svg").first).to_be_visible()
    expect(figure.locator("img")).to_be_hidden()
    expect(figure.get_by_role("figure", name=re.compile("Two bars"))).to_be_focused()
    assert page.said == []


def test_formulas_are_drawn_and_the_search_finds_words(site: Path, visit: Callable):
    page = visit((site / "notebooks" / "06_schedules.html").as_uri())
    formula = page.locator("math[display=block] mfrac").first
    assert formula.evaluate("e => e.getBoundingClientRect().height") > 20
    page = visit(f"{(site / 'search.html').as_uri()}?q=BatchNorm")
    expect(page.locator("#search-results li").first).to_be_visible()
    assert page.said == []


def test_the_board_is_used_by_the_keyboard(site: Path, visit: Callable):
    page = visit((site / "board.html").as_uri() + "#lesson=02_freezing")
    words, rows = page.locator("#differences-words"), page.locator("#rows tr")
    expect(words).to_contain_text("Against full, paired by seed, intervals corrected for 8 comparisons.")
    expect(rows).to_have_count(9)
    drawn = page.locator("#differences-figure .scatterlayer .trace")
    expect(drawn).to_have_count(8)
    page.get_by_role("combobox", name="Baseline", exact=True).focus()
    page.keyboard.press("ArrowDown")
    expect(words).to_contain_text("Against freeze-3")
    page.get_by_role("combobox", name="Measure", exact=True).select_option("test.nll")
    expect(words).to_contain_text("Lower is better here.")
    page.get_by_role("combobox", name="Cost", exact=True).select_option("parameters.trainable")
    expect(page.locator("#cost-words")).to_contain_text("Least trained parameters: probe")
    page.reload()  # what was chosen is kept in the address
    expect(words).to_contain_text("Against freeze-3")
    assert page.said == []


# -- the board's numbers -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def numbers(browser) -> Page:
    """A page with the board's data and arithmetic, and nothing else."""
    page = browser.new_page()
    for text in (board_data.script(), (STATIC / "stats.js").read_text(), "Object.assign(window, {BOARD, Stats})"):
        page.add_script_tag(content=text)
    yield page
    page.close()


COMPARED = [  # grid, task, options, metric, baseline
    ("02_freezing", "elpv", {"n": 200, "size": 64}, "test.balanced_accuracy", "full"),
    ("01_full_sizes", "sentiment/amazon", {"n": 50}, "test.nll", "probe"),
    ("08_augmentation_tasks", "digits/optical", {"n": 100, "size": 32}, "validation.accuracy", "none"),
    ("05_multitask_more", "sentiment/amazon", {"n": 50, "held_out": 300}, "test.macro_f1", None),  # three seeds
    ("06_schedules_llm", "instructions/amazon", {"n": 64, "held_out": 64}, "validation.nll", None),
    ("02_freezing_cost", "elpv", {"n": 200, "size": 64}, "test.accuracy", "full"),
]


@pytest.mark.parametrize(("grid", "task", "options", "metric", "baseline"), COMPARED)
def test_the_board_says_what_the_library_says(numbers: Page, grid, task, options, metric, baseline):
    runs = ftlib.load_runs(grid).query("purpose == 'measure' and task == @task")
    for name, value in options.items():
        runs = runs[runs[name] == value]
    baseline = baseline or runs.arm.iloc[0]
    if metric not in runs or runs[metric].isna().any():
        pytest.fail(f"{grid} has no {metric} any more: name another one")
    wanted = json.dumps([grid, task, options])
    found = numbers.evaluate(
        f"""() => {{ const [grid, task, options] = {wanted};
        const one = BOARD.settings.find((one) => one.grid === grid && one.task === task
            && Object.entries(options).every(([name, value]) => one.options[name] === value));
        const pairs = one.arms.map((arm) => [arm, Stats.paired(one, {metric!r}, arm, {baseline!r})]);
        return [Stats.table(one, {metric!r}, {baseline!r}), Object.fromEntries(pairs)]; }}"""
    )
    ours, pairs = {row["arm"]: row for row in found[0]}, found[1]
    table = ftlib.table(runs, metric, baseline)
    assert set(ours) == set(table.index) and len(table) > 1
    for arm, row in table.iterrows():
        close = functools.partial(pytest.approx, rel=1e-4, abs=5e-6)  # the board keeps six digits of each number
        assert [ours[arm][name] for name in ("mean", "low", "high")] == close(row[["mean", "low", "high"]].tolist())
        if arm == baseline:
            continue
        theirs = row[["difference", "corrected_low", "corrected_high", "p"]].tolist()
        assert [ours[arm]["difference"][name] for name in ("mean", "low", "high", "p")] == close(theirs)
        words = {"higher": "higher", "lower": "lower"}.get(row["reading"], "can't tell")
        assert ours[arm]["words"] == (words if row["seeds"] >= 6 else "no verdict: fewer than six seeds")
        alone = ftlib.paired(runs, metric, arm, baseline)
        assert [pairs[arm][name] for name in ("mean", "low", "high", "p")] == close(
            [alone.mean, alone.low, alone.high, alone.p]
        )


def test_arms_with_other_seeds_meet_where_both_have_one(numbers: Page):
    one = {"arms": ["a", "b"], "runs": {"arm": [0, 0, 0, 1, 1], "seed": [1, 2, 3, 3, 2], "m": [5, 6, 7, 9, None]}}
    assert numbers.evaluate("one => Stats.pairs(one, 'm', 'a', 'b')", one) == [[3, 7, 9]]
    assert numbers.evaluate("one => Stats.paired(one, 'm', 'a', 'b').high === Infinity", one)
    assert numbers.evaluate("one => Stats.table(one, 'm', 'a')[1].words", one) == "no verdict: fewer than six seeds"
