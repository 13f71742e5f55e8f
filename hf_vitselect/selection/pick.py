"""The core of a selection: the rows of a scored pool that a method picks, and their recipe."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.call_text import write_call
from hf_vitselect.data.refusals import Refusals
from hf_vitselect.errors import NOT_SCORED, REPEATS
from hf_vitselect.rules.balance import pick_in_groups
from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.random_keys import random_keys
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.diversity import diversity
from hf_vitselect.selection.filtering import NOTHING_DROPPED, Dropped
from hf_vitselect.selection.groups import quota_weights, with_counts
from hf_vitselect.selection.judge import Judged
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.named_rows import NamedRows
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.scorer_recipes import ScorerRecipe

_UNTRIED = {
    NOT_SCORED: "a subset of this size does not need their scores",
    REPEATS: "nearly the same text and images as another row",
}


@dataclass(frozen=True, eq=False)
class Picked:
    """The outcome of a selection.

    Attributes:
        positions: int64 `[picked]`, rows of the pool in pick order.
        gains: float64 `[picked]`, each row's score when it was picked.
        recipe: How the rows were picked.
        dropped: What the filters dropped; its rows are those of the pool.
    """

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    recipe: Recipe
    dropped: Dropped = NOTHING_DROPPED

    def asked(self, **fields: Any) -> "Picked":
        """Record what was asked for: the budget as it was given, the column of ids."""
        return replace(self, recipe=replace(self.recipe, **fields))


@dataclass(frozen=True, eq=False)
class JudgedPool:
    """A pool from which a method can draw subsets of one size, with any seed.

    Attributes:
        dataset: The pool.
        ids: Its row ids.
        rows: The size of the subset.
        method: How to pick.
        first: Rows in the subset from the start.
        never: Rows that are left out.
        scorers: Those of the pool's columns.
        statuses: Texts `[n]`, why each row cannot be picked, or `ok`.
        refusals: The reasons in short.
        usable: int64 `[m]`, the rows that can be picked.
        pool: Their scores and features.
        columns: The other columns that the rule uses, `[m]` each.
        picked: int64, those of `first` among them.
        judged: What the filters left of them.
        seed: The only seed to draw with, if the pool was scored for one; else None.
    """

    dataset: Dataset
    ids: list[str]
    rows: int
    method: Method
    first: NamedRows
    never: NamedRows
    scorers: tuple[ScorerRecipe, ...]
    statuses: NDArray[np.object_]
    refusals: Refusals
    usable: NDArray[np.int64]
    pool: Candidates
    columns: Mapping[str, NDArray[Any]]
    picked: NDArray[np.int64]
    judged: Judged
    seed: int | None

    def pick(self, seed: int) -> Picked:
        """Draw the subset of one seed; a ValueError if it is not the pool's."""
        if self.seed not in (None, seed):
            raise ValueError(f"expected the seed {self.seed}, for which the pool was scored, got {seed}")
        rule, by, usable, judged = self.method.rule, self.method.by, self.usable, self.judged
        rest = np.flatnonzero(judged.left)
        remaining = self.pool.take(rest)  # not `Pool.take`, which would copy features from disk into memory
        arrays = rule.checked_pool(
            remaining.scores,
            remaining.features,
            {name: values[rest] for name, values in self.columns.items()},
            np.searchsorted(rest, self.picked),
            random_keys(self.ids, seed)[usable[rest]],
        )
        more, gains = _pick(rule, arrays, judged, self.rows - len(self.picked), seed)
        picked = np.concatenate([self.picked, rest[more]])
        kept = self.statuses[self.first.positions] == "ok"
        left_out = _count(self.statuses[self.first.positions[~kept]])
        groups, features = judged.groups, self.pool.features
        recipe = replace(
            Recipe.about(self.dataset, self.ids, usable[picked]),
            budget=self.rows,
            dropped=_count(self.statuses[self.statuses != "ok"]),
            dropped_reasons=dict(self.refusals.reasons)
            | {name: reason for name, reason in _UNTRIED.items() if name in self.statuses},
            included=self.first.record and replace(self.first.record, left_out=left_out),
            excluded=self.never.record,
            by=by if self.method.uses_scores or self.method.filters else None,
            over=self.method.over if rule.uses_features else None,
            method=write_call(self.method, whole=True),
            filters=judged.dropped.records,
            kinds=groups.kinds if groups else None,
            shares=()
            if groups is None
            else tuple(with_counts(judged.shares, "picked", groups.labels[picked])),
            need_skipped=judged.need_skipped,
            skill=judged.skill,
            rule_notes=rule.notes(self.pool.scores, features, self.rows, np.random.default_rng(seed)),
            seed=seed,
            scorers=self.scorers,
            diversity={} if features is None else diversity(features, picked, seed),
        )
        gains = np.concatenate([self.first.gains[kept], gains])
        return Picked(usable[picked], gains, recipe, judged.dropped.in_pool(usable))


def _pick(
    rule: Rule,
    pool: Pool,
    judged: Judged,
    budget: int,
    seed: int,
) -> Picks:
    rng = np.random.default_rng(seed)
    if judged.groups is None:
        return rule.pick(pool, budget, rng)
    labels, weights = judged.groups.labels[judged.left], quota_weights(judged.shares)
    return pick_in_groups(rule, pool, labels, weights, budget, rng)


def _count(statuses: NDArray[np.object_]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))
