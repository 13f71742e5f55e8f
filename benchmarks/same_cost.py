"""Does choosing pay? Models from picks next to models from as many more random rows as choosing costs.

Also if a subset is used more than once: then the cost of choosing is divided by the number of its uses.

    python benchmarks/same_cost.py warm --fashion FOLDER      to results/lazy.jsonl; the same call resumes
    python benchmarks/same_cost.py random --fashion FOLDER    the same
    python benchmarks/same_cost.py page                       docs/results/same_cost.md

A warm start fine-tunes the seed model on the picks, which leave out the rows that it has seen. Pools, base
models and costs are those of benchmarks/lazy.py. FOLDER has the four files of Fashion-MNIST; see
benchmarks/trials/garments.py.
"""

import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from evidence import RESULTS, make_plan
from lazy import OURS, THREE, Lines, Seeded, add, mean_accuracy, on_all_pools, pool_trials, prepare, right_of
from numpy.typing import NDArray
from results_page import fill
from seed_model import HERE, TODAY
from trials.commands import results_commands, run_command
from trials.page import interval
from trials.plan import BUDGETS, POOL_SEEDS
from trials.trial import read_lines

from hf_vitselect import select_diverse
from hf_vitselect.evaluation import pooled_difference
from hf_vitselect.report import table
from hf_vitselect.rules import Random
from hf_vitselect.selection import Method

PAGE = HERE.parent / "docs" / "results" / "same_cost.md"
SEEDS = {0.15: 5, 0.05: 5}
"""Warm starts on each pool, by budget."""
SAME_COST = {0.15: {1: 0.3, 3: 0.205, 10: 0.168}, 0.05: {1: 0.175, 3: 0.1, 10: 0.065}}
"""Random rows of about the same cost, by budget and by the number of fine-tunes that use the picks."""
RANDOM_SEEDS = 3
WARM = {"start": "seed model"}
STARTS = {"base model": {"start": None}, "seed model": WARM}


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
    """Fine-tune the base model on random rows, where benchmarks/evidence.py has too few such models."""
    prepare()
    parts = [part for of_uses in SAME_COST.values() for part in of_uses.values() if part not in BUDGETS]
    for seed, part in product(range(RANDOM_SEEDS), parts):
        for seeded in on_all_pools(args, THREE.name):
            what = {"what": _random_line(part), "seed": seed}
            add(args.results, seeded, what, partial(_on_random, folder=args.folder, part=part, seed=seed))


def _random_line(part: float) -> str:
    return f"random, {part:.1%}"


def _on_random(seeded: Seeded, folder: Any, part: float, seed: int) -> dict[str, Any]:
    selection = select_diverse(seeded.rows(folder), part, method=Method(rule=Random()), seed=seed)
    return seeded.fine_tune(folder, selection, seed)


def write_page(args: argparse.Namespace) -> None:
    """Fill the tables of docs/results/same_cost.md."""
    lines, evidence, plan = list(read_lines(args.results).values()), read_lines(RESULTS), make_plan(args)
    randoms = {
        (bed, part): plan.curve[bed][part].right(evidence)
        if part in BUDGETS
        else [right_of(pool) for pool in pool_trials(lines, bed, what=_random_line(part))]
        for bed in POOL_SEEDS
        for of_uses in SAME_COST.values()
        for part in of_uses.values()
    }
    tables = {
        "cost": lambda: table([*_cost_rows(lines)]),
        "accuracy": lambda: table([*_accuracy_rows(lines, randoms)]),
    }
    args.page.write_text(fill(args.page.read_text(), "same cost", tables))
    print(args.page)


def _cost_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """CPU seconds of choosing, and the random rows of which a fine-tune costs as much."""
    costs = {
        (line["testbed"], line["model"]): line
        for line in lines
        if line.get("what") == "cost" and line["round"] == 0
    }
    for bed in POOL_SEEDS:
        own, whole = costs[bed, THREE.name], costs[bed, TODAY]
        pool_rows, seconds = whole["all rows"]["rows"], whole["seed model"]
        a_row = seconds["cpu"] / seconds["rows"]  # four epochs of the whole model, as every fine-tune here
        for budget, of_uses in SAME_COST.items():
            choosing = own["seed model"]["cpu"] + own[f"{budget:.0%}"]["cpu"]
            picks = budget * pool_rows
            same = {uses: choosing / uses / a_row / pool_rows + budget for uses in of_uses}
            yield {
                "testbed": bed,
                "budget": f"{budget:.0%}",
                "seed model": f"{own['seed model']['cpu']:.1f} s",
                "scores, copies, picks": f"{own[f'{budget:.0%}']['cpu']:.1f} s",
                "fine-tune on the picks": f"{picks * a_row:.1f} s",
                **{
                    f"same cost, {counted(uses)}": f"{same[uses]:.1%}, compared {part:.1%}"
                    for uses, part in of_uses.items()
                },
            }


def _accuracy_rows(
    lines: Lines, randoms: Mapping[tuple[str, float], list[NDArray[np.float64]]]
) -> Iterator[dict[str, Any]]:
    """Accuracy of both starts, and the difference from random rows of the same cost."""
    of_uses = {(budget, uses): part for budget, parts in SAME_COST.items() for uses, part in parts.items()}
    for bed, (start, named), (budget, uses) in product(POOL_SEEDS, STARTS.items(), of_uses):
        part = of_uses[budget, uses]
        trials = pool_trials(lines, bed, model=THREE.name, budget=f"{budget:.0%}", **named)
        right, random_right = [right_of(pool) for pool in trials], randoms[bed, part]
        if right and random_right:
            yield {
                "testbed": bed,
                "fine-tuned": start,
                "picks": f"{budget:.0%}",
                "used": counted(uses),
                "accuracy": mean_accuracy(right),
                "random rows": f"{part:.1%}",
                "their accuracy": mean_accuracy(random_right),
                **interval(pooled_difference(right, random_right)),
            }


def counted(uses: int) -> str:
    """Say how often a subset is used."""
    return "once" if uses == 1 else f"{uses} times"


def main() -> None:
    """Parse the command line and run the command."""
    parser, _ = results_commands(__doc__, (warm, random), write_page, OURS, PAGE)
    run_command(parser, OURS)


if __name__ == "__main__":
    main()
