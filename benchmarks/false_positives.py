"""Rate of false differences in `compare`, from simulated models that differ by chance alone.

    python benchmarks/false_positives.py --tables 1000

A simulated model's score of a held-out row is the row's own difficulty (the same for all models), plus the
model's deviation, plus noise of model and row. Every method has the same distribution, so each verdict
"better" or "worse" is wrong. A table compares `methods` methods with one random baseline.
"""

import argparse

import numpy as np

from hf_vitselect.evaluation import difference
from hf_vitselect.report import table

NORMAL, HEAVY = "normal", "t with 3 degrees of freedom"


def share_of_wrong_tables(
    rng: np.random.Generator, tables: int, *, seeds: int, rows: int, spread: float, methods: int, shape: str
) -> float:
    """The share of tables with any verdict at all.

    Args:
        rng: of the models.
        tables: how many.
        seeds: models of each method.
        rows: held-out rows; 0 for one score a model.
        spread: standard deviation of the models; that of a model's noise at each row is 0.2.
        methods: compared with random in one table.
        shape: of the models' deviations.
    """

    def models(hard: np.ndarray) -> np.ndarray:
        draw = rng.standard_normal if shape == NORMAL else lambda size: rng.standard_t(3, size)
        deviation = spread * draw((seeds, 1))
        return hard + deviation + 0.2 * rng.standard_normal((seeds, rows)) if rows else deviation[:, 0]

    wrong = 0
    for number in range(tables):
        hard = 0.4 * rng.standard_normal(rows)
        random = models(hard)
        differences = (
            difference(models(hard), random, comparisons=methods, replicates=400, seed=number)
            for _ in range(methods)
        )
        wrong += any(each.verdict != "not distinguishable" for each in differences)
    return wrong / tables


def main() -> None:
    """Simulates and prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=1000, help="simulated in each line")
    args = parser.parse_args()
    lines = []
    for seeds, rows, spread, methods, shape in [
        (3, 0, 0.1, 1, NORMAL),
        (3, 0, 0.1, 1, HEAVY),
        (3, 0, 0.1, 6, NORMAL),
        (3, 100, 0.0, 1, NORMAL),
        (3, 100, 0.02, 1, NORMAL),
        (3, 100, 0.1, 1, NORMAL),
        (3, 100, 0.1, 1, HEAVY),
        (3, 100, 0.1, 6, NORMAL),
        (2, 100, 0.1, 1, NORMAL),
        (5, 100, 0.1, 1, NORMAL),
    ]:
        settings = {"seeds": seeds, "rows": rows, "spread": spread, "methods": methods, "shape": shape}
        share = share_of_wrong_tables(np.random.default_rng(0), args.tables, **settings)
        lines.append({**settings, "tables with a wrong verdict": f"{share:.1%}"})
    print(table(lines))


if __name__ == "__main__":
    main()
