"""Facility location, k-means, near-duplicates and COINCIDE next to other packages: seconds, memory, quality.

    python -m venv PEERS
    PEERS/bin/pip install apricot-select faiss-cpu numba pandas scikit-learn semhash submodlib-py torch tqdm
    git -C CLONES clone https://github.com/G-JWLee/COINCIDE_code
    git -C CLONES clone https://github.com/hkust-nlp/deita
    python benchmarks/peers.py --python PEERS/bin/python --clones CLONES
    python benchmarks/peers.py --page                       # docs/results/selection.md from the results

All get the same vectors, on one thread, each in a process of its own, in turns. One that takes longer than
`--limit` has no figures; one that takes longer than a minute runs once. Lines go to
benchmarks/results/peers.jsonl.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from results_page import commit, fill
from rivals.contestants import CONTESTANTS
from selection.features import clip_like

from hf_vitselect.report import table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "peers.jsonl"
PAGE = HERE.parent / "docs" / "results" / "selection.md"
COUNTS = {"facility location": 3000, "k-means": 64, "duplicates": 0, "clusters": 3000}
COVERAGE = "mean cosine of all rows to the nearest pick"
QUALITY = {
    "facility location": COVERAGE,
    "k-means": "mean cosine to the centroid",
    "duplicates": "share of pairs with a cosine of 0.95 that lose a row",
    "clusters": COVERAGE,
}
SIZE, DIMENSIONS, COPIES = 20_000, 384, 0.03
OURS = "hf_vitselect"


def vectors() -> np.ndarray:
    """Unit rows in random order, 3% of them near-copies."""
    rng = np.random.default_rng(0)
    rows = clip_like(SIZE, DIMENSIONS)
    copies, originals = rng.permutation(SIZE)[: 2 * int(COPIES * SIZE)].reshape(2, -1)
    rows[copies] = rows[originals] + rng.normal(0, 0.01, (len(copies), DIMENSIONS))
    return unit_rows(rows.astype(np.float32))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """The rows at length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def quality(task: str, units: np.ndarray, result: np.ndarray) -> float:
    """The figure of `QUALITY`, over all rows or pairs."""
    if QUALITY[task] == COVERAGE:
        blocks = (units[start : start + 2000] @ units[result].T for start in range(0, len(units), 2000))
        return float(np.concatenate([block.max(axis=1) for block in blocks]).mean())
    if task == "k-means":
        centroids = unit_rows(
            np.array([units[result == label].sum(axis=0) for label in range(result.max() + 1)])
        )
        return float(np.einsum("nd,nd->n", units, centroids[result]).mean())
    kept = np.setdiff1d(np.arange(len(units)), result)
    return 1 - _pairs(units[kept]) / _pairs(units)


def _pairs(units: np.ndarray) -> int:
    """Pairs of rows with a cosine of at least 0.95."""
    counts = ((units[start : start + 2000] @ units.T >= 0.95).sum() for start in range(0, len(units), 2000))
    return int(sum(counts) - len(units)) // 2


def measure(args: argparse.Namespace) -> None:
    """Runs all contestants in turns."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "vectors.npy"), Path(folder, "result.npy")
        units, today = vectors(), commit()
        np.save(file, units)
        for task in args.tasks:
            contestants = CONTESTANTS[task]
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
            for _ in range(args.rounds):
                for name in contestants:
                    if runs[name] and ("error" in runs[name][0] or runs[name][0]["wall"] > 60):
                        continue
                    python = sys.executable if name == OURS else args.python
                    inputs = [task, name, str(file), str(COUNTS[task]), str(out)]
                    command = [python, str(HERE / "rivals" / "contestants.py"), *inputs]
                    run = _run(command, args.clones, args.limit)
                    runs[name].append(
                        run if "error" in run else run | {"quality": quality(task, units, np.load(out))}
                    )
                    print(task, name, runs[name][-1], file=sys.stderr, flush=True)
            for name, each in runs.items():
                line = {"task": task, "name": name, "rows": SIZE, "count": COUNTS[task], "rounds": len(each)}
                line |= (
                    each[0] if "error" in each[0] else {k: median(run[k] for run in each) for k in each[0]}
                )
                line |= {"load": os.getloadavg()[0], "commit": today}
                with RESULTS.open("a") as results:
                    results.write(json.dumps(line) + "\n")


def _run(command: list[str], clones: Path, limit: float) -> dict[str, Any]:
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    env = os.environ | dict.fromkeys(threads, "1") | {"CLONES": str(clones)}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {limit:.0f} s"}
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "ended"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def page() -> None:
    """Writes the table; of several lines about a contestant the last one counts."""
    latest = {
        (line["task"], line["name"]): line for line in map(json.loads, RESULTS.read_text().splitlines())
    }
    rows = []
    for (task, name), line in latest.items():
        row = {"task": task, "package": name, "CPU": line.get("error", "")}
        if "error" not in line:
            ratio = line["cpu"] / latest[task, OURS]["cpu"]
            row |= {
                "CPU": f"{line['cpu']:.1f} s",
                "of ours": f"{ratio:.2f}x",
                "wall": f"{line['wall']:.1f} s",
                "peak growth": f"{line['peak'] / 2**20:.0f} MiB",
                "quality": f"{line['quality']:.4f}, {QUALITY[task]}",
            }
        rows.append(row)
    PAGE.write_text(fill(PAGE.read_text(), "peers", {"packages": lambda: table(rows)}))


def main() -> None:
    """Parses the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--python", help="the interpreter of the peers' environment")
    parser.add_argument("--clones", type=Path, help="the folder with COINCIDE_code and deita")
    parser.add_argument("--tasks", nargs="*", choices=list(QUALITY), default=list(QUALITY))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600, help="seconds of one run")
    parser.add_argument("--page", action="store_true", help="write the table and measure nothing")
    args = parser.parse_args()
    if not args.page and not (args.python and args.clones):
        parser.error("expected --python and --clones, the peers' environment and repositories")
    page() if args.page else measure(args)


if __name__ == "__main__":
    main()
