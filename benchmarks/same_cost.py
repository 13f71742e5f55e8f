"""Does choosing pay? Models from picks next to models from as many more random rows as choosing costs.

Also if a subset is used more than once: then the cost of choosing is divided by the number of its uses.

    python benchmarks/same_cost.py warm --fashion FOLDER      to results/lazy.jsonl; the same call resumes
    python benchmarks/same_cost.py random --fashion FOLDER    the same
    python benchmarks/same_cost.py page                       docs/results/same_cost.md

A warm start fine-tunes the seed model on the picks, which leave out the rows that it has seen; random rows
may do so, too. Pools, base models and costs are those of benchmarks/lazy.py. FOLDER has the four files of
Fashion-MNIST; see benchmarks/trials/garments.py.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, product
from statistics import median
from typing import Any

import numpy as np
from evidence import RESULTS, make_plan
from lazy import OURS, THREE, Lines, Seeded, add, mean_accuracy, on_all_pools, pool_trials, prepare, right_of
from numpy.typing import NDArray
from results_page import fill
from seed_model import HERE, TODAY
from trials.beds import TRUTH
from trials.commands import results_commands, run_command
from trials.page import interval
from trials.plan import BUDGETS, POOL_SEEDS
from trials.trial import read_lines

from hf_vitselect import select_diverse
from hf_vitselect.evaluation import pooled_difference
from hf_vitselect.report import table
from hf_vitselect.rules import Random
from hf_vitselect.training import load_seed_rows

PAGE = HERE.parent / "docs" / "results" / "same_cost.md"
SameCost = Mapping[float, Mapping[int, float]]
SEEDS = {0.15: 5, 0.05: 5}
"""Warm starts on each pool, by budget."""
SAME_COST: SameCost = {0.15: {1: 0.3, 3: 0.205, 10: 0.168}, 0.05: {1: 0.175, 3: 0.1, 10: 0.065}}
"""Random rows of about the same cost, by budget and by the number of fine-tunes that use the picks."""
SAME_COST_WARM: SameCost = {0.15: {3: 0.18}, 0.05: {3: 0.072}}
"""The same where the random rows are learned by the seed model, too: then its training is no extra cost."""
RANDOM_SEEDS = 3
WARM: Mapping[str, Any] = {"start": "seed model"}
BASE: Mapping[str, Any] = {"start": None}
STARTS = ((BASE, BASE, SAME_COST), (WARM, BASE, SAME_COST), (WARM, WARM, SAME_COST_WARM))
"""What learns the picks, what learns the random rows, and how many these are."""


def warm(args: argparse.Namespace) -> None:
    """Fine-tune the seed model on picks, seed after seed on all pools."""
    prepare()
    for budget, seeds in SEEDS.items():
        for seed in range(seeds):
            for seeded in on_all_pools(args, THREE.name):
                what = {"budget": f"{budget:.0%}", "seed": seed, **WARM}
                run = partial(Seeded.trial, folder=args.folder, budget=budget, seed=seed, warm=True)
                add(args.results, seeded, what, run)


def random(args: argparse.Namespace) -> None:
    """Fine-tune on random rows, where benchmarks/evidence.py has too few such models."""
    prepare()
    parts = [(part, {}) for part in _parts(SAME_COST) if part not in BUDGETS]
    parts += [(part, WARM) for part in _parts(SAME_COST_WARM)]
    for seed, (part, start) in product(range(RANDOM_SEEDS), parts):
        for seeded in on_all_pools(args, THREE.name):
            what = {"what": _random_line(part), "seed": seed, **start}
            run = partial(_on_random, folder=args.folder, part=part, seed=seed, warm=bool(start))
            add(args.results, seeded, what, run)


def _parts(same_cost: SameCost) -> Iterator[float]:
    return chain.from_iterable(of_uses.values() for of_uses in same_cost.values())


def _random_line(part: float) -> str:
    return f"random, {part:.1%}"


def _on_random(seeded: Seeded, folder: Any, part: float, seed: int, warm: bool) -> dict[str, Any]:
    rows, model = seeded.rows(folder), seeded.seed_model(folder) if warm else None
    seen = load_seed_rows(rows.remove_columns(TRUTH), model) if model else ()
    selection = select_diverse(rows, part, rule=Random(), seed=seed, exclude=seen)
    return seeded.fine_tune(folder, selection, seed, model)


def write_page(args: argparse.Namespace) -> None:
    """Fill the tables of docs/results/same_cost.md."""
    lines, evidence, plan = list(read_lines(args.results).values()), read_lines(RESULTS), make_plan(args)

    def random_right(bed: str, part: float, start: Mapping[str, Any]) -> list[NDArray[np.float64]]:
        if part in BUDGETS:
            return plan.curve[bed][part].right(evidence)
        return [right_of(pool) for pool in pool_trials(lines, bed, what=_random_line(part), **start)]

    tables = {
        "cost": lambda: table([*_cost_rows(lines)]),
        "accuracy": lambda: table([*_accuracy_rows(lines, random_right)]),
        "start": lambda: table([*_start_rows(lines)]),
    }
    args.page.write_text(fill(args.page.read_text(), "same cost", tables))
    print(args.page)


def _cost_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """CPU seconds of choosing, and the random rows of which a fine-tune costs as much."""
    for bed in POOL_SEEDS:
        of_bed = [line for line in lines if line.get("what") == "cost" and line["testbed"] == bed]
        own = [line for line in of_bed if line["model"] == THREE.name]
        whole = [line for line in of_bed if line["model"] == TODAY]
        pool_rows = whole[0]["all rows"]["rows"]
        # Four epochs of the whole model, as every fine-tune here.
        a_row = median(line["seed model"]["cpu"] / line["seed model"]["rows"] for line in whole)
        for budget in SAME_COST:
            training = median(line["seed model"]["cpu"] for line in own)
            scores = median(line[f"{budget:.0%}"]["cpu"] for line in own)
            line = {
                "testbed": bed,
                "budget": f"{budget:.0%}",
                "seed model": f"{training:.1f} s",
                "scores, copies, picks": f"{scores:.1f} s",
                "fine-tune on the picks": f"{budget * pool_rows * a_row:.1f} s",
            }
            for learner, choosing, same_cost in (
                ("base model", training + scores, SAME_COST),
                ("seed model", scores, SAME_COST_WARM),
            ):
                for uses, part in same_cost[budget].items():
                    same = budget + choosing / uses / a_row / pool_rows
                    line[f"{learner}, {counted(uses)}"] = f"{same:.1%} ({part:.1%})"
            yield line


def _accuracy_rows(
    lines: Lines, random_right: Callable[[str, float, Mapping[str, Any]], list[NDArray[np.float64]]]
) -> Iterator[dict[str, Any]]:
    """Accuracy of picks and of random rows of the same cost, and the difference."""
    of_all = [
        (bed, *starts, budget, uses, part)
        for bed in POOL_SEEDS
        for *starts, same_cost in STARTS
        for budget, of_uses in same_cost.items()
        for uses, part in of_uses.items()
    ]
    for bed, start, random_start, budget, uses, part in of_all:
        right, others = _picks_right(lines, bed, budget, start), random_right(bed, part, random_start)
        yield {
            "testbed": bed,
            "picks": f"{budget:.0%}",
            "picks learned by": start["start"] or "base model",
            "used": counted(uses),
            "accuracy": mean_accuracy(right),
            "random rows": f"{part:.1%}",
            "random learned by": random_start["start"] or "base model",
            "their accuracy": mean_accuracy(others),
            **interval(pooled_difference(right, others, comparisons=len(of_all))),
        }


def _start_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """Accuracy of picks by what learns them, and the difference."""
    of_all = [*product(POOL_SEEDS, SAME_COST)]
    for bed, budget in of_all:
        warm, base = (_picks_right(lines, bed, budget, start) for start in (WARM, BASE))
        yield {
            "testbed": bed,
            "picks": f"{budget:.0%}",
            "base model": mean_accuracy(base),
            "seed model": mean_accuracy(warm),
            **interval(pooled_difference(warm, base, comparisons=len(of_all))),
        }


def _picks_right(
    lines: Lines, bed: str, budget: float, start: Mapping[str, Any]
) -> list[NDArray[np.float64]]:
    """Right answers of models from picks, for each pool."""
    trials = pool_trials(lines, bed, model=THREE.name, budget=f"{budget:.0%}", **start)
    return [right_of(pool) for pool in trials]


def counted(uses: int) -> str:
    """Say how often a subset is used."""
    return "once" if uses == 1 else f"{uses} times"


def main() -> None:
    """Parse the command line and run the command."""
    parser, _ = results_commands(__doc__, (warm, random), write_page, OURS, PAGE)
    run_command(parser, OURS)


if __name__ == "__main__":
    main()
