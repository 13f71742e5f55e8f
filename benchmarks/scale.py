"""Seconds and memory of score() and select_diverse() as pools grow, and what a killed run costs.

    python benchmarks/scale.py grow                    # 10k, 100k, 1M rows of text with 384-d embeddings
    python benchmarks/scale.py grow --rows 10000 100000 --share 0.15
    python benchmarks/scale.py resume                  # killed midway and called again, against left alone

    python benchmarks/scale.py methods --folder FOLDER       # methods on pools of conversations
    python benchmarks/scale.py page                          # docs/results/scale.md

Every stage runs in a process of its own, on one torch thread. Peak is the growth of anonymous memory, which
no file stands behind. docs/results/scale.md keeps what was printed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, Features, List, Value, disable_progress_bars, load_from_disk
from results_page import commit
from scaling.page import fill
from scaling.stages import STAGES as METHODS
from selection.features import clip_like, difficulties
from selection.measure import load, measured, peak_growth

from hf_vitselect import Scorer, score, select_diverse
from hf_vitselect.data import row_ids
from hf_vitselect.report import table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "scale.jsonl"
PAGE = HERE.parent / "docs" / "results" / "scale.md"
DIMENSIONS = 384
STAGES = ("row_ids", "score", "score again", "score a stream", "stream again", "select_diverse")


@dataclass(kw_only=True, eq=False)
class LookUp(Scorer):
    """Scores and vectors that were made before: all that remains is what score() itself costs.

    Args:
        folder: where `make` left them.
        seconds: that a row takes, as a forward would.
    """

    column: str = "necessity"
    folder: str
    seconds: float = 0.0

    @property
    def values(self) -> Features:
        """A score and a vector."""
        return Features(
            {"necessity": Value("float32"), "embedding": List(Value("float32"), length=DIMENSIONS)}
        )

    def load(self, identity):
        """Both arrays, the vectors on disk."""
        names = ("scores.npy", "vectors.npy")
        return [np.load(Path(self.folder, name), mmap_mode="r") for name in names]

    def score_rows(self, rows):
        """Looked up by the number in the question."""
        time.sleep(self.seconds * len(rows))
        numbers = [int(row.turns[0].text.removeprefix("question ")) for row in rows]
        scores, vectors = (values[numbers] for values in self.loaded)
        return list(zip(scores, vectors, strict=True))


def make(rows: int, folder: Path) -> None:
    """A pool of text, and the scores and vectors that the scorer looks up."""
    folder.mkdir(parents=True, exist_ok=True)
    out = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(rows, DIMENSIONS)
    )
    clip_like(rows, DIMENSIONS, out=out)
    np.save(folder / "scores.npy", difficulties(rows).astype(np.float32))
    texts = pa.array(f"{kind} {i}" for i in range(rows) for kind in ("question", "the answer to"))
    roles = pa.array(["user", "assistant"] * rows)
    turns = pa.StructArray.from_arrays([roles, texts], ["role", "content"])
    messages = pa.ListArray.from_arrays(pa.array(range(0, 2 * rows + 1, 2), pa.int32()), turns)
    Dataset(pa.table({"messages": messages})).save_to_disk(folder / "pool")


def stage(name: str, folder: Path, budget: float) -> None:
    """One stage, as a line of JSON."""
    torch.set_num_threads(1)
    disable_progress_bars()
    pool, scorer = load_from_disk(folder / "pool"), LookUp(folder=str(folder))
    if name == "select_diverse":
        pool = score(pool, scorer, folder / "run")
    do = {
        "row_ids": lambda: row_ids(pool),
        "score": lambda: score(pool, scorer, folder / "run"),
        "score again": lambda: score(pool, scorer, folder / "run"),
        "score a stream": lambda: score(pool.to_iterable_dataset(), scorer, folder / "streamed"),
        "stream again": lambda: score(pool.to_iterable_dataset(), scorer, folder / "streamed"),
        "select_diverse": lambda: select_diverse(pool, budget),
    }
    with peak_growth() as peak:
        done = measured(do[name])
    print(json.dumps({"cpu": done.cpu, "wall": done.wall, "peak": peak[0]}))


def grow(args: argparse.Namespace) -> None:
    """All stages at every size, one table."""
    print(f"{load()}, share {args.share}, {DIMENSIONS} dimensions")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in STAGES}
    for rows in args.rows:
        with tempfile.TemporaryDirectory(dir=args.folder) as place:
            folder = Path(place)
            make(rows, folder)
            for name in STAGES:
                done = itself("stage", "--name", name, "--folder", place, "--share", str(args.share))
                printed = done.communicate()[0]
                if done.returncode:
                    raise SystemExit(f"{name} at {rows} rows ended with {done.returncode}")
                runs[name].append(json.loads(printed.splitlines()[-1]))
                print(rows, name, runs[name][-1], file=sys.stderr)
    lines = []
    for name, sizes in runs.items():
        line = {"stage": name}
        for rows, one in zip(args.rows, sizes, strict=True):
            line[f"{rows:,} rows: cpu, wall, peak"] = (
                f"{one['cpu']:.1f} s, {one['wall']:.1f} s, {one['peak'] / 2**20:.0f} MiB"
            )
        for (small, one), (large, other) in pairwise(zip(args.rows, sizes, strict=True)):
            line[f"cpu, {large:,} / {small:,}"] = f"{other['cpu'] / one['cpu']:.1f}"
        lines.append(line)
    print(table(lines))
    print(load())


def timed(folder: Path, run: str, seconds: float) -> None:
    """One call of score with a scorer that takes its time, on the clock from its first line to its last."""
    disable_progress_bars()
    pool = load_from_disk(folder / "pool")
    print("started", flush=True)
    start = time.perf_counter()
    score(pool, LookUp(folder=str(folder), seconds=seconds), folder / run, shard_size=20)
    print(time.perf_counter() - start)


def resume(args: argparse.Namespace) -> None:
    """Wall seconds of runs that are killed once, against those of runs that are left alone, in turns."""
    print(f"{load()}; {args.size} rows of {args.seconds * 1000:.0f} ms, shards of 20")
    lines = []
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        make(args.size, Path(place))
        rng = random.Random(0)
        for turn in range(args.rounds):
            whole = _call(place, f"whole-{turn}", args.seconds)
            moment = rng.uniform(0.1, 0.9) * whole
            killed = _call(place, f"killed-{turn}", args.seconds, kill_after=moment)
            rest = _call(place, f"killed-{turn}", args.seconds)
            lines.append(
                {
                    "left alone": f"{whole:.2f} s",
                    "killed after": f"{killed:.2f} s",
                    "the rest": f"{rest:.2f} s",
                    "more": f"{100 * ((killed + rest) / whole - 1):.1f}%",
                }
            )
    print(table(lines))


def _call(place: str, run: str, seconds: float, kill_after: float | None = None) -> float:
    process = itself("timed", "--folder", place, "--run", run, "--seconds", str(seconds))
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
        process.wait()
        return kill_after
    return float(process.communicate()[0].splitlines()[-1])


def methods(args: argparse.Namespace) -> None:
    """Run stages at every size, one line of JSON each."""
    for rows in args.rows:
        folder = args.folder / str(rows)
        for name in args.stages:
            METHODS[name].make(rows, folder)
            done = itself("method", "--name", name, "--rows", str(rows), "--folder", str(folder))
            printed = done.communicate()[0]
            if done.returncode:
                raise SystemExit(f"{name} at {rows} rows ended with {done.returncode}")
            command = f"python benchmarks/scale.py methods --rows {rows} --stages {name!r} --folder FOLDER"
            about = {"commit": commit(), "command": command, "cores": os.cpu_count()}
            with RESULTS.open("a") as file:
                file.write(json.dumps(json.loads(printed.splitlines()[-1]) | about) + "\n")
            print(printed.splitlines()[-1], flush=True)


def method(name: str, rows: int, folder: Path) -> None:
    """One stage at one size, as a line of JSON."""
    torch.set_num_threads(1)
    disable_progress_bars()
    call = METHODS[name].prepare(folder)
    with peak_growth() as peak:
        done = measured(call)
    figures = {"cpu": done.cpu, "wall": done.wall, "peak": peak[0], "load": os.getloadavg()[0]}
    print(json.dumps({"stage": name, "rows": rows, **figures, "figures": done.result}))


def itself(*arguments: str) -> subprocess.Popen[str]:
    """This script in a process of its own."""
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Parses and runs a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("grow")
    command.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    command.add_argument("--share", type=float, default=0.02)
    command.add_argument("--folder", help="for temporary files")
    command = commands.add_parser("resume")
    command.add_argument("--size", type=int, default=2000)
    command.add_argument("--seconds", type=float, default=0.02)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--folder", help="for temporary files")
    command = commands.add_parser("methods")
    command.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    command.add_argument("--stages", nargs="+", choices=METHODS, default=list(METHODS))
    command.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="keeps the pools: 8 GiB a million rows with embeddings, 0.7 without",
    )
    commands.add_parser("page")
    command = commands.add_parser("method")
    command.add_argument("--name", choices=METHODS)
    command.add_argument("--rows", type=int)
    command.add_argument("--folder", type=Path)
    command = commands.add_parser("stage")
    command.add_argument("--name", choices=STAGES)
    command.add_argument("--folder", type=Path)
    command.add_argument("--share", type=float)
    command = commands.add_parser("timed")
    command.add_argument("--folder", type=Path)
    command.add_argument("--run")
    command.add_argument("--seconds", type=float)
    args = parser.parse_args()
    if args.command == "stage":
        stage(args.name, args.folder, args.share)
    elif args.command == "method":
        method(args.name, args.rows, args.folder)
    elif args.command == "page":
        PAGE.write_text(fill(PAGE.read_text(), RESULTS.read_text().splitlines()))
    elif args.command == "timed":
        timed(args.folder, args.run, args.seconds)
    else:
        {"grow": grow, "resume": resume, "methods": methods}[args.command](args)


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main()
