"""The measurements, one command each."""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import faiss
import numpy as np
import torch
from selection import peers
from selection.features import clip_like, difficulties
from selection.measure import Measured, load, measured, peak_growth
from selection.reference import contract_cosines, loop, paper_cosines

from hf_vitselect.report import table
from hf_vitselect.rules import NeighborPenalty

MIB = 2**20
_DOOR = Path(__file__).parents[1] / "select.py"


def native() -> str:
    """The type of the products that the rule chooses on this CPU."""
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("avx512_bf16") or has.get("amx_bf16") else "float32"


def pick(scores, features, budget, precision=None, **parameters):
    """Picks with products of a given type, by default the hardware's own."""
    rule = NeighborPenalty(**parameters)
    with contextlib.ExitStack() as stack:
        if precision:  # the rule asks torch what the hardware has
            has = {"avx512_bf16": precision == "bfloat16"}
            stack.enter_context(patch("torch.cpu.get_capabilities", lambda: has))
            capability = (8, 0) if precision == "bfloat16" else (7, 5)
            stack.enter_context(patch("torch.cuda.get_device_capability", lambda: capability))
        return rule(scores, features, budget, np.random.default_rng(0), {})


def speed(args: argparse.Namespace) -> None:
    """Runs the fast rule whole and the loops by parts, in turns."""
    scores, features = difficulties(args.rows), clip_like(args.rows, args.dim)
    budget = int(args.share * args.rows)
    loops = {
        "the paper's loop, float32": loop(scores, paper_cosines(features)),
        "the loop, float64 cosines": loop(scores, contract_cosines(features)),
    }
    precisions = ["float32"] + ["bfloat16"] * (native() == "bfloat16")
    seconds: dict[str, list[Measured]] = {name: [] for name in [*loops, *precisions]}
    picks: dict[str, list[tuple[int, float]]] = {name: [] for name in loops}
    fast = {}
    print(f"{args.rows} rows of {args.dim}, {budget} picks, {args.rounds} rounds; {load()}")
    for turn in range(args.rounds):
        for precision in precisions:
            one = measured(lambda how=precision: pick(scores, features, budget, how))
            fast[precision] = one.result
            seconds[precision].append(one)
        until = budget * (turn + 1) // args.rounds
        for name, picking in loops.items():
            part = until - len(picks[name])
            one = measured(lambda p=picking, count=part: [next(p) for _ in range(count)])
            picks[name] += one.result
            seconds[name].append(one)
        took = ", ".join(f"{name}: {spent[-1].cpu:.2f} CPU s" for name, spent in seconds.items())
        print(f"round {turn}: {took}; {load()}", flush=True)
    rows = []
    for precision in precisions:
        for name in loops:
            got = list(zip(*(array.tolist() for array in fast[precision]), strict=True))
            same = [one == other for one, other in zip(got, picks[name], strict=True)]
            order = [one[0] == other[0] for one, other in zip(got, picks[name], strict=True)]
            row = {"products": precision, "against": name}
            for clock in ("cpu", "wall"):
                whole = sum(getattr(one, clock) for one in seconds[name])
                middle = median(getattr(one, clock) for one in seconds[precision])
                row[f"{clock}: fast, loop, ratio"] = f"{middle:.2f} s, {whole:.1f} s, {whole / middle:.0f}x"
            row["same picks"] = f"{sum(order)} of {len(order)}"
            row["same gains, bit for bit"] = f"{sum(same)} of {len(same)}"
            rows.append(row)
    print(table(rows))


def exact(args: argparse.Namespace) -> None:
    """Compares with the loop in pools that make neighbor search or score order awkward."""
    cases = {
        "as they come": {},
        "negative scores": {"scores": lambda s: -s},
        "scores of both signs": {"scores": lambda s: s - 2},
        "tied scores": {"scores": np.round},
        "constant scores": {"scores": np.ones_like},
        "every row four times": {"features": lambda f: f[np.arange(len(f)) // 4 * 4]},
        "lengths from 1e-3 to 1e4": {"features": lambda f: f * np.geomspace(1e-3, 1e4, len(f))[:, None]},
        "60% picked": {"share": 0.6},
        "100% picked, so fewer than k left": {"share": 1.0},
        "k = 1": {"neighbors": 1},
        "k = n - 1": {"neighbors": -1, "share": 0.05},
        "gamma = 0": {"gamma": 0.0},
    }
    rows = []
    for case, change in cases.items():
        row = {"pool": case}
        for size in args.sizes:
            scores, features = difficulties(size), clip_like(size, args.dim)
            scores = change.get("scores", lambda s: s)(scores)
            features = change.get("features", lambda f: f)(features).astype(np.float32)
            budget = min(int(change.get("share", 0.15) * size), args.most)
            parameters = {name: change[name] for name in ("neighbors", "gamma") if name in change}
            if parameters.get("neighbors") == -1:
                parameters["neighbors"] = size - 1
            slow = loop(scores, contract_cosines(features), **parameters)
            expected = [next(slow) for _ in range(budget)]
            for precision in ("float32", "bfloat16"):
                got = pick(scores, features, budget, precision, **parameters)
                same = list(zip(*(array.tolist() for array in got), strict=True)) == expected
                row[f"n = {size}, {precision}"] = f"{budget} of {budget}" if same else "DIFFERENT"
        rows.append(row)
        print(case, flush=True)
    print(table(rows))


def memory(args: argparse.Namespace) -> None:
    """Measures each way to hold the unit rows in a process of its own."""
    if args.one:
        precision, held = args.one.split()
        features = np.load(args.folder / "features.npy", mmap_mode="r")
        small = clip_like(600, 64)
        pick(difficulties(600), small, 50)
        # The rule holds its unit rows if they fit in a quarter of the machine's memory.
        pages = 0 if held == "again" else 2**40
        parameters = {"approximate": True} if precision == "approximate" else {"precision": precision}
        sysconf = os.sysconf
        with (
            patch("os.sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else sysconf(name)),
            peak_growth() as growth,
        ):
            pick(difficulties(len(features)), features, args.picks, **parameters)
        print(growth[0])
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    made = np.lib.format.open_memmap(args.folder / "features.npy", "w+", np.float32, (args.rows, args.dim))
    clip_like(args.rows, args.dim, out=made)
    made.flush()
    size = made.nbytes
    rows = []
    for one in ("bfloat16 held", "float32 held", "bfloat16 again", "float32 again", "approximate index"):
        given = ["--one", one, "--folder", str(args.folder), "--picks", str(args.picks)]
        run = [sys.executable, str(_DOOR), "memory", *given]
        growth = int(subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])
        precision, held = one.split()
        rows.append(
            {
                "products": precision,
                "unit rows": {"again": "made again for each product", "index": "compressed"}.get(held, held),
                "peak growth": f"{growth / MIB:.0f} MiB",
                "of the features' bytes": f"{growth / size:.2f}",
            }
        )
    print(
        f"{args.rows} rows of {args.dim}, memory-mapped: {size / MIB:.0f} MiB; {args.picks} picks; {load()}"
    )
    print(table(rows))
    (args.folder / "features.npy").unlink()


def approximate(args: argparse.Namespace) -> None:
    """Compares approximate with exact picks, by pool size."""
    rows = []
    for size in args.sizes:
        rows.append(_approximate(size, args))
        print(table(rows), load(), sep="\n", flush=True)


def _approximate(size: int, args: argparse.Namespace) -> dict[str, str]:
    scores, features = difficulties(size), clip_like(size, args.dim, decay=args.decay)
    budget = int(args.share * size)

    def timed(count: int, precision: str | None = None, **parameters) -> Measured:
        return measured(lambda: pick(scores, features, count, precision, **parameters))

    near, whole, again = timed(budget, approximate=True), timed(budget), timed(budget, approximate=True)
    quick = (near.cpu + again.cpu) / 2
    # In float32 picks cost the same each, so a part of them is enough: the start is counted once.
    part = min(budget, args.part)
    few = min(100, part // 2)
    start, more = timed(few, "float32"), timed(part, "float32")
    float32 = start.cpu + (more.cpu - start.cpu) / (part - few) * (budget - few)
    notes = NeighborPenalty(approximate=True).notes(scores, features, budget, np.random.default_rng(0))
    return {
        "rows": f"{size}",
        "picks": f"{budget}",
        "approximate": f"{near.cpu:.1f} s, {again.cpu:.1f} s",
        f"exact, {native()}": f"{whole.cpu:.1f} s, {whole.cpu / quick:.1f}x",
        f"exact, float32, from {part} picks": f"{float32:.0f} s, {float32 / quick:.1f}x",
        "overlap": f"{len(np.intersect1d(near.result[0], whole.result[0])) / budget:.3f}",
        "overlap in the recipe": f"{notes['overlap_with_exact']:.3f} of {notes['overlap_rows']} rows",
    }


def compare_peers(args: argparse.Namespace) -> None:
    """One table of methods on the same features."""
    scores, features = difficulties(args.rows), clip_like(args.rows, args.dim)
    budget = int(args.share * args.rows)
    methods = {
        "NeighborPenalty": lambda: pick(scores, features, budget)[0],
        "NeighborPenalty, float32 products": lambda: pick(scores, features, budget, "float32")[0],
        "NeighborPenalty, approximate": lambda: pick(scores, features, budget, approximate=True)[0],
        "SemDeDup-style, faiss k-means": lambda: peers.semdedup(features, budget),
        "k-center greedy": lambda: peers.k_center(features, budget),
    }
    if args.apricot_python:
        methods["apricot facility location, 64-NN graph"] = lambda: peers.facility_location(
            features, budget, args.apricot_python
        )
    units = torch.from_numpy(peers.unit_rows(features))
    results: dict[str, list[Measured]] = {name: [] for name in methods}
    print(f"{args.rows} rows of {args.dim}, {budget} picks; {load()}")
    for _ in range(args.rounds):
        for name, method in methods.items():
            one = measured(method)
            if isinstance(one.result, tuple):  # CPU seconds of the other process come with the picks
                one = Measured(one.result[0], one.cpu + one.result[1], one.wall)
            results[name].append(one)
            print(f"{name}: {one.cpu:.1f} CPU s; {load()}", flush=True)
    rows = []
    for name, took in results.items():
        near = units[took[0].result] @ units[took[0].result].T
        near.fill_diagonal_(-1)
        rows.append(
            {
                "method": name,
                "CPU": f"{median(one.cpu for one in took):.1f} s",
                "wall": f"{median(one.wall for one in took):.1f} s",
                "mean score of the picks": f"{scores[took[0].result].mean():.2f}",
                "mean cosine to the nearest pick": f"{near.amax(dim=1).mean():.3f}",
            }
        )
    print(table(rows))


def large(args: argparse.Namespace) -> None:
    """One run on memory-mapped features, on the available device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != args.device:
        raise SystemExit(f"asked for {args.device}, but this process has {device}: nothing was measured")
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / f"features_{args.rows}x{args.dim}.npy"
    if not path.exists():
        made = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.float32, (args.rows, args.dim))
        clip_like(args.rows, args.dim, out=made)
        made.flush()
        path.with_suffix(".part").rename(path)
    features, scores = np.load(path, mmap_mode="r"), difficulties(args.rows)
    budget = args.picks or int(args.share * args.rows)
    with peak_growth() as growth:
        one = measured(lambda: pick(scores, features, budget, approximate=args.approximate))
    row = {
        "rows": args.rows,
        "picks": budget,
        "device": device,
        "wall": f"{one.wall:.1f} s",
        "CPU": f"{one.cpu:.1f} s",
        "a pick": f"{one.wall / budget * 1e3:.3f} ms",
        "growth": f"{growth[0] / MIB:.0f} MiB",
    }
    if device == "cuda":
        row["GPU peak"] = f"{torch.cuda.max_memory_allocated() / MIB:.0f} MiB"
    print(table([row]), load(), sep="\n")


def main(description: str) -> None:
    """Parses the command line and calls the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    folder = _DOOR.parent / "data" / "selection"
    for name, do, rows in (
        ("speed", speed, 20_000),
        ("exact", exact, None),
        ("memory", memory, 100_000),
        ("approximate", approximate, None),
        ("peers", compare_peers, 20_000),
        ("large", large, 665_000),
    ):
        command = commands.add_parser(name, help=do.__doc__)
        command.add_argument("--threads", type=int, default=1, help="of torch and faiss")
        command.add_argument("--dim", type=int, default=256 if do is exact else 1536, help="of a row")
        command.add_argument("--share", type=float, default=0.15, help="of the rows that is picked")
        if rows:
            command.add_argument("--rows", type=int, default=rows, help="of the pool")
        if do in (speed, compare_peers):
            command.add_argument("--rounds", type=int, default=5 if do is speed else 3, help="of each method")
        if do in (exact, approximate):
            sizes = [500, 2000, 10_000] if do is exact else [50_000, 200_000, 400_000]
            command.add_argument("--sizes", type=int, nargs="+", default=sizes, help="of the pools")
        if do is exact:
            command.add_argument("--most", type=int, default=2000, help="picks")
        if do in (memory, large):
            command.add_argument("--folder", type=Path, default=folder, help="for the features")
            command.add_argument(
                "--picks", type=int, default=2000 if do is memory else 0, help="0: the share"
            )
        if do is memory:
            command.add_argument("--one", help="internal: one precision and way, in this process")
        if do is approximate:
            command.add_argument("--part", type=int, default=3000, help="picks timed in float32")
            command.add_argument("--decay", type=float, default=0.5, help="of the features' spectrum")
        if do is compare_peers:
            command.add_argument("--apricot_python", help="an interpreter that has apricot-select")
        if do is large:
            command.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="must be there")
            command.add_argument("--approximate", action="store_true", help="use the faiss index")
        command.set_defaults(do=do)
    args = parser.parse_args()
    if args.do in (memory, large) and not getattr(args, "one", None) and args.picks > args.rows:
        parser.error(f"--picks: expected at most --rows, {args.rows}, got {args.picks}; give fewer picks")
    torch.set_num_threads(args.threads)
    faiss.omp_set_num_threads(args.threads)
    start = time.perf_counter()
    args.do(args)
    print(f"{time.perf_counter() - start:.0f} s in all", file=sys.stderr)
