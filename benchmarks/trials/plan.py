"""Which trials answer which question: fixed before the first test trial ran."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.evaluation import Difference, difference, pooled_difference
from trials.beds import Bed, Pool
from trials.trial import ORACLE, UNTRAINED, Trial, right_rows

RANDOM = "Random()"
# The garments' pools 1 to 3 are used up: their results by kind are why `UnusedImage` has `helped`.
POOL_SEEDS = {"demo": (1, 2, 3, 4), "garments": (4, 5, 6)}
BUDGETS = (0.15, 0.3)
CURVE = (0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 1.0)
SEEDS = 3  # of a fine-tune, at least
MOST_SEEDS = 15
HALF_WIDTH = 0.01  # seeds are added to the primary comparisons until their intervals reach no further
COMPARISONS = 4  # primary ones: two beds, two budgets; Bonferroni


@dataclass(frozen=True)
class Arm:
    """A method with everything but the seed: what a table shows in one row.

    Attributes:
        pools: the same bed and variant with one seed each; a result is the mean over them.
    """

    pools: tuple[Pool, ...]
    part: str
    method: str
    budget: float
    epochs: int | None = None

    def trials(self, seeds: int, first: int = 0) -> list[Trial]:
        """Trials of all pools, seed by seed."""
        return [
            Trial(pool, self.part, self.method, self.budget, seed, self.epochs)
            for seed in range(first, seeds)
            for pool in self.pools
        ]

    def lines(self, lines: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
        """The finished trials of every seed that all pools have finished, in order."""
        finished = []
        for seed in range(MOST_SEEDS):
            keys = [trial.key for trial in self.trials(seed + 1, seed)]
            if not all(key in lines for key in keys):
                break
            finished.append([lines[key] for key in keys])
        return finished

    def right(self, lines: Mapping[str, Any]) -> list[NDArray[np.float64]]:
        """Right answers of shape (seeds, held-out rows), for each pool."""
        finished = self.lines(lines)
        return [np.array([right_rows(seed[pool]) for seed in finished]) for pool, _ in enumerate(self.pools)]

    def values(self, lines: Mapping[str, Any], name: str) -> NDArray[np.float64]:
        """A figure of every finished trial, shape (seeds, pools)."""
        figures = [[line[name] for line in seed] for seed in self.lines(lines)]
        return np.array(figures, dtype=np.float64).reshape(len(figures), len(self.pools))


def compared(arm: Arm, other: Arm, lines: Mapping[str, Any], comparisons: int = 1) -> Difference | None:
    """Difference in accuracy, for other seeds and held-out rows; None without two seeds each."""
    return pooled_difference(arm.right(lines), other.right(lines), comparisons=comparisons)


@dataclass(frozen=True)
class Versus:
    """The default against random rows, where a verdict is given.

    Attributes:
        oracle: sound and distinct rows, or None where they are not looked at.
        primary: whether seeds are added until the interval is narrow.
    """

    title: str
    default: Arm
    random: Arm
    oracle: Arm | None = None
    primary: bool = False

    @property
    def comparisons(self) -> int:
        """Number of verdicts to correct for."""
        return COMPARISONS if self.primary else 1

    def difference(self, lines: Mapping[str, Any]) -> Difference | None:
        """Of the default from random."""
        return compared(self.default, self.random, lines, self.comparisons)

    def unstratified(self, lines: Mapping[str, Any]) -> Difference | None:
        """The same from the seeds' means over pools, as if all pools were one."""
        arms = self.default.right(lines), self.random.right(lines)
        if min(len(pool) for arm in arms for pool in arm) < 2:
            return None
        scores, others = (np.concatenate(arm, axis=1) for arm in arms)
        return difference(scores, others, comparisons=self.comparisons)

    def seeds(self, lines: Mapping[str, Any]) -> int:
        """Seeds to run, given what has run."""
        done = min(len(self.default.lines(lines)), len(self.random.lines(lines)))
        if not self.primary or done < SEEDS:
            return SEEDS
        gain = self.difference(lines)
        narrow = gain is not None and (gain.high - gain.low) / 2 <= HALF_WIDTH
        return done if narrow else min(done + 1, MOST_SEEDS)


@dataclass(frozen=True)
class Plan:
    """All arms of the test part.

    Attributes:
        versus: the primary comparisons and the guards.
        second: by bed, the arms of the second table by name.
        curve: by bed, random rows by budget.
        base: by bed, the base model itself.
    """

    versus: tuple[Versus, ...]
    second: Mapping[str, Mapping[str, Arm]]
    curve: Mapping[str, Mapping[float, Arm]]
    base: Mapping[str, Arm]

    @classmethod
    def of(
        cls, beds: Mapping[str, Bed], default: str, others: Mapping[str, str], part: str = "test"
    ) -> "Plan":
        """Plan everything for a default method and the others of the second table."""
        versus: list[Versus] = []
        second, curve, base = {}, {}, {}
        for name, bed in beds.items():
            flawed = tuple(Pool(bed, "flawed", seed) for seed in POOL_SEEDS[name])
            clean = tuple(Pool(bed, "clean", seed) for seed in POOL_SEEDS[name][:2])
            for budget in BUDGETS:
                arms = [Arm(flawed, part, method, budget) for method in (default, RANDOM, ORACLE)]
                versus.append(Versus(f"{name}, {budget:.0%}", *arms, primary=True))
            for title, pools, budget in (("5%", flawed, 0.05), ("without any flaw, 15%", clean, 0.15)):
                guards = [Arm(pools, part, method, budget) for method in (default, RANDOM)]
                versus.append(Versus(f"{name}, {title}", *guards))
            second[name] = _second(bed, default, others, part)
            curve[name] = {budget: Arm(flawed, part, RANDOM, budget) for budget in CURVE}
            base[name] = Arm(flawed, part, UNTRAINED, 0.0)
        return cls(tuple(versus), second, curve, base)

    def trials(self, lines: Mapping[str, Any]) -> list[Trial]:
        """Every trial to have, each once, in the order to run them; grows while intervals are too wide."""
        return list({trial.key: trial for trial in self._trials(lines)}.values())

    def _trials(self, lines: Mapping[str, Any]) -> Iterator[Trial]:
        for each in (*self.base.values(),):
            yield from each.trials(1)
        for versus in sorted(self.versus, key=lambda versus: not versus.primary):
            yield from _in_turn(versus.seeds(lines), versus.default, versus.random)
        for versus in self.versus:
            yield from versus.oracle.trials(SEEDS) if versus.oracle else ()
        for arms in self.second.values():
            yield from _in_turn(SEEDS, *arms.values())
        for curve in self.curve.values():
            for arm in curve.values():
                yield from arm.trials(1)


def _in_turn(seeds: int, *arms: Arm) -> Iterator[Trial]:
    for seed in range(seeds):
        for arm in arms:
            yield from arm.trials(seed + 1, seed)


def _second(bed: Bed, default: str, others: Mapping[str, str], part: str) -> dict[str, Arm]:
    """Other methods, other flaws and equal steps, on one pool at 15%."""
    seed = POOL_SEEDS[bed.name][0]
    pool = (Pool(bed, "flawed", seed),)
    arms = {"random": Arm(pool, part, RANDOM, 0.15), "default": Arm(pool, part, default, 0.15)}
    arms |= {name: Arm(pool, part, method, 0.15) for name, method in others.items()}
    arms["random, twice the rows at half the epochs"] = Arm(
        pool, part, RANDOM, 0.3, bed.settings.tune_epochs // 2
    )
    for variant in bed.variants:
        if variant != "flawed":
            changed = (Pool(bed, variant, seed),)
            arms[f"random, {variant}"] = Arm(changed, part, RANDOM, 0.15)
            arms[f"default, {variant}"] = Arm(changed, part, default, 0.15)
    return arms


def validation_trials(
    beds: Mapping[str, Bed],
    methods: Mapping[str, str],
    budgets: list[float],
    seeds: int,
    variant: str = "flawed",
) -> list[Trial]:
    """Trials on the pools and held-out rows that no verdict uses, seed by seed."""
    return [
        Trial(Pool(bed, variant, 0), "validation", method, budget, seed, name=name)
        for seed in range(seeds)
        for bed in beds.values()
        for budget in budgets
        for name, method in methods.items()
    ]
