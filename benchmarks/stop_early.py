"""What a comparison that may stop early saves: seconds and verdicts of one with and without it.

    hf-vitselect demo --output_dir demo
    python benchmarks/stop_early.py --demo demo

The comparison that may stop early comes first. The other one then only adds the trials that it left out, so
both have the same trials, and the time of the second is that of the first plus that of its additions.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from selection.measure import measured

from hf_vitselect import load_pool
from hf_vitselect.demo import SETTINGS, small_training
from hf_vitselect.evaluation import Comparison, ExactMatch, compare
from hf_vitselect.report import table
from hf_vitselect.selection import CleanBalanced, HardFirst

METHODS = {"default": CleanBalanced(), "hard first": HardFirst(), "no filters": CleanBalanced(filters=())}
"""One that should be better than random rows, one that should be worse, one that may be neither."""


def both(demo: Path, seeds: int) -> list[tuple[Comparison, float]]:
    """The comparison that may stop early and the whole one, with their CPU seconds."""
    pool = load_pool(str(demo / "score" / "scored"))
    held_out = load_pool(str(demo / "data" / "held_out"))
    results, spent = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for stop_early in (True, False):
            run = partial(_compare, pool, held_out, demo, folder, seeds, stop_early)
            comparison, seconds, _ = measured(run)
            spent += seconds
            results.append((comparison, spent))
    return results


def _compare(
    pool: Dataset, held_out: Dataset, demo: Path, folder: str, seeds: int, stop_early: bool
) -> Comparison:
    args = small_training(
        Path(folder),
        epochs=SETTINGS.tune_epochs,
        batch_size=SETTINGS.tune_batch_size,
        learning_rate=SETTINGS.tune_learning_rate,
        seed=0,
    )
    evaluations = {"exact match": ExactMatch(held_out)}
    options: dict[str, Any] = {"seeds": seeds, "args": args, "matched": [], "stop_early": stop_early}
    return compare(pool, METHODS, str(demo / "base"), evaluations, folder, **options)


def main() -> None:
    """Parse the command line, measure, print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--demo", type=Path, required=True, help="the folder of hf-vitselect demo")
    parser.add_argument("--seeds", type=int, default=6)
    args = parser.parse_args()
    disable_progress_bars()
    torch.set_num_threads(1)
    rows = []
    for title, (comparison, seconds) in zip(
        ("may stop early", "whole"), both(args.demo, args.seeds), strict=True
    ):
        lines = comparison.lines["exact match"]
        row = {
            "comparison": title,
            "trials": sum(len(line.means) for line in lines),
            "CPU": f"{seconds:.0f} s",
        }
        rows.append(row | {line.method: _outcome(line) for line in lines if line.random is not None})
    print(table(rows))


def _outcome(line: Any) -> str:
    return f"{line.random.verdict}, {len(line.means)} seeds, {line.card_row()['less random']}"


if __name__ == "__main__":
    main()
