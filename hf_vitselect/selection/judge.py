"""Judgment of scored rows: the rows that filters leave, and the share of the budget that each kind has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters import Rows
from hf_vitselect.rules.base import NO_ROWS
from hf_vitselect.rules.quotas import quotas
from hf_vitselect.selection.filtering import Dropped, run_filters
from hf_vitselect.selection.groups import Groups, kind_shares, quota_weights
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.recipe import KindShare, Recipe
from hf_vitselect.selection.scorer_recipes import ScorerRecipe
from hf_vitselect.selection.seed_skill import seed_skill


@dataclass(frozen=True, eq=False)
class Judged:
    """The rows left of n, and the division of the budget among them.

    Attributes:
        left: bool `[n]`.
        dropped: What the filters dropped; its rows are among the n.
        groups: The kinds of the n rows, if the method has kinds.
        shares: One for each kind, without picks.
        need_skipped: Why the shares go without the method's need.
        unsure: int64, kinds of which more rows should be scored, see `Filter.unsure_kinds`.
        skill: That of the seed model, see `seed_skill`.
    """

    left: NDArray[np.bool_]
    dropped: Dropped
    groups: Groups | None
    shares: list[KindShare]
    need_skipped: str | None
    unsure: NDArray[np.int64]
    skill: float | None


def judge(
    rows: Rows,
    method: Method,
    groups: Groups | None,
    scorers: Sequence[ScorerRecipe],
    earlier: Recipe | None = None,
) -> Judged:
    """Run the filters and weigh the kinds.

    Args:
        rows: The n rows of the pool that could be picked.
        method: How to pick.
        groups: Their kinds.
        scorers: Those of the pool's columns.
        earlier: A recipe whose thresholds and weights are applied as they are.
    """
    dropped = run_filters(method.filters, rows, earlier.filters if earlier else None)
    left = np.ones(len(rows), dtype=np.bool_)
    left[dropped.rows] = False
    shares, need_skipped = list[KindShare](), None
    if groups is not None:
        shares, need_skipped = kind_shares(groups, rows.scores, left, rows.weights, method, earlier)
    unsure = [
        each.unsure_kinds(rows)
        for each, record in zip(method.filters, dropped.records, strict=True)
        if not record.skipped
    ]
    repeating = np.zeros(len(rows), dtype=np.bool_)
    repeating[dropped.rows[dropped.repeats >= 0]] = True
    skill = seed_skill(rows, repeating, method, groups, scorers)
    unsure_kinds = np.unique(np.concatenate([NO_ROWS, *unsure]))
    return Judged(left, dropped, groups, shares, need_skipped, unsure_kinds, skill)


def missing_rows(judged: Judged, budget: int) -> NDArray[np.int64]:
    """Return how many more rows must be left of each kind to fill its quota, int64 `[kinds]`, 0 or more.

    Shares must hold estimates of all rows that could be left; without kinds there is one.
    """
    if judged.groups is None:
        return np.array([max(0, budget - int(np.count_nonzero(judged.left)))])
    there = np.bincount(judged.groups.labels[judged.left], minlength=len(judged.shares))
    sizes = np.array([share.left for share in judged.shares])
    wanted = quotas(sizes, quota_weights(judged.shares), budget)
    more: NDArray[np.int64] = np.maximum(wanted - there, 0)
    return more
