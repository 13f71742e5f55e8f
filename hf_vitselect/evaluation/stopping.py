"""When a comparison may stop: group-sequential intervals, with a look after each seed from the third on.

The intervals of all looks together hold at their level (repeated confidence intervals), so a comparison may
stop at any look and for any reason, and its verdict stays honest. The level is spent as Lan and DeMets do
(Biometrika 70, 1983) with a function like O'Brien and Fleming's bounds: little at early looks, so that the
last one is hardly wider than without looks. A look's level comes from the joint distribution of normal
statistics; its interval then has Student's quantile at that level, since few seeds say little about the
noise. The noise of held-out rows, which are the same at all looks, only makes the looks more alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_vitselect.evaluation.statistics import Difference

FIRST_LOOK = 3
"""Seeds before the first look; two say next to nothing about the noise."""
LEAST_CHANCE = 0.1
"""A comparison whose chance of a verdict at the last look is lower than this is given up."""
_STEP, _REACH = 0.005, 8.0

Decision = Literal["verdict", "hopeless", "more seeds"]


@dataclass(frozen=True)
class Look:
    """One comparison at one look.

    Attributes:
        evaluation: its name.
        method: its name.
        rows: the budget.
        against: the random rows it is compared with.
        seeds: fine-tunes of each so far.
        difference: with the interval of this look.
        decision: whether the seeds suffice for a verdict, or no further ones are likely to.
    """

    evaluation: str
    method: str
    rows: int
    against: str
    seeds: int
    difference: Difference
    decision: Decision

    def table_row(self) -> dict[str, Any]:
        """Cells of the table in comparison.md."""
        value = self.difference
        return {
            "evaluation": self.evaluation,
            "method": self.method,
            "rows": self.rows,
            "against": self.against,
            "seeds": self.seeds,
            "difference": f"{value.mean:+.3f} ({value.low:+.3f} to {value.high:+.3f})",
            "level": f"{value.level:.2%}",
            "decision": self.decision,
        }


@lru_cache(maxsize=64)
def look_levels(seeds: int, alpha: float) -> dict[int, float]:
    """The level of the interval at each look, by the seeds so far.

    Args:
        seeds: planned; the last look.
        alpha: chance that any of the intervals misses the true difference, in (0, 1).
    """
    looks = range(min(FIRST_LOOK, seeds), seeds + 1)
    spent = [2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(look / seeds)) for look in looks]
    grid = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    levels: dict[int, float] = {}
    # The density of a Brownian motion that has stayed within the bounds, at the time of each look.
    density, before = np.zeros(len(grid)), 0.0
    density[len(grid) // 2] = 1 / _STEP
    for look, spend in zip(looks, np.diff([0.0, *spent]), strict=True):
        time = look / seeds
        step = stats.norm.pdf(grid, scale=np.sqrt(time - before)) * _STEP
        density = np.convolve(density, step, mode="same")
        bound = _upper_quantile(grid, density, spend / 2)
        density = np.where(np.abs(grid) < bound, density, 0.0)
        levels[look], before = float(1 - 2 * stats.norm.sf(bound / np.sqrt(time))), time
    return levels


def decide(difference: Difference, seeds: int, levels: dict[int, float]) -> Decision:
    """Whether a comparison has its verdict after these seeds, or is unlikely to get one.

    The chance of a verdict at the last look is that of a normal statistic whose trend is the one seen so far,
    one standard error stronger.
    """
    if difference.verdict != "not distinguishable":
        return "verdict"
    last = max(levels)
    if seeds == last or difference.z is None:
        return "more seeds"
    time = seeds / last
    bound = stats.norm.isf((1 - levels[last]) / 2)
    expected = (abs(difference.z) + (1 - time)) / np.sqrt(time)
    return (
        "hopeless" if stats.norm.sf((bound - expected) / np.sqrt(1 - time)) < LEAST_CHANCE else "more seeds"
    )


def stops(decisions: Sequence[Decision]) -> bool:
    """Whether a method needs no more seeds."""
    return "more seeds" not in decisions


def _upper_quantile(grid: NDArray[np.float64], density: NDArray[np.float64], tail: float) -> float:
    """The point above which a density on a grid has this mass."""
    above = np.cumsum(density[::-1])[::-1] * _STEP
    # The tail falls with the grid; interp wants rising values.
    return float(np.interp(tail, above[::-1], grid[::-1] - _STEP / 2))
