"""One recipe for five tools: a table of what each tool honours, and the lines of its files that carry the recipe.

Each change of a control renders the five exports anew. Nothing is trained and no tool is imported. Lines that the last
change has altered are marked, by colour and by a sign. What a tool can't express is said below its lines.
"""

import difflib
import html
import io
import re
from pathlib import Path

import ipywidgets

from ftlib import plots, tools
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.spec import Phase, Spec

RANKS, RATES, STEPS = (4, 8, 16, 64), (1e-5, 1e-4, 1e-3), 40
SCHEDULES = {"constant": [], "linear": [{"LinearDecay": {"warmup": 0.1}}], "cosine": [{"Cosine": {"warmup": 0.1}}]}
SCHEDULES |= {"stable, then down": [{"WarmupStableDecay": {"warmup": 0.1}}], "one cycle": [{"OneCycle": {}}]}
STRATEGIES = ("LoRA", "full", "frozen layers", "two phases")
DATA = ("one set of chats", "two sets, 70 to 30", "plain texts")
ONE, OTHER = "instructions/nyt:train", "instructions/tweets:train"
MIX = {"MultiTask": {"tasks": {"train": 2, "more": 2}, "weights": {"train": 0.7, "more": 0.3}}}
ASPECTS = {  # a column of the table -> how lines begin that take it away
    "strategy": ("variants of LoRA", "loss on the last answer", "setting for the last norm"),
    "rank": ("choice of the rank",),
    "scale, dropout": ("choice of the scale", "choice of the dropout"),
    "schedule": ("schedule", "OneCycle", "WarmupStableDecay", "Cosine", "form of the cooldown", "warmup"),
    "steps": ("number of steps",),
    "data": ("weights of data sets", "way to keep the ends"),
    "loss": ("working mask",),
    "precision": ("choice of float32", "float32", "choice of the precision"),
    "clipping, decay": ("clipping", "weight decay"),
}
COLOURS = {"yes": "#d6e8f5", "no": "#fbe3d3", "refused": "#c5ced6", "": "#ffffff"}
SIGNS = {"yes": "✔", "no": "ignored", "refused": "refused", "": "–"}
LEFT_OUT = re.compile(r"logging|text_field|^(if|return|sets|shares|type=|trainer|rows = (conc|inter)|param_scheduler=)")
LINE = re.compile(r"rank|lora|\br\b|\br=|alpha|dropout|target|l(earning_)?r(ate|_sched)?\b|sched|warm|cosine|linear|decay"
                  r"|steps|epochs|iters|freeze|finetuning|adapter|dataset|DATA|data_files|interleave|mix|train_file"
                  r"|stage|task_type|train_mode|param_scheduler|load_from|full_finetuning|WEIGHTED", re.I)  # fmt: skip
BLOCK = 'style="font: 12px/1.45 monospace; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere"'


class Handover(Panel):
    """`strategy`, `rank`, `rate`, `schedule`, `data`, `tool`, `write`: the controls; `figure`: the table; `files`: lines.

    `exports` holds the files of each tool, or the sentence with which it refuses. `ignored` holds the lines of what
    each tool can't express. `written` is the folder that the button has made last.
    """

    def __init__(self, chats: list, texts: list[str], folder: str | Path):
        self.chats, self.texts, self.folder, self.written = list(chats), list(texts), Path(folder), None
        if len(self.chats) < 2 or not self.texts:
            raise ValueError("the panel needs at least two chats and a plain text: give more rows")
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}

        def buttons(name: str, options: list, value) -> ipywidgets.ToggleButtons:
            style = {"description_width": "initial", "button_width": "auto"}
            return ipywidgets.ToggleButtons(options=options, value=value, description=name, style=style)

        self.strategy = ipywidgets.Dropdown(options=STRATEGIES, description="Strategy", **wide)
        self.rank = buttons("Rank", [(str(r), r) for r in RANKS], 16)
        self.rate = buttons("Rate", [(f"{r:g}", r) for r in RATES], 1e-4)
        self.schedule = ipywidgets.Dropdown(options=list(SCHEDULES), value="cosine", description="Schedule", **wide)
        self.data = ipywidgets.Dropdown(options=DATA, description="Data", **wide)
        self.tool = ipywidgets.Dropdown(options=list(tools.TOOLS), description="Write for", **wide)
        self.write = ipywidgets.Button(description="Write the folder")
        self.figure = live(_empty())
        self.words, self.files, self.lines = status_line(), ipywidgets.HTML(), {}
        self.show()
        controls = [self.strategy, self.rank, self.rate, self.schedule, self.data]
        for control in controls:
            control.observe(self.show, names="value")
        self.write.on_click(self._write)
        children = [*controls, self.figure, self.words, self.files, self.tool, self.write]
        super().__init__(children, lambda: self.alt, lambda: self.still().png)

    @property
    def spec(self) -> Spec:
        """The recipe as a Spec of the kit."""
        name, rank, mixed = self.strategy.value, self.rank.value, self.data.value == DATA[1]
        parts = {"full": [], "frozen layers": [{"FreezeFirst": {"k": 29}}]}.get(name, [{"LoRA": {"r": rank}}])
        parts = [*parts, *SCHEDULES[self.schedule.value], *([MIX] if mixed else [])]
        data = {"train": ONE, "more": OTHER} if mixed else {"train": ONE}
        fit = {"steps": STEPS, "lr": self.rate.value, "batch_size": 4, "data": data}
        phases = [Phase(parts, **fit) for _ in range(2 if name == "two phases" else 1)]
        return Spec("recipe", "instructions/nyt", "smollm2", seed=0, phases=phases)

    def _rows(self) -> dict[str, list]:
        if self.data.value == DATA[2]:
            return {ONE: self.texts}
        half = len(self.chats) // 2
        return {ONE: self.chats[:half], OTHER: self.chats[half:]} if self.data.value == DATA[1] else {ONE: self.chats}

    @property
    def rank_ignored(self) -> dict[int, str]:
        """What xTuring ignores of each rank, or ""."""
        found = {}
        for rank in RANKS:
            files = tools.tool("xturing").render(self._lora(rank), self.chats)
            lost = [line.rpartition("ignored: ")[2] for line in tools.lost_in(files) if "the rank" in line]
            found[rank] = "".join(lost)
        return found

    def _lora(self, rank: int) -> Spec:
        phase = Phase([{"LoRA": {"r": rank}}], steps=STEPS, lr=self.rate.value, batch_size=4, data={"train": ONE})
        return Spec("recipe", "instructions/nyt", "smollm2", seed=0, phases=[phase])

    def show(self, _=None) -> None:
        """Render what the controls say; what is on the screen is changed in place."""
        self.rank.disabled = self.strategy.value not in ("LoRA", "two phases")
        self.exports, self.ignored, before = {}, {}, self.lines
        spec, rows = self.spec, self._rows()
        for name in tools.TOOLS:
            try:
                self.exports[name] = tools.tool(name).render(spec, rows)
                lost = [line.removeprefix("this tool has no ") for line in tools.lost_in(self.exports[name])]
                self.ignored[name] = lost
            except ValueError as error:
                self.exports[name], self.ignored[name] = str(error), []
        self.lines = {name: _lines(made) for name, made in self.exports.items()}
        self.marks = {name: _new(before.get(name), lines) for name, lines in self.lines.items()}
        self.table = {name: self._row(name) for name in tools.TOOLS}
        self.alt = f"{self.title}. " + " ".join(self._sentence(name) for name in tools.TOOLS)
        names, columns = list(self.table), list(ASPECTS)
        words = [[SIGNS[self.table[name][aspect]] for aspect in columns] for name in names]
        values = [[list(COLOURS).index(self.table[name][aspect]) for aspect in columns] for name in names]
        self.figure.plotly_update(
            restyle_data={"z": [values], "text": [words]},
            relayout_data={"title.text": self.title, "meta": {"alt": self.alt}},
        )
        set_status(self.words, self.alt)
        blocks = "".join(self._block(name) for name in tools.TOOLS)
        grid = "display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 10px"
        self.files.value = f'<div style="{grid}">{blocks}</div>'

    @property
    def title(self) -> str:
        """The recipe in a few words."""
        rank = "" if self.rank.disabled else f", rank {self.rank.value}"
        return f"{self.strategy.value}{rank}, {self.schedule.value} from {self.rate.value:g}, {self.data.value}"

    def still(self) -> plots.Picture:
        """The table as it is now, without a widget."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(10.0, 3.1), dpi=100, layout="constrained")
        axes = canvas.subplots()
        axes.set_title(f"What each tool honours of: {self.title}", fontsize=10)
        axes.axis("off")
        cells = [[SIGNS[state] for state in row.values()] for row in self.table.values()]
        colours = [[COLOURS[state] for state in row.values()] for row in self.table.values()]
        drawn = axes.table(
            cells,
            cellColours=colours,
            rowLabels=list(self.table),
            colLabels=list(ASPECTS),
            loc="center",
            cellLoc="center",
        )
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(8)
        drawn.scale(1, 1.8)
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return plots.Picture(out.getvalue(), self.alt)

    def _row(self, name: str) -> dict[str, str]:
        """What becomes of each aspect: "yes", "no", "refused", or "" where the recipe has none of it."""
        if isinstance(self.exports[name], str):
            return dict.fromkeys(ASPECTS, "refused")
        found = {
            aspect: "no" if any(line.startswith(about) for line in self.ignored[name]) else "yes"
            for aspect, about in ASPECTS.items()
        }
        without = ("rank", "scale, dropout") if self.rank.disabled else ()
        without += ("loss",) if self.data.value == DATA[2] else ()
        return found | dict.fromkeys(without, "")

    def _sentence(self, name: str) -> str:
        if isinstance(self.exports[name], str):
            return f"{name}: refused."
        lost = [aspect for aspect, state in self.table[name].items() if state == "no"]
        return f"{name}: {'ignored: ' + ', '.join(lost) if lost else 'all honoured'}."

    def _block(self, name: str) -> str:
        """One tool's lines as HTML. A new line has a sign before it and a background."""
        made = self.exports[name]
        head = f'<p style="margin: 0 0 2px"><b>{name}</b> {html.escape(_main(made))}</p>'
        if isinstance(made, str):
            return f"<div>{head}<p>✘ {html.escape(made)}</p></div>"
        shown = "".join(
            f'<mark style="background: #fbe3d3; color: #000">▸ {html.escape(line)}</mark>\n' if new
            else f"  {html.escape(line)}\n"
            for line, new in zip(self.lines[name], self.marks[name])
        )  # fmt: skip
        lost = "".join(f"<li>no {html.escape(line)}</li>" for line in self.ignored[name]) or "<li>nothing ignored</li>"
        box = "max-height: 260px; overflow-y: auto; border: 1px solid #9aa5b1; padding: 4px"
        label = f"lines of {name}"
        return (
            f'<div>{head}<div tabindex="0" role="group" aria-label="{label}" style="{box}"><pre {BLOCK}>{shown}</pre>'
            f'</div><ul style="margin: 2px 0; padding-left: 18px; line-height: 1.4">{lost}</ul></div>'
        )

    def _write(self, _) -> None:
        """Write the files that are shown. The base model isn't copied: `tools.export` does that for a run in earnest."""
        made = self.exports[self.tool.value]
        if isinstance(made, str):
            set_status(self.words, f"{self.tool.value}: refused. {made}", right=False)
            return
        count = 1 + sum(1 for _ in self.folder.glob(f"{self.tool.value}_*"))
        self.written = self.folder / f"{self.tool.value}_{count}"
        for file, text in made.items():
            (self.written / file).parent.mkdir(parents=True, exist_ok=True)
            (self.written / file).write_text(text, encoding="utf-8", newline="\n")
        set_status(self.words, f"Written to the folder {self.written.name}: {', '.join(sorted(made))}.", right=True)


def handover(chats: list, texts: list[str], folder: str | Path) -> Handover:
    """Write one recipe in the dialects of five tools.

    chats: rows as `tools.rows_of` gives them. texts: plain texts, for domain pre-training. folder: where the button
    writes, a new folder for each press.
    """
    return Handover(chats, texts, folder)


def _main(made) -> str:
    """The file that carries the settings."""
    if isinstance(made, str):
        return ""
    ends = ("train_1.yaml", "config_1.py", "train_1.py", "train_1.json", "train.py")
    return next(file for end in ends for file in made if file == end)


def _lines(made) -> list[str]:
    """The lines of a tool's settings that carry the recipe."""
    if isinstance(made, str):
        return []
    held = made[_main(made)].splitlines()
    start = next((i for i, line in enumerate(held) if re.match(r"(base|DATA|rows|model) ?=", line)), 0)
    code = [line for line in held[start:] if not line.lstrip().startswith(("import", "from", "def ", "#"))]
    return [line.strip() for line in code if LINE.search(line) and not LEFT_OUT.search(line.strip())]


def _new(before: list[str] | None, lines: list[str]) -> list[bool]:
    """Which lines weren't there before the last change. At first none is new."""
    if before is None:
        return [False] * len(lines)
    same = {i for block in difflib.SequenceMatcher(None, before, lines, False).get_matching_blocks()
            for i in range(block.b, block.b + block.size)}  # fmt: skip
    return [i not in same for i in range(len(lines))]


def _empty() -> plots.Figure:
    fig = plots.figure("", "", "", "")
    names, columns = list(tools.TOOLS), list(ASPECTS)
    scale = [[k / 3, colour] for k, colour in enumerate(COLOURS.values())]
    fig.add_heatmap(
        z=[[0] * len(columns) for _ in names], x=columns, y=names, text=[[""] * len(columns) for _ in names],
        texttemplate="%{text}", textfont={"color": "#1f2933"}, colorscale=scale, zmin=0, zmax=3, showscale=False,
        xgap=3, ygap=3, hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    fig.update_yaxes(autorange="reversed", type="category")
    fig.update_xaxes(type="category", side="top")
    return fig.update_layout(height=270, margin={"l": 90, "r": 10, "t": 80, "b": 10})
