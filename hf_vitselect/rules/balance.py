"""Any rule inside the groups of a column, each group with its quota of the budget."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.clusters import integer_labels, rows_by_label
from hf_vitselect.rules.quotas import group_quotas, take_in_turn


@dataclass(frozen=True, kw_only=True)
class Balanced(Rule):
    """Picks of a rule inside each group of rows, as if the group were the pool.

    Groups are picked from in turn, in step with their quotas.

    Args:
        rule: Picks inside each group.
        column: The column whose values are the groups.
        quota: `"proportional"` to the rows of a group, or `"uniform"`, rounded as by `quotas`.
    """

    rule: Rule
    column: str
    quota: Literal["proportional", "uniform"] = "proportional"

    def __post_init__(self) -> None:
        if self.quota not in ("proportional", "uniform"):
            raise ValueError(f"quota: expected 'proportional' or 'uniform', got {self.quota!r}")

    @property
    def uses_scores(self) -> bool:
        """Whether the inner rule uses scores."""
        return self.rule.uses_scores

    @property
    def uses_features(self) -> bool:
        """Whether the inner rule uses features."""
        return self.rule.uses_features

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The column of groups and those of the inner rule."""
        return (self.column, *self.rule.uses_columns)

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick each group's quota by the inner rule."""
        labels = integer_labels(pool.columns[self.column])
        sizes = np.bincount(labels).astype(np.float64)
        weights = sizes if self.quota == "proportional" else np.ones(len(sizes))
        quotas = group_quotas(labels, weights, pool, budget)
        rank = np.full(len(pool), len(pool), dtype=np.int64)  # of a row among its group's picks
        gains = np.zeros(len(pool))
        for label, rows in enumerate(rows_by_label(labels)):
            earlier = pool.picked[labels[pool.picked] == label]
            if new := int(quotas[label]) - len(earlier):
                columns = {name: values[rows] for name, values in pool.columns.items()}
                earlier = np.searchsorted(rows, earlier)
                group = Pool(pool.scores[rows], pool.features[rows], columns, earlier)
                picks, group_gains = self.rule.pick(group, new, rng)
                rank[rows[picks]] = np.arange(new)
                gains[rows[picks]] = group_gains
        picks = take_in_turn(labels, quotas, rank, np.zeros(len(pool)), pool.picked)
        return picks, gains[picks]
