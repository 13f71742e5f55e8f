"""Equal shares for capabilities and, inside them, for styles (mmSSR, arXiv 2503.13383)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, required
from hf_vitselect.rules.clusters import members, numbered

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

STYLES = (
    "multi-choice",
    "coordinate",
    "yes/no",
    "word or short phrase",
    "short description",
    "detailed description",
    "comparison",
    "chain of thought",
    "specified style",
)


@dataclass(frozen=True, kw_only=True)
class MMSSR(Rule):
    """The sampling of mmSSR, "Cream of the Crop" (arXiv 2503.13383, its released code).

    Goes through the capabilities in turn. Each has an equal part of the budget that is left; the rows whose
    score of it is above the threshold are grouped by their style, every style has an equal part, the style
    with the fewest rows first, and hands on what it cannot give; inside a style the highest scores are taken.
    A capability without rows drops out, and the turns repeat until the budget is met. Where no capability has
    rows any more, the rest is drawn at random, so that a budget is always met; the released code stops there.

    `CapabilityScorer` attaches the columns. Gains are the scores of the capability that a row was picked for,
    0 for random ones.

    Attributes:
        capabilities: Columns of scores, 0 to 5; a row without one (null, NaN) counts as 0.
        style: The column of interaction styles.
        threshold: Scores must be above it.

    Raises:
        ValueError: If there is no capability.

    Example:
        >>> columns = {"ocr": np.array([5.0, 1.0, 0.0]), "style": np.array(["word", "word", "yes/no"])}
        >>> rule = MMSSR(capabilities=("ocr",), style="style")
        >>> rule(None, None, 2, np.random.default_rng(0), columns)[0].tolist()
        [0, 1]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False

    capabilities: tuple[str, ...] = tuple(f"capability_{name}" for name in CAPABILITIES)
    style: str = "capability_style"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", tuple(self.capabilities))  # JSON gives a list
        if not self.capabilities:
            raise ValueError("capabilities: expected names of columns, got none")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The capabilities and the style."""
        return (*self.capabilities, self.style)

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows, in turn for every capability. See `Rule.__call__`."""
        given = {name: required(columns.get(name), f"a column {name!r}", self) for name in self.uses_columns}
        style = numbered(given[self.style])
        table = {name: np.nan_to_num(given[name].astype(np.float64)) for name in self.capabilities}
        left = np.ones(len(style), dtype=np.bool_)
        left[picked] = False
        picks: list[int] = []
        gains: list[float] = []
        alive = list(self.capabilities)
        while alive and len(picks) < budget:
            part = max(1, (budget - len(picks)) // len(alive))
            for name in list(alive):
                rows = np.flatnonzero(left & (table[name] > self.threshold))
                if not len(rows):
                    alive.remove(name)
                    continue
                taken = _by_style(rows, table[name], style, min(part, budget - len(picks)))
                left[taken] = False
                picks += taken.tolist()
                gains += table[name][taken].tolist()
        drawn = first_others(rng.permutation(np.flatnonzero(left)), NO_ROWS, budget - len(picks))
        return np.array([*picks, *drawn.tolist()], dtype=np.int64), np.array([*gains, *np.zeros(len(drawn))])


def _by_style(
    rows: NDArray[np.int64], score: NDArray[np.float64], style: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The best rows of every style, equal parts, the smallest style first, which hands on what it lacks."""
    groups = sorted((rows[inside] for inside in members(numbered(style[rows]))), key=len)
    taken: list[NDArray[np.int64]] = []
    for place, group in enumerate(groups):
        part = (count - sum(map(len, taken))) // (len(groups) - place)
        best = group[np.lexsort((group, -score[group]))]
        taken.append(best[: max(part, 0)])
    found = np.concatenate(taken)
    return found[np.lexsort((found, -score[found]))]
