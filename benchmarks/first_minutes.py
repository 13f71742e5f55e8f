"""What a newcomer waits for: the environment, the first import, the first --help, the first scores.

python benchmarks/first_minutes.py                      # in this environment
python benchmarks/first_minutes.py --install            # in fresh ones, which it makes and removes
python benchmarks/first_minutes.py --before CHECKOUT    # next to an older commit, checked out there
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]

TINY = """
import sys
from hf_vitselect.demo import build_llava, build_processor, render_pool, save
processor = build_processor()
save(build_llava(processor), processor, sys.argv[1] + "/model")
render_pool(64).save_to_disk(sys.argv[1] + "/pool")
"""

HELP = "import sys; from hf_vitselect.cli.main import main; sys.exit(main(sys.argv[1:-1]))"

STEPS = {
    "`import hf_vitselect`": ["-c", "import hf_vitselect"],
    "`hf-vitselect --help`": ["-c", HELP, "--help"],
    "`hf-vitselect train --help`": ["-c", HELP, "train", "--help"],
    "`hf-vitselect train --help_all`": ["-c", HELP, "train", "--help_all"],
    "`from hf_vitselect import score, select_diverse`": [
        "-c",
        "from hf_vitselect import score, select_diverse",
    ],
    "scores of 64 rows with a tiny model on a CPU": [
        "-c",
        "from hf_vitselect import NecessityScorer, load_pool, score\n"
        "score(load_pool('pool'), NecessityScorer('model'), 'scores')",
    ],
}


def measure(python: Path, arguments: list[str], folder: Path, code: Path | None = None) -> dict[str, str]:
    """Run a step in a process of its own: its seconds on the clock and on the CPU, none if it fails.

    `code` is the checkout whose package runs; None for the installed one.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    if code is not None:
        environment["PYTHONPATH"] = str(code.resolve())
        shutil.rmtree(folder / "scores", ignore_errors=True)
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command, today = [python, *arguments, folder], code in (None, ROOT)
    done = subprocess.run(command, env=environment, cwd=folder, check=today, capture_output=True)
    if done.returncode:
        return {}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": f"{time.perf_counter() - start:.2f}", "CPU seconds": f"{cpu:.2f}"}


def install(venv: Path, extras: str = "") -> dict[str, str]:
    """Make an environment, and install the package with these extras: its seconds and megabytes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", f"{ROOT}{extras}"]
    subprocess.run(pip, check=True)
    return {"seconds": f"{time.perf_counter() - start:.0f}", "MB": megabytes(venv)}


def megabytes(folder: Path) -> str:
    """The size of all files in a folder."""
    return f"{sum(path.lstat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="make a fresh environment and measure there")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="an older commit to run in turns")
    flags = parser.parse_args()
    from hf_vitselect.report import table

    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), []
        python = Path(sys.executable)
        if flags.install:
            rows.append({"what": "environment"} | install(folder / "venv"))
            rows.append({"what": "environment of `make demo`"} | install(folder / "dev", "[dev]"))
            python = folder / "venv" / "bin" / "python"
        subprocess.run([python, "-c", TINY, folder], cwd=folder, check=True, capture_output=True)
        for what, step in STEPS.items():
            row = {"what": what}
            if flags.before:
                older = measure(python, step, folder, flags.before)
                row |= {f"{name}, before": older.get(name) for name in ("seconds", "CPU seconds")}
            rows.append(row | measure(python, step, folder, ROOT if flags.before else None))
        print(table(rows, ["what", "seconds", "CPU seconds", "MB"] if flags.install else None))


if __name__ == "__main__":
    main()
