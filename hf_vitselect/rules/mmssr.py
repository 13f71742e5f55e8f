"""Equal shares for capabilities and, inside them, for styles (mmSSR, arXiv 2503.13383)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.clusters import integer_labels, rows_by_label

CAPABILITIES = (
    "object_spatial",
    "attribute",
    "logical_deduction",
    "scene",
    "fine_grained_recognition",
    "language_generation",
    "in_context_learning",
    "comparative",
    "activity",
    "causal",
    "humanities",
    "stem",
    "data_understanding",
    "ocr",
)


@dataclass(frozen=True, kw_only=True)
class MMSSR(Rule):
    """The best rows of each capability, with equal parts for each interaction style (arXiv 2503.13383).

    The sampling of mmSSR, "Cream of the Crop", as in its released code. Capabilities are visited in turn, and
    each may take an equal part of the remaining budget. Its rows with a score above `threshold` are grouped
    by style; styles have equal parts, the smallest first, and leave what they cannot fill to the next. Inside
    a style the highest scores are taken. Turns repeat until the budget is met; a capability without rows
    drops out. If none has rows left, the rest is drawn at random.

    `CapabilityScorer` adds the columns. Gains are the scores in the capability that a row was picked for, 0
    for random rows. Unofficial re-implementation; differences in docs/papers.md.

    Args:
        capabilities: Columns of scores, 0 to 5; a missing score (null, NaN) counts as 0.
        style: Column of interaction styles.
        threshold: Scores must be above it.

    Examples:
        >>> columns = {"ocr": np.array([5.0, 1.0, 0.0]), "style": np.array(["word", "word", "yes/no"])}
        >>> rule = MMSSR(capabilities=("ocr",), style="style")
        >>> rule(None, None, 2, np.random.default_rng(0), columns)[0].tolist()
        [0, 1]
    """

    capabilities: tuple[str, ...] = tuple(f"capability_{name}" for name in CAPABILITIES)
    style: str = "capability_style"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", tuple(self.capabilities))  # JSON gives a list
        if not self.capabilities:
            raise ValueError("capabilities: expected names of columns, got none")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The columns of capabilities and styles."""
        return (*self.capabilities, self.style)

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick for each capability in turn."""
        styles = integer_labels(pool.columns[self.style])
        scores = {name: np.nan_to_num(pool.numbers(name)) for name in self.capabilities}
        left = np.ones(len(pool), dtype=np.bool_)
        left[pool.picked] = False
        picks: list[int] = []
        gains: list[float] = []
        active = list(self.capabilities)
        while active and len(picks) < budget:
            part = max(1, (budget - len(picks)) // len(active))
            for name in list(active):
                rows = np.flatnonzero(left & (scores[name] > self.threshold))
                if not len(rows):
                    active.remove(name)
                    continue
                taken = _best_of_styles(rows, scores[name], styles, min(part, budget - len(picks)))
                left[taken] = False
                picks += taken.tolist()
                gains += scores[name][taken].tolist()
        drawn = rng.permutation(np.flatnonzero(left))[: budget - len(picks)]
        return np.array([*picks, *drawn.tolist()], dtype=np.int64), np.array([*gains, *np.zeros(len(drawn))])


def _best_of_styles(
    rows: NDArray[np.int64], scores: NDArray[np.float64], styles: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Take the `count` best of some rows, in equal parts for their styles, highest score first."""
    # From the smallest style on, so that what it cannot fill is left to the larger ones.
    groups = sorted((rows[group] for group in rows_by_label(integer_labels(styles[rows]))), key=len)
    taken: list[NDArray[np.int64]] = []
    for turn, group in enumerate(groups):
        part = (count - sum(map(len, taken))) // (len(groups) - turn)
        taken.append(group[np.lexsort((group, -scores[group]))][: max(part, 0)])
    best = np.concatenate(taken)
    return best[np.lexsort((best, -scores[best]))]
