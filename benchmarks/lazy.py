"""What it saves to score only the rows that a selection may need, and what it changes.

    python benchmarks/lazy.py measure --fashion FOLDER     CPU seconds and picks, added to results/lazy.jsonl
    python benchmarks/lazy.py page                         docs/results/lazy.md

Pools and models are those of benchmarks/evidence.py, whose trials also say how accurate the models are that
train on such picks. FOLDER has the four files of Fashion-MNIST; see benchmarks/trials/garments.py.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars, load_from_disk
from evidence import DEFAULT, RESULTS, make_plan
from results_page import commit, fill
from selection.measure import measured
from trials.beds import TRUTH, Pool
from trials.commands import bed_commands, run_command
from trials.page import interval, spread
from trials.plan import POOL_SEEDS, compared
from trials.trial import choose, composition, read_lines

from hf_vitselect import score
from hf_vitselect.call_text import write_call
from hf_vitselect.report import table
from hf_vitselect.training import train_seed_model

HERE = Path(__file__).parent
OURS = HERE / "results" / "lazy.jsonl"
PAGE = HERE.parent / "docs" / "results" / "lazy.md"
BUDGETS = (0.15, 0.05)
ALL = "all rows"


@dataclass(frozen=True)
class Measured:
    """What was measured of a pool.

    Attributes:
        scored: `seed model`; ALL; or the budget whose rows were scored.
        cpu: seconds, on one thread.
        rows: number of rows that were trained on, or scored.
        picks: by budget, what the selection consists of: shares of flaws, and distinct scenes.
    """

    testbed: str
    pool: int
    scored: str
    cpu: float
    rows: int
    picks: dict[str, dict[str, Any]]


def measure_pool(pool: Pool, folder: Path) -> list[Measured]:
    """Train a seed model, then score all rows, and those that each budget needs."""
    pool.scored(folder)
    _, base = pool.bed.models(folder)
    rows = load_from_disk(str(pool.folder(folder) / "data"))
    lines = []

    def add(scored: str, count: int, cpu: float, budgets: tuple[float, ...], columns: Dataset | None) -> None:
        picks = {f"{budget:.0%}": _picks(columns, budget) for budget in budgets} if columns else {}
        lines.append(Measured(pool.bed.name, pool.seed, scored, round(cpu, 1), count, picks))

    with tempfile.TemporaryDirectory(dir=folder) as out:
        share, args = pool.bed.settings.seed_share, pool.bed.training(Path(out, "seed"))
        _, cpu, _ = measured(lambda: train_seed_model(rows.remove_columns(TRUTH), str(base), share, args))
        add("seed model", int(share * len(rows)), cpu, (), None)
        whole, cpu, _ = measured(lambda: score(rows, pool.scorers(folder), Path(out, "all")))
        add(ALL, len(rows), cpu, BUDGETS, whole)
        for budget in BUDGETS:
            some, cpu, _ = measured(
                lambda budget=budget: pool.scored_lazily(folder, DEFAULT, budget, 0, Path(out, str(budget)))
            )
            add(f"{budget:.0%}", some["necessity_status"][:].count("ok"), cpu, (budget,), some)
    return lines


def _picks(scored: Dataset, budget: float) -> dict[str, Any]:
    chosen = choose(scored, write_call(DEFAULT), budget, 0)[1]
    of_picks = composition(scored, chosen)
    return {"rows": len(chosen), "flaws": of_picks["flaws"], "distinct": of_picks["distinct"]}


def measure(args: argparse.Namespace) -> None:
    """Measure the first pool of each testbed."""
    disable_progress_bars()
    torch.set_num_threads(1)
    for name, bed in args.beds.items():
        for line in measure_pool(Pool(bed, "flawed", POOL_SEEDS[name][0]), args.folder):
            with OURS.open("a") as results:
                print(
                    json.dumps(asdict(line) | {"date": str(date.today()), "commit": commit()}), file=results
                )


def write_page(args: argparse.Namespace) -> None:
    """Fill the tables of docs/results/lazy.md."""
    every = [json.loads(line) for line in OURS.read_text().splitlines()]
    last = {(line["testbed"], line["scored"]): line for line in every}
    beds = list(dict.fromkeys(testbed for testbed, _ in last))
    PAGE.write_text(
        fill(
            PAGE.read_text(),
            "lazy",
            {
                "cost": lambda: table([_cost(last, bed, budget) for bed in beds for budget in BUDGETS]),
                "picks": lambda: table(
                    [
                        _composition(last[bed, scored], budget)
                        for bed in beds
                        for budget in BUDGETS
                        for scored in (ALL, f"{budget:.0%}")
                    ]
                ),
                "accuracy": lambda: _accuracy(args),
            },
        )
    )
    print(PAGE)


def _cost(lines: dict[tuple[str, str], Any], bed: str, budget: float) -> dict[str, Any]:
    seed, whole, some = (lines[bed, scored] for scored in ("seed model", ALL, f"{budget:.0%}"))
    share = (seed["cpu"] + some["cpu"]) / (seed["cpu"] + whole["cpu"])
    return {
        "testbed": bed,
        "budget": f"{budget:.0%}",
        "rows scored": f"{some['rows'] / whole['rows']:.0%}",
        "seed model": f"{seed['cpu']:.0f} s",
        "scores of all rows": f"{whole['cpu']:.0f} s",
        "of the rows needed": f"{some['cpu']:.0f} s",
        "scores alone": f"{some['cpu'] / whole['cpu']:.0%}",
        "with the seed model": f"{share:.0%}",
    }


def _composition(line: dict[str, Any], budget: float) -> dict[str, Any]:
    picks = line["picks"][f"{budget:.0%}"]
    shares = {flaw: f"{picks['flaws'].get(flaw, 0):.1%}" for flaw in ("wrong", "blind", "duplicate")}
    again = f"{1 - picks['distinct'] / picks['rows']:.1%}"
    scored = "all" if line["scored"] == ALL else "those needed"
    row = {"testbed": line["testbed"], "budget": f"{budget:.0%}", "rows scored": scored}
    return row | shares | {"again": again}


def _accuracy(args: argparse.Namespace) -> str:
    lines, planned = read_lines(RESULTS), make_plan(args)
    rows = []
    for versus in planned.versus:
        lazy = planned.lazy.get(versus.default.pools[0].bed.name)
        if versus.primary and lazy and versus.default.budget == lazy.budget:
            arms = {"random": versus.random, "all scored": versus.default, "those needed scored": lazy}
            row = {name: spread(arm, lines, "accuracy") for name, arm in arms.items()}
            gain = interval(compared(lazy, versus.default, lines))
            rows.append({"testbed, rows": versus.title, **row, **gain})
    return table(rows)


def main() -> None:
    """Parse the command line and run the command."""
    parser, _ = bed_commands(__doc__, {do: do.__doc__ for do in (measure, write_page)})
    run_command(parser, OURS)


if __name__ == "__main__":
    main()
