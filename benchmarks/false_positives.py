"""Rate of false differences in `compare`, from simulated models that differ by chance alone; and its power.

    python benchmarks/false_positives.py --tables 1000

A simulated model's score of a held-out row is the row's own difficulty (the same for all models), plus the
model's deviation, plus noise of model and row. In the first table every method has the same distribution, so
each verdict "better" or "worse" is wrong. A table compares `methods` methods with one random baseline.

With `stop_early`, methods stop at the look that settles them. The second table shows what that saves, and how
often it finds a method that is better by `effect`.
"""

import argparse
from functools import partial

import numpy as np

from hf_vitselect.evaluation import LEVEL, Difference, decide, difference, look_levels
from hf_vitselect.report import table

NORMAL, HEAVY = "normal", "t with 3 degrees of freedom"
REPLICATES = 400


def share_of_wrong_tables(
    rng: np.random.Generator,
    tables: int,
    *,
    seeds: int,
    rows: int,
    spread: float,
    methods: int,
    shape: str,
    stop_early: bool = False,
) -> float:
    """The share of tables with any verdict at all.

    Args:
        rng: of the models.
        tables: how many.
        seeds: models of each method, at most.
        rows: held-out rows; 0 for one score a model.
        spread: standard deviation of the models; that of a model's noise at each row is 0.2.
        methods: compared with random in one table.
        shape: of the models' deviations.
        stop_early: whether methods stop at the look that settles them.
    """
    draw = partial(models, rng, seeds, spread, shape)
    wrong = 0
    for number in range(tables):
        hard = 0.4 * rng.standard_normal(rows)
        random = draw(hard)
        ends = [compared(draw(hard), random, methods, stop_early, number)[0] for _ in range(methods)]
        wrong += any(end.verdict != "not distinguishable" for end in ends)
    return wrong / tables


def power_and_seeds(
    rng: np.random.Generator, tables: int, *, seeds: int, rows: int, spread: float, effect: float
) -> dict[str, str]:
    """How often one method that is better by `effect` is found, without looks and with them, and the cost."""
    draw = partial(models, rng, seeds, spread, NORMAL)
    better, better_early, used = 0, 0, 0
    for number in range(tables):
        hard = 0.4 * rng.standard_normal(rows)
        scores, random = effect + draw(hard), draw(hard)
        better += compared(scores, random, 1, False, number)[0].verdict == "better"
        end, count = compared(scores, random, 1, True, number)
        better_early += end.verdict == "better"
        used += count
    return {
        "power": f"{better / tables:.1%}",
        "power with stop_early": f"{better_early / tables:.1%}",
        "mean seeds": f"{used / tables:.2f}",
        "trials saved": f"{1 - used / tables / seeds:.0%}",
    }


def models(rng: np.random.Generator, seeds: int, spread: float, shape: str, hard: np.ndarray) -> np.ndarray:
    """Scores of one method's models, of shape (seeds, rows), or (seeds,) without rows."""
    draw = rng.standard_normal if shape == NORMAL else partial(rng.standard_t, 3)
    deviation = spread * draw(size=(seeds, 1))
    return hard + deviation + 0.2 * rng.standard_normal((seeds, len(hard))) if len(hard) else deviation[:, 0]


def compared(
    scores: np.ndarray, random: np.ndarray, comparisons: int, stop_early: bool, seed: int
) -> tuple[Difference, int]:
    """The difference at the end, and the seeds until then."""
    if not stop_early:
        whole = difference(scores, random, comparisons=comparisons, replicates=REPLICATES, seed=seed)
        return whole, len(scores)
    levels = look_levels(len(scores), (1 - LEVEL) / comparisons)
    for look, level in levels.items():
        value = difference(scores[:look], random[:look], level=level, replicates=REPLICATES, seed=seed)
        if decide(value, look, levels) != "more seeds":
            break
    return value, look


def wrong_verdicts(tables: int) -> str:
    """The first table."""
    lines = []
    for seeds, rows, spread, methods, shape, stop_early in [
        (3, 0, 0.1, 1, NORMAL, False),
        (3, 0, 0.1, 1, HEAVY, False),
        (3, 0, 0.1, 6, NORMAL, False),
        (3, 100, 0.0, 1, NORMAL, False),
        (3, 100, 0.02, 1, NORMAL, False),
        (3, 100, 0.1, 1, NORMAL, False),
        (3, 100, 0.1, 1, HEAVY, False),
        (3, 100, 0.1, 6, NORMAL, False),
        (2, 100, 0.1, 1, NORMAL, False),
        (5, 100, 0.1, 1, NORMAL, False),
        (6, 0, 0.1, 1, NORMAL, True),
        (6, 0, 0.1, 1, HEAVY, True),
        (6, 0, 0.1, 6, NORMAL, True),
        (6, 100, 0.0, 1, NORMAL, True),
        (6, 100, 0.02, 1, NORMAL, True),
        (6, 100, 0.1, 1, NORMAL, True),
        (6, 100, 0.1, 6, NORMAL, True),
        (10, 100, 0.1, 1, NORMAL, True),
    ]:
        settings = {"seeds": seeds, "rows": rows, "spread": spread, "methods": methods, "shape": shape}
        share = share_of_wrong_tables(np.random.default_rng(0), tables, **settings, stop_early=stop_early)
        lines.append(settings | {"stop_early": stop_early, "tables with a wrong verdict": f"{share:.1%}"})
    return table(lines)


def savings(tables: int) -> str:
    """The second table: effects in standard deviations of the seeds, 0, 1, 2 and 4 of them."""
    lines = []
    for seeds in (6, 10):
        for effect in (0.0, 0.05, 0.1, 0.2):
            settings = {"seeds": seeds, "rows": 100, "spread": 0.05, "effect": effect}
            lines.append(settings | power_and_seeds(np.random.default_rng(0), tables, **settings))
    return table(lines)


def main() -> None:
    """Simulates and prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=1000, help="simulated in each line")
    args = parser.parse_args()
    print(wrong_verdicts(args.tables), savings(args.tables), sep="\n\n")


if __name__ == "__main__":
    main()
