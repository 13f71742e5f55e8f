"""A line of a comparison: a method's scores at one budget, its difference to random and the verdict."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.evaluation.methods import FULL, MATCHED, RANDOM
from hf_vitselect.evaluation.statistics import LEVEL, Difference, difference
from hf_vitselect.evaluation.stopping import look_levels
from hf_vitselect.evaluation.trials import Trial

Key = tuple[str, int]  # a method's name and a budget in rows


@dataclass(frozen=True)
class SameCost:
    """Random rows of which a fine-tune costs as much as one on a method's picks, and choosing them.

    Attributes:
        rows: their number.
        uses: fine-tunes that use the picks, among which the cost of choosing is divided.
    """

    rows: int
    uses: int

    def __str__(self) -> str:
        if_used = f" if the picks are used {self.uses} times" if self.uses > 1 else ""
        return f"{self.rows:,} random rows, which cost no more{if_used}"


NO_ROWS: Mapping[Key, SameCost] = MappingProxyType({})
"""No random rows of the same cost."""


@dataclass(frozen=True)
class Line:
    """One method at one budget, under one evaluation.

    Attributes:
        method: its name.
        rows: the budget.
        means: the mean score of each seed.
        random: the difference to random rows; None for random rows and full data.
        matched: the difference to random rows with the same response lengths, or None without such rows.
        same_cost: the difference to as many random rows as cost the same, or to all if they cost less; None
            without such rows.
        same_cost_rows: what these are, likewise.
        of_full: the mean score as a share of full data's, or None if full data was not trained on.
        tokens: seen in training, mean over seeds.
        seconds: per fine-tune, mean over seeds.
    """

    method: str
    rows: int
    means: list[float]
    random: Difference | None
    matched: Difference | None
    same_cost: Difference | None
    same_cost_rows: SameCost | None
    of_full: float | None
    tokens: float
    seconds: float

    @property
    def mean(self) -> float:
        """Mean score over seeds."""
        return float(np.mean(self.means))

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds; None for a single seed."""
        return float(np.std(self.means, ddof=1)) if len(self.means) > 1 else None

    @property
    def verdict(self) -> str:
        """The verdict as a sentence; empty for random rows and full data."""
        if self.random is None:
            return ""
        words = f"{self.method}, {self.rows:,} rows: {self._against(self.random, 'random')}"
        if self.matched is not None:
            words += f"; {self._against(self.matched, 'random rows of the same lengths')}"
        if self.same_cost is not None:
            words += f"; {self._against(self.same_cost, str(self.same_cost_rows))}"
        return words + "."

    def card_row(self) -> dict[str, Any]:
        """Cells of the table on a card, as plain JSON."""
        row = {
            "method": self.method,
            "rows": self.rows,
            "mean": self.mean,
            "sd": self.sd,
            "seeds": len(self.means),
        }
        differences = {
            "less random": self.random,
            "less matched": self.matched,
            "less random of the same cost": self.same_cost,
        }
        return row | {name: self._interval(value) for name, value in differences.items() if value is not None}

    def table_row(self) -> dict[str, Any]:
        """Cells of the table in comparison.md."""
        random = self.random
        row = {
            "method": self.method,
            "rows": self.rows,
            "mean": f"{self.mean:.3f}",
            "sd": "-" if self.sd is None else f"{self.sd:.3f}",
            "seeds": len(self.means),
            "less random": "" if random is None else self._interval(random),
            "p": "" if random is None or random.rows_p is None else f"{random.rows_p:.2g}",
        }
        if self.of_full is not None:
            row["of full"] = f"{self.of_full:.1%}"
        return row | {"tokens": f"{self.tokens:,.0f}", "seconds": f"{self.seconds:.0f}"}

    def _against(self, value: Difference, other: str) -> str:
        if value.verdict == "not distinguishable":
            seeds = f"{len(self.means)} seed{'s' * (len(self.means) > 1)}"
            return f"not distinguishable from {other} with {seeds}, {self._interval(value)}"
        return f"{value.verdict} than {other}, {self._interval(value)}"

    def _interval(self, value: Difference) -> str:
        if np.isinf(value.low):
            return f"{value.mean:+.3f} ({'one seed: ' * (len(self.means) == 1)}no interval)"
        return f"{value.mean:+.3f} ({value.low:+.3f} to {value.high:+.3f})"


def compare_scores(
    trials: Mapping[Key, Sequence[Trial]],
    scores: Mapping[Key, NDArray[np.float64]],
    planned: int | None = None,
    same_cost: Mapping[Key, SameCost] = NO_ROWS,
) -> list[Line]:
    """Compare every method with random rows: of the same budget, with its lengths, and of the same cost.

    Args:
        trials: of each method and budget, in the order of their seeds.
        scores: of the trials' models under one evaluation, shape (seeds, rows) or (seeds,). A method that
            stopped early is compared with as many seeds of the random rows.
        planned: seeds at most if the methods may stop at a look before them; None without looks.
        same_cost: for methods and budgets, the random rows that cost the same.
    """
    baselines = {key: baselines_of(key, scores, same_cost) for key in scores}
    comparisons = sum(map(len, baselines.values()))
    levels = {} if planned is None else look_levels(planned, (1 - LEVEL) / max(1, comparisons))
    full = next((float(values.mean()) for (name, _), values in scores.items() if name == FULL), None)
    lines = []
    for key, values in scores.items():
        differences = {
            name: difference(
                values, scores[other][: len(values)], comparisons=comparisons, level=levels.get(len(values))
            )
            for name, other in baselines[key].items()
        }
        lines.append(
            Line(
                *key,
                means=[float(of_seed.mean()) for of_seed in values],
                random=differences.get("random"),
                matched=differences.get("matched"),
                same_cost=differences.get("same_cost"),
                same_cost_rows=same_cost.get(key),
                of_full=float(values.mean()) / full if full else None,
                tokens=float(np.mean([trial.tokens for trial in trials[key]])),
                seconds=float(np.mean([trial.seconds for trial in trials[key]])),
            )
        )
    return lines


def baselines_of(key: Key, keys: Collection[Key], same_cost: Mapping[Key, SameCost]) -> dict[str, Key]:
    """The random rows among the keys that a method is compared with, by the field of its line.

    Random rows and full data are compared with none.
    """
    name, rows = key
    if name in (RANDOM, FULL):
        return {}
    others = {"random": (RANDOM, rows), "matched": (MATCHED.format(name), rows)}
    if key in same_cost:
        number = same_cost[key].rows
        others["same_cost"] = (FULL, number) if (FULL, number) in keys else (RANDOM, number)
    return {field: other for field, other in others.items() if other in keys}


def group_trials(trials: Sequence[Trial]) -> dict[Key, list[Trial]]:
    """The trials of each method and budget."""
    groups: dict[Key, list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.name, trial.budget), []).append(trial)
    return groups


def stack(evaluation: str, group: Sequence[Trial]) -> NDArray[np.float64]:
    """The scores of finished trials, shape (trials, rows) or (trials,)."""
    scores = [trial.scores(evaluation) for trial in group]
    shapes = [array.shape for array in scores]
    if len(set(shapes)) > 1:
        raise ValueError(f"expected equally many scores of {evaluation!r} per model, got shapes {shapes}")
    return np.stack(scores)
