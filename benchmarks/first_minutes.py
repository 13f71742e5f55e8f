"""What a newcomer waits for: the environment, the first import, the first --help, the first scores.

python benchmarks/first_minutes.py              # in this environment
python benchmarks/first_minutes.py --install    # in a fresh one, which it makes and removes
"""

import argparse
import os
import resource
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

HELP = "import sys; from hf_vitselect.cli.main import main; main(sys.argv[1:-1])"

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


def measure(python: Path, arguments: list[str], folder: Path) -> dict[str, str]:
    """Run a step in a process of its own: its seconds on the clock and on the CPU."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [python, *arguments, folder], env=environment, cwd=folder, check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": f"{time.perf_counter() - start:.2f}", "CPU seconds": f"{cpu:.2f}"}


def install(folder: Path) -> dict[str, str]:
    """Make an environment as `make demo` does, and install the package without its development tools."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", ROOT]
    subprocess.run(pip, check=True)
    return {"what": "environment", "seconds": f"{time.perf_counter() - start:.0f}"}


def megabytes(folder: Path) -> str:
    """The size of all files in a folder."""
    return f"{sum(path.lstat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="make a fresh environment and measure there")
    flags = parser.parse_args()
    from hf_vitselect.report import table

    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), []
        python = Path(sys.executable)
        if flags.install:
            rows.append(install(folder) | {"MB": megabytes(folder / "venv")})
            python = folder / "venv" / "bin" / "python"
        subprocess.run([python, "-c", TINY, folder], cwd=folder, check=True, capture_output=True)
        rows += [{"what": what, **measure(python, step, folder)} for what, step in STEPS.items()]
        print(table(rows, ["what", "seconds", "CPU seconds", "MB"] if flags.install else None))


if __name__ == "__main__":
    main()
