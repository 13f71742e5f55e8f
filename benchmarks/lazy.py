"""What choosing costs with fewer scored rows and a smaller seed model, and whether the picks are as good.

    python benchmarks/lazy.py measure --fashion FOLDER     adds to results/lazy.jsonl; the same call resumes
    python benchmarks/lazy.py page                         docs/results/lazy.md

Pools, base models and the results of scoring all rows are those of benchmarks/evidence.py, seed models those
of benchmarks/seed_model.py. FOLDER has the four files of Fashion-MNIST; see benchmarks/trials/garments.py.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars, load_from_disk
from evidence import DEFAULT, RESULTS, make_plan
from numpy.typing import NDArray
from results_page import commit, fill
from seed_model import MODELS, TODAY, SeedModel, fine_tune
from selection.measure import measured
from trials.beds import TRUTH, Pool
from trials.commands import bed_commands, choose_beds, run_command
from trials.page import interval, spread
from trials.plan import POOL_SEEDS, Arm
from trials.trial import PARTS, append_line, bits_of, composition, read_lines

from hf_vitselect import Scorer, score, score_candidates, select_diverse
from hf_vitselect.evaluation import pooled_difference
from hf_vitselect.report import table
from hf_vitselect.training import train_seed_model

HERE = Path(__file__).parent
OURS = HERE / "results" / "lazy.jsonl"
PAGE = HERE.parent / "docs" / "results" / "lazy.md"
SMALL = MODELS["12.5%, 2 of 4 layers, vision frozen"]
SHORT = MODELS["12.5%, 2 of 4 layers, vision frozen, 2 epochs"]
NAMES = (TODAY, SMALL.name, SHORT.name)
PART = "test"
BUDGETS = (0.15, 0.05)
SEEDS = {(TODAY, 0.15): 2, (SMALL.name, 0.15): 3, (SHORT.name, 0.15): 3, (SHORT.name, 0.05): 2}
"""Models to fine-tune on each pool's picks; with none, only the first pool's cost counts."""


def measure(args: argparse.Namespace) -> None:
    """Measure what is missing."""
    disable_progress_bars()
    torch.set_num_threads(1)
    done = read_lines(args.results)
    for bed in args.beds.values():
        for number in POOL_SEEDS[bed.name]:
            pool = Pool(bed, "flawed", number)
            for model in map(MODELS.__getitem__, NAMES):
                key = f"{bed.name}, pool {number}, {model.name}"
                if key not in done:
                    first = number == POOL_SEEDS[bed.name][0]
                    line = measure_pool(pool, model, args.folder, first)
                    about = {"testbed": bed.name, "pool": number, "model": model.name}
                    made = {"date": str(date.today()), "commit": commit()}
                    append_line(args.results, {"key": key, **about, **line, **made})
                    shown = {name: {**of, "trials": len(of.get("trials", []))} for name, of in line.items()}
                    print(key, json.dumps(shown), flush=True)


def measure_pool(pool: Pool, model: SeedModel, folder: Path, first: bool) -> dict[str, Any]:
    """Train a seed model, then score the rows that each budget needs; for the first pool all rows, too.

    Returns:
        CPU seconds and rows of `seed model`; of `all rows`; and of each budget, with the picks of every seed
        and the models that were fine-tuned on them.
    """
    bed = pool.bed
    _, base = bed.models(folder)
    pool.scored(folder)
    rows = load_from_disk(str(pool.folder(folder) / "data"))
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        seed, start = Path(place, "seed"), model.base(bed, folder)
        blind, args = rows.remove_columns(TRUTH), bed.training(seed, epochs=model.epochs)
        training = measured(lambda: train_seed_model(blind, model.start(start), model.share, args))
        out["seed model"] = {"cpu": training.cpu, "rows": len(training.result)}
        scorers = pool.scorers(folder, seed)
        if first:
            out["all rows"] = _cost_of_all(rows, scorers, Path(place, "all"))
        held_out = pool.held_out(folder, PART, PARTS[PART] + pool.seed, bed.held_out_rows[PART])
        for budget in BUDGETS:
            name = f"{budget:.0%}"
            out[name] = _cost_of_needed(rows, scorers, budget, Path(place, name)) if first else {}
            out[name]["trials"] = [
                _trial(pool, rows, scorers, budget, number, Path(place, f"{name} {number}"), base, held_out)
                for number in range(SEEDS.get((model.name, budget), 0))
            ]
    return out


def _cost_of_all(rows: Dataset, scorers: Sequence[Scorer], place: Path) -> dict[str, Any]:
    """CPU seconds of the scores of all rows, and of all of choosing 15% of them."""
    scored, scores, _ = measured(lambda: score(rows, scorers, place))
    picking = measured(lambda: select_diverse(scored, 0.15, method=DEFAULT)).cpu
    return {"rows": len(rows), "scores": scores, "cpu": scores + picking}


def _cost_of_needed(rows: Dataset, scorers: Sequence[Scorer], budget: float, place: Path) -> dict[str, Any]:
    """CPU seconds of the scores that a budget needs, and of all of choosing: kinds, copies, picks."""
    scored, choosing, _ = measured(
        lambda: score_candidates(rows, scorers, budget, place / "chosen", method=DEFAULT)
    )
    picking = measured(lambda: select_diverse(scored, budget, method=DEFAULT)).cpu
    needed = rows.select(np.flatnonzero(np.array(scored["necessity_status"]) == "ok"))
    scores = measured(lambda: score(needed, scorers, place / "scores")).cpu
    return {"rows": len(needed), "scores": scores, "cpu": choosing + picking}


def _trial(
    pool: Pool,
    rows: Dataset,
    scorers: Sequence[Scorer],
    budget: float,
    seed: int,
    place: Path,
    base: Path,
    held_out: Dataset,
) -> dict[str, Any]:
    """Score the rows that are needed, pick, fine-tune, ask."""
    scored = score_candidates(rows, scorers, budget, place / "scores", method=DEFAULT, seed=seed)
    selection = select_diverse(scored, budget, method=DEFAULT, seed=seed)
    line = fine_tune(selection, base, pool.bed.training(place / "model", seed), held_out, pool)
    shares = composition(scored, selection.indices.tolist())["flaws"]
    return {**line, "held_out": len(held_out), "flaws": shares, "rows": len(selection)}


def write_page(args: argparse.Namespace) -> None:
    """Fill the tables of docs/results/lazy.md."""
    ours, evidence, plan = list(read_lines(args.results).values()), read_lines(RESULTS), make_plan(args)
    arms = {
        (arm.pools[0].bed.name, arm.budget): (arm, versus.random)
        for versus in plan.versus
        for arm in [versus.default]
        if arm.budget in BUDGETS and arm.pools[0].variant == "flawed"
    }
    tables = {
        "cost": lambda: table([*_cost_rows(ours)]),
        "picks": lambda: table([*_pick_rows(ours, evidence, arms)]),
        "accuracy": lambda: table([*_accuracy_rows(ours, evidence, arms)]),
    }
    PAGE.write_text(fill(PAGE.read_text(), "lazy", tables))
    print(PAGE)


Lines = Sequence[Mapping[str, Any]]
Arms = Mapping[tuple[str, float], tuple[Arm, Arm]]


def _of(lines: Lines, bed: str, model: str) -> list[Mapping[str, Any]]:
    """The lines of one seed model on a testbed's pools, in the order of the pools."""
    own = [line for line in lines if (line["testbed"], line["model"]) == (bed, model)]
    return sorted(own, key=lambda line: line["pool"])


def _arms(lines: Lines) -> Iterator[tuple[str, float, str, list[Mapping[str, Any]]]]:
    for bed in POOL_SEEDS:
        for budget in BUDGETS:
            for model in NAMES:
                if own := _of(lines, bed, model):
                    yield bed, budget, model, own


def _cost_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """CPU seconds on the first pool, as shares of what the larger seed model and scores of all rows take."""
    for bed, budget, model, own in _arms(lines):
        whole, mine = _of(lines, bed, TODAY)[0], own[0]
        some, seed = mine[f"{budget:.0%}"], mine["seed model"]["cpu"]
        every = whole["seed model"]["cpu"] + whole["all rows"]["scores"]
        choosing = whole["seed model"]["cpu"] + whole["all rows"]["cpu"]
        yield {
            "testbed": bed,
            "budget": f"{budget:.0%}",
            "seed model": model,
            "rows scored": f"{some['rows'] / whole['all rows']['rows']:.0%}",
            "its training": f"{seed:.0f} s",
            "scores": f"{some['scores']:.1f} s",
            "of training and scores": f"{(seed + some['scores']) / every:.0%} of {every:.0f} s",
            "of all of choosing": f"{(seed + some['cpu']) / choosing:.0%} of {choosing:.0f} s",
        }


def _pick_rows(lines: Lines, evidence: Mapping[str, Any], arms: Arms) -> Iterator[dict[str, Any]]:
    """Shares of flaws, means over pools and seeds; the range is that of the runs."""
    for (bed, budget), (arm, _) in arms.items():
        whole = [line for seed in arm.lines(evidence) for line in seed]
        yield _shares(bed, budget, "all", TODAY, whole)
        for model in NAMES:
            own = [trial for line in _of(lines, bed, model) for trial in line[f"{budget:.0%}"]["trials"]]
            if own:
                yield _shares(bed, budget, "those needed", model, own)


def _shares(bed: str, budget: float, scored: str, model: str, trials: Lines) -> dict[str, Any]:
    row = {"testbed": bed, "budget": f"{budget:.0%}", "rows scored": scored, "seed model": model}
    for flaw in ("none", "wrong", "blind", "duplicate"):
        shares = [trial["flaws"].get(flaw, 0) for trial in trials]
        spread = f"{np.mean(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"
        row["sound" if flaw == "none" else flaw] = spread
    return row


def _accuracy_rows(lines: Lines, evidence: Mapping[str, Any], arms: Arms) -> Iterator[dict[str, Any]]:
    """The difference of what few scores pick from what all scores pick, on the same pools."""
    for (bed, budget), (arm, random) in arms.items():
        for model in NAMES:
            own = [(line, line[f"{budget:.0%}"]["trials"]) for line in _of(lines, bed, model)]
            if len(own) < len(arm.pools) or not own[0][1]:
                continue
            every = [trial["accuracy"] for _, trials in own for trial in trials]
            yield {
                "testbed": bed,
                "budget": f"{budget:.0%}",
                "random": spread(random, evidence, "accuracy"),
                "all scored": spread(arm, evidence, "accuracy"),
                "seed model": model,
                "those needed scored": f"{np.mean(every):.3f} ({len(own)} pools x {len(own[0][1])})",
                **interval(pooled_difference([_right(trials) for _, trials in own], arm.right(evidence))),
            }


def _right(trials: Lines) -> NDArray[np.float64]:
    """Right answers of shape (seeds, held-out rows)."""
    return np.array([bits_of(trial["right"], trial["held_out"]) for trial in trials])


def main() -> None:
    """Parse the command line and run the command."""
    parser, commands = bed_commands(__doc__, {do: do.__doc__ for do in (measure, write_page)})
    for command in commands.values():
        command.add_argument("--results", type=Path, default=OURS, help="lines of what was measured")
    choose_beds(commands[measure])
    run_command(parser, OURS)


if __name__ == "__main__":
    main()
