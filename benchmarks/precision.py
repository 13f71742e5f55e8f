"""Do scores in half precision pick the same rows?

    python benchmarks/precision.py measure --fashion FOLDER     added to results/precision.jsonl
    python benchmarks/precision.py page                         a table of docs/results/scoring.md

Necessity and image gain are computed again in half precision; the CLIP embedding stays as it is. Pools and
models are those of benchmarks/evidence.py. FOLDER has the four files of Fashion-MNIST; see
benchmarks/trials/garments.py.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_caching, disable_progress_bars
from evidence import DEFAULT
from results_page import commit, fill
from scipy.stats import spearmanr
from trials.beds import Pool
from trials.commands import results_commands, run_command
from trials.plan import POOL_SEEDS
from trials.trial import append_line, choose, read_lines

from hf_vitselect import ImageGain, NecessityScorer, score
from hf_vitselect.call_text import write_call
from hf_vitselect.report import table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "precision.jsonl"
PAGE = HERE.parent / "docs" / "results" / "scoring.md"
DTYPES = ("bfloat16", "float16")
BUDGETS = (0.05, 0.15, 0.3)


def measure_pool(pool: Pool, dtype: str, folder: Path) -> dict[str, Any]:
    """Score a pool again, and compare scores and picks with those in float32."""
    scored, size = pool.scored(folder), pool.bed.settings.scoring_batch_size
    seed = str(pool.folder(folder) / "seed")
    scorers = [kind(seed, batch_size=size, dtype=dtype) for kind in (NecessityScorer, ImageGain)]
    columns = [name for scorer in scorers for name in scorer.features]
    again = score(scored.remove_columns(columns), scorers)
    picks = {f"{budget:.0%}": same_picks(scored, again, budget) for budget in BUDGETS}
    return {
        "testbed": pool.bed.name,
        "pool": pool.seed,
        "dtype": dtype,
        **{scorer.column: apart(scored, again, scorer.column) for scorer in scorers},
        "picks": picks,
        "date": str(date.today()),
        "commit": commit(),
    }


def apart(scored: Dataset, again: Dataset, column: str) -> dict[str, float]:
    """Rank correlation and largest difference of two versions of a score."""
    old, new = (np.array(each[column], dtype=np.float64) for each in (scored, again))
    known = np.isfinite(old) & np.isfinite(new)
    rank = float(spearmanr(old[known], new[known]).statistic)
    return {"rank correlation": rank, "largest difference": float(np.abs(old - new)[known].max())}


def same_picks(scored: Dataset, again: Dataset, budget: float) -> float:
    """The share of picks that both versions have."""
    old, new = (set(choose(each, write_call(DEFAULT), budget, 0)[1]) for each in (scored, again))
    return len(old & new) / len(old)


def measure(args: argparse.Namespace) -> None:
    """Measure every pool of the verdicts."""
    disable_progress_bars()
    disable_caching()  # else scores of an earlier version of the code come back
    torch.set_num_threads(1)
    done = read_lines(args.results)
    for name, bed in args.beds.items():
        for seed in POOL_SEEDS[name]:
            for dtype in DTYPES:
                if (key := f"{name}, pool {seed}, {dtype}") not in done:
                    line = measure_pool(Pool(bed, "flawed", seed), dtype, args.folder)
                    append_line(args.results, {"key": key, **line})
                    print(json.dumps(line), flush=True)


def write_page(args: argparse.Namespace) -> None:
    """Fill the table of docs/results/scoring.md."""
    lines = list(read_lines(args.results).values())
    args.page.write_text(fill(args.page.read_text(), "precision", {"picks": lambda: _table(lines)}))
    print(args.page)


def _table(lines: list[dict[str, Any]]) -> str:
    """A row for each testbed and dtype: the most that its pools differ, and the mean share of equal picks."""
    rows = []
    for testbed, dtype in dict.fromkeys((line["testbed"], line["dtype"]) for line in lines):
        own = [line for line in lines if (line["testbed"], line["dtype"]) == (testbed, dtype)]
        row: dict[str, Any] = {"testbed": testbed, "dtype": dtype, "pools": len(own)}
        for column in ("necessity", "image_gain"):
            each_pool = [line[column] for line in own]
            row[f"{column}: rank correlation"] = f"{min(each['rank correlation'] for each in each_pool):.5f}"
            row[f"{column}: difference"] = f"{max(each['largest difference'] for each in each_pool):.1e}"
        for budget in own[0]["picks"]:
            shares = [line["picks"][budget] for line in own]
            row[f"same picks, {budget}"] = f"{np.mean(shares):.1%} ({min(shares):.1%} at least)"
        rows.append(row)
    return table(rows) if rows else "Not measured yet."


def main() -> None:
    """Parse the command line and run the command."""
    parser, _ = results_commands(__doc__, (measure,), write_page, RESULTS, PAGE)
    run_command(parser, RESULTS)


if __name__ == "__main__":
    main()
