"""The page and the commands that every export has."""

from ftlib.tools.recipes import Recipe

ONE_EACH = "Give each tool an environment of its own: their pins of transformers exclude each other."
ALIVE = (
    "Ask the model a question with the adapter and without it. An adapter whose names fit nowhere is loaded without an "
    "error and changes nothing. The kit tries it and says so: `python -m ftlib import FOLDER --from {tool}`, with this "
    "folder."
)


def whole(
    made: Recipe, tool: tuple[str, str, list[str], list[str]], files: dict[str, str], steps: list[str], lost: list[str],
    inside: str = "", form: str = "",
) -> dict[str, str]:  # fmt: skip
    """The files with run.sh and README.md.

    tool: (name, version, how to install it, notes). steps: the commands, from inside the folder. inside: the part of
    the last run's folder that holds the result. form: its form, where it is no ordinary folder.
    """
    name, version, install, notes = tool
    lora = made.stages[-1].method == "lora"
    form = form or f"an ordinary folder of {'peft' if lora else 'transformers'}"
    script = "#!/bin/sh\n# Run inside this folder, in the environment of README.md.\nset -e\n"
    lost = [f"this tool has no {line}" for line in dict.fromkeys(lost)]
    size = ", ".join(f"{file} ({len(rows)})" for file, rows in made.rows.items())
    text = [
        f"# {made.name}, for {name} {version}",
        f"Base model: {made.base.name}, in the folder base. Rows: {size}. Seed {made.seed}. These files were written "
        "by the Fine-Tuning Lab. Its page docs/tools.md lists the checks with the tool itself.",
        f"## Set up\n\n{ONE_EACH}\n\n```\n" + "\n".join(install) + "\n```",
        "## Run\n\n```\n" + "\n".join(steps) + "\n```\n\nOr `sh run.sh`, which stops at the first error.",
        f"## Result\n\nThe last run writes out/{len(made.stages)}{inside}, {form}."
        + (f" {ALIVE.format(tool=name.lower())}" if lora else ""),
        "## Not expressed\n\n" + ("\n".join(f"- {line}" for line in lost) or "Everything of this Spec is expressed."),
    ]
    if notes:
        text.append("## Good to know\n\n" + "\n".join(f"- {note}" for note in notes))
    return {**files, "run.sh": script + "\n".join(steps) + "\n", "README.md": "\n\n".join(text) + "\n"}


def lost_in(files: dict[str, str]) -> list[str]:
    """List the parts of a Spec that a tool can't express.

    Parameters
    ----------
    files : dict of str to str
        As a tool's `render` gives them.

    Returns
    -------
    list of str
        "this tool has no …; ignored: …", a line each.

    Examples
    --------
    >>> from ftlib.tools import lost_in, xturing
    >>> phase = ftlib.Phase([{"LoRA": {"r": 4}}], steps=9, lr=1e-3)
    >>> spec = ftlib.Spec("lora", "instructions/nyt", "smollm2", seed=0, phases=[phase])
    >>> lost_in(xturing.render(spec, [[("user", "Good?"), ("assistant", "Yes.")]]))[0]
    'this tool has no choice of the rank; ignored: r=4, it is 8'
    """
    part = files["README.md"].partition("## Not expressed\n\n")[2].partition("\n\n")[0]
    return [line.removeprefix("- ") for line in part.splitlines() if line.startswith("- ")]
