"""What a test does as a reader of a notebook in JupyterLab: open it, run it, look at it, move a control."""

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Locator, Page, Route, expect

from labserver import Lab

MINUTES = 20  # for all cells of a notebook, on one core of a slow computer whose other core tests, too
SECONDS = 300  # for a figure, after its control was moved, and for all else that the page does

NOTEBOOK = ".jp-NotebookPanel-notebook"
PLOT = ".js-plotly-plot"  # any of plotly's figures, once it is alive
DRAWN = ":has(.mlayer path, .mlayer image)"
FIGURE = ".jp-RenderedPlotly"  # the output of a go.Figure; a FigureWidget is among .jupyter-widgets
PANEL = "window.jupyterapp.shell.currentWidget"
CELLS = f"() => {PANEL}.content.model.sharedModel.toJSON().cells"
RUN = f"""async minutes => {{
    await {PANEL}.context.ready;
    await {PANEL}.sessionContext.ready;
    await {PANEL}.sessionContext.session.kernel.info;
    await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs');
    const late = new Promise(resolve => setTimeout(() => resolve('late'), 60000 * minutes));
    const run = window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => 'done');
    return await Promise.race([run, late]);
}}"""
SAVE = f"() => {PANEL}.context.save()"
# What an eye sees of a figure: its title and its axes' titles; the shape, place and look of every mark.
LOOK = """plot => ({
    titles: [...plot.querySelectorAll('.gtitle, .xtitle, .ytitle')].map(title => title.textContent).join('; '),
    marks: [...plot.querySelectorAll('.mlayer path, .mlayer image')].map(mark =>
        ['d', 'transform', 'href', 'style'].map(name => mark.getAttribute(name)).join(' ')).join('; '),
})"""


@dataclass
class Reader:
    """One page of the browser, and what went wrong on it."""

    page: Page
    lab: Lab
    console: list[str] = field(default_factory=list)  # the errors that the page wrote to the browser's console
    outside: list[str] = field(default_factory=list)  # addresses beyond this JupyterLab that the page asked for

    def __post_init__(self) -> None:
        self.page.context.route("**/*", self._serve)
        self.page.on("websocket", lambda socket: self._stays(socket.url.replace("ws://", "http://", 1)))
        self.page.on("console", lambda said: self.console.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))

    def _serve(self, route: Route) -> None:
        if self._stays(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _stays(self, url: str) -> bool:
        """Whether a request goes to this JupyterLab; one that does not is written down."""
        stays = url.startswith((f"{self.lab.address}/", "data:", "blob:"))
        self.outside += [] if stays or url in self.outside else [url]
        return stays

    # -- reading ---------------------------------------------------------------------------------------------
    def run(self, name: str) -> None:
        """Open a notebook with a fresh kernel, run all its cells, save it, and touch every figure until it is alive.

        Stored outputs are cleared first, so that every output is one of this run. JupyterLab shows the PNG of a plotly
        figure until the mouse is over it.
        """
        for session in json.loads(self.lab.ask("/api/sessions", self.lab.token)[1]):  # a kernel that lives on would
            self.lab.ask(f"/api/sessions/{session['id']}", self.lab.token, "DELETE")  # send its old widgets again
        self.page.goto(f"{self.lab.address}/lab/tree/notebooks/{name}.ipynb?token={self.lab.token}&reset")
        self.page.wait_for_selector(f"{NOTEBOOK} .jp-Cell", timeout=1000 * SECONDS)
        assert self.page.evaluate(RUN, MINUTES) == "done", f"{name} still runs after {MINUTES} minutes"
        self.page.evaluate(SAVE)
        outputs = [output for cell in self.page.evaluate(CELLS) for output in cell.get("outputs", [])]
        figures = [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})]
        expect(self.page.locator(FIGURE)).to_have_count(len(figures), timeout=1000 * SECONDS)
        for figure in self.page.locator(FIGURE).all():
            figure.hover(position={"x": 50, "y": 50})
        expect(self.page.locator(f"{PLOT}:not({DRAWN})")).to_have_count(0, timeout=1000 * SECONDS)
        expect(self.page.locator(f"{FIGURE}{DRAWN}")).to_have_count(len(figures), timeout=1000 * SECONDS)

    def errors(self) -> list[str]:
        """Cells that did not run, errors in outputs, and errors that a widget shows without stopping the run."""
        found = []
        for cell in self.page.evaluate(CELLS):
            if cell["cell_type"] == "code" and "raises-exception" not in cell["metadata"].get("tags", []):
                found += [] if cell["execution_count"] else [f"not run: {cell['source']}"]
                found += [f"{o['ename']}: {o['evalue']}" for o in cell["outputs"] if o["output_type"] == "error"]
        return found + self.page.locator(".jupyter-widgets").get_by_text("Traceback (most").all_text_contents()

    def nameless(self) -> list[str]:
        """The controls that a screen reader could not name, as HTML."""
        controls = self.page.locator(f"{NOTEBOOK} .jp-OutputArea").locator("select, input, button, [role=slider]")
        seen = controls.locator("visible=true").all()
        return [c.evaluate("e => e.outerHTML") for c in seen if '"' not in c.aria_snapshot().partition("\n")[0]]

    def photograph(self, folder: Path, name: str) -> None:
        """Save the notebook as PNG files, screen by screen: <name>-01.png, <name>-02.png, …"""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{name}-[0-9]*.png"):
            old.unlink()
        outer = self.page.locator(f"{NOTEBOOK} .jp-WindowedPanel-outer")
        outer.evaluate("e => e.scrollTo(0, 0)")
        top, end = outer.bounding_box(), self.page.locator(f"{NOTEBOOK} .jp-Cell").last.bounding_box()
        screen, whole = top["height"], end["y"] + end["height"] - top["y"]
        for i in range(math.ceil(whole / screen)):
            outer.evaluate("(e, y) => e.scrollTo(0, y)", i * screen)
            self.page.wait_for_timeout(200)
            outer.screenshot(path=folder / f"{name}-{i + 1:02}.png")

    # -- acting ----------------------------------------------------------------------------------------------
    def changes(self, control: "Control", what: set[str], seconds: float = SECONDS) -> set[str]:
        """Move a control: which of "titles" and "marks" have changed in its figure, once those in `what` have.

        seconds is how long to wait for that.
        """
        place = control.find(self.page)
        plot = place.locator("xpath=ancestor::*[contains(@class, 'jp-OutputArea-child')]").locator(PLOT).first
        expect(plot).to_be_visible(timeout=1000 * SECONDS)
        before, end = plot.evaluate(LOOK), time.monotonic() + seconds
        control.move(place)
        changed: set[str] = set()
        while not what <= changed and time.monotonic() < end:
            self.page.wait_for_timeout(100)
            after = plot.evaluate(LOOK)
            changed = {part for part in before if before[part] != after[part]}
        return changed


@dataclass(frozen=True)
class Slider:
    """A slider of ipywidgets, found by the label beside it; moved with the keyboard."""

    label: str
    key: str = "ArrowRight"

    def find(self, page: Page) -> Locator:
        return page.locator(f'.widget-slider:has(.widget-label:text-is("{self.label}")) [role=slider]').first

    def move(self, handle: Locator) -> None:
        handle.press(self.key)


@dataclass(frozen=True)
class Dropdown:
    """A dropdown of ipywidgets, found by the label beside it; `option` is not the one that it starts with."""

    label: str
    option: str

    def find(self, page: Page) -> Locator:
        return page.locator(f'.widget-dropdown:has(.widget-label:text-is("{self.label}")) select').first

    def move(self, select: Locator) -> None:
        select.select_option(self.option)


@dataclass(frozen=True)
class Toggle:
    """A button of ToggleButtons, found by the label beside them; not the one that is pressed at first."""

    label: str
    option: str

    def find(self, page: Page) -> Locator:
        buttons = f'.widget-toggle-buttons:has(.widget-label:text-is("{self.label}")) button'
        return page.locator(buttons).get_by_text(self.option, exact=True).first

    def move(self, button: Locator) -> None:
        button.click()


@dataclass(frozen=True)
class Zoom:
    """For a lesson without a widget: the button "Zoom in" of a figure, which is found by its title."""

    title: str

    def find(self, page: Page) -> Locator:
        return page.locator(f'{PLOT}:has(.gtitle:text-is("{self.title}")) [data-title="Zoom in"]').first

    def move(self, button: Locator) -> None:
        button.click()


Control = Slider | Dropdown | Toggle | Zoom
