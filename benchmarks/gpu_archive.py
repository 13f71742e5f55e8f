"""One archive under 64 MiB with the packages that a bare GPU machine with torch lacks.

    python benchmarks/gpu_archive.py --python 3.12 --out carried.tar.xz

Holds `site-packages/` with this package and the wheels of constraints.txt for that Python (Linux, x86-64),
without tests and headers. torch, numpy, scipy and jinja2 are the machine's own. The folder's name matters:
libraries use it to distinguish installed packages from a user's code.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CARRIED = (
    "accelerate anyio click cloudpickle datasets dill filelock fsspec h11 hf-xet httpcore2 httpx2 "
    "huggingface_hub idna markdown-it-py mdurl multiprocess packaging pandas peft pillow psutil pyarrow "
    "python-dateutil regex safetensors shellingham threadpoolctl tokenizers tqdm transformers trl truststore "
    "typer typing_extensions xxhash"
)
OLDER = {"pyarrow": "24.0.0"}
"""Later ones do not fit: the oldest that `datasets` takes."""

PLATFORMS = [
    f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_24", "_2_17", "2014", "_2_12", "2010", "1")
]
UNUSED = ("/tests/", "/include/", "/libarrow_flight", "/libarrow_acero_testing", "/src/")


def main() -> None:
    """Download and extract the wheels, drop unused files, write the archive."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--python", default="3.12", help="the machine's Python")
    parser.add_argument("--out", type=Path, default=Path("carried.tar.xz"), help="the archive")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels, site = Path(folder, "wheels"), Path(folder, "site-packages")
        download(args.python, wheels)
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site, [name for name in archive.namelist() if not unused(name)])
        with tarfile.open(args.out, "w:xz", preset=2) as archive:
            archive.add(site, "site-packages")
    print(f"{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")


def download(python: str, folder: Path) -> None:
    """The wheels for that Python in the versions of constraints.txt, and this package's."""
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    names = [f"{name}=={OLDER.get(name, pinned[name])}" for name in CARRIED.split()]
    platforms = [option for name in PLATFORMS for option in ("--platform", name)]
    command = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", python]
    whole = [sys.executable, "-m", "pip", *command, *platforms, "--dest", str(folder), *names]
    subprocess.run(whole, check=True)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True)


def unused(name: str) -> bool:
    """Whether nothing here reads a wheel's file."""
    return any(part in f"/{name}" for part in UNUSED) or name.endswith((".pyx", ".pxd", ".pyi"))


if __name__ == "__main__":
    main()
