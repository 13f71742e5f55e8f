"""The core of a selection: the rows of a scored pool that a method picks, and their recipe."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.call_text import write_call
from hf_vitselect.data.columns import read_values
from hf_vitselect.data.refusals import Refusals, read_reasons, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import NOT_SCORED, REPEATS, BudgetError, RowSetError, UsageError
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.rules.balance import pick_in_groups
from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.random_keys import random_keys
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.copies import recorded_copies, with_recorded_recall
from hf_vitselect.selection.diversity import diversity
from hf_vitselect.selection.filtering import NOTHING_DROPPED, Dropped
from hf_vitselect.selection.groups import group_rows, quota_weights
from hf_vitselect.selection.judge import Judged, judge, missing_rows, stands_for
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.recipe import KindShare, Recipe, RowSet
from hf_vitselect.selection.scorer_recipes import ScorerRecipe, scorer_recipes
from hf_vitselect.selection.seed_skill import warn_without_skill

_UNTRIED = {
    NOT_SCORED: "a subset of this size does not need their scores",
    REPEATS: "nearly the same text and images as another row",
}


@dataclass(frozen=True)
class NamedRows:
    """Rows to include or exclude: their positions in the pool, their gains, and their part of the recipe."""

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    record: RowSet | None

    @classmethod
    def find(
        cls,
        named: Sequence[str],
        ids: Sequence[str],
        argument: str,
        gains: NDArray[np.float64] | None = None,
        recipe: Recipe | None = None,
    ) -> "NamedRows":
        """Find rows by their ids in a pool with `ids`; gains and recipe are those of their selection."""
        positions, missing = find_rows(named, ids)
        if missing:
            raise RowSetError(
                f"expected rows of this pool in {argument}, got {len(missing)} of {len(named)} row ids that "
                f"are not in it, the first: {missing[0]!r}; give rows of the same pool, or leave these out"
            )
        if not named:
            return cls(positions, np.zeros(0), None)
        record = RowSet(rows=len(named), digest=pool_digest(named), recipe=recipe)
        return cls(positions, np.zeros(len(named)) if gains is None else gains, record)


_NOBODY = NamedRows(np.empty(0, dtype=np.int64), np.zeros(0), None)


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
            else tuple(_with_counts(judged.shares, "picked", groups.labels[picked])),
            need_skipped=judged.need_skipped,
            skill=judged.skill,
            rule_notes=rule.notes(self.pool.scores, features, self.rows, np.random.default_rng(seed)),
            seed=seed,
            scorers=self.scorers,
            diversity={} if features is None else diversity(features, picked, seed),
        )
        gains = np.concatenate([self.first.gains[kept], gains])
        return Picked(usable[picked], gains, recipe, judged.dropped.in_pool(usable))


def judge_pool(
    dataset: Dataset,
    ids: list[str],
    rows: int,
    *,
    method: Method,
    seed: int,
    first: NamedRows = _NOBODY,
    never: NamedRows = _NOBODY,
    scorers: Sequence[Scorer] = (),
    earlier: Recipe | None = None,
) -> JudgedPool:
    """Find the rows of a pool that can be picked, and have the filters judge them.

    Args:
        dataset: The pool.
        ids: Its row ids.
        rows: The size of the subset.
        method: How to pick.
        seed: For which the pool was scored, if only a part of it was.
        first: Rows in the subset from the start.
        never: Rows that are left out.
        scorers: Those that the caller named, besides those that the pool records.
        earlier: A recipe whose kinds, thresholds and weights are applied as they are.
    """
    by, over = method.by, method.over
    recipes = scorer_recipes(dataset, [by, over, *method.filter_columns, *scorers])
    pool = Candidates.read(dataset, by, over if method.rule.uses_features else None)
    refusals = Refusals.of(zip(pool.statuses, read_reasons(dataset, [by, over], pool.statuses), strict=True))
    refuse_if_none_left(
        refusals, "cannot be picked", "score the pool again, or give other columns as by=, over="
    )
    warn_if_most_are_refused(refusals, "cannot be picked", "the picks are among the others")
    if both := np.intersect1d(first.positions, never.positions).tolist():
        raise RowSetError(f"expected rows either included or excluded, got {len(both)} rows that are both")
    pool = pool.exclude(never.positions)
    unscored = np.setdiff1d(np.flatnonzero(pool.statuses == NOT_SCORED), never.positions)
    statuses, usable, untried = pool.statuses, pool.usable, pool.untried
    kept = statuses[first.positions] == "ok"
    _refuse_budget(rows, pool, int(np.count_nonzero(kept)), refusals)
    pool = pool.take(usable)
    part = dataset if len(usable) == len(dataset) else dataset.select(usable)
    picked = np.searchsorted(usable, first.positions[kept])
    if untried.any():
        _refuse_scored_in_part(method, first, REPEATS in statuses)
        of_all = group_rows(dataset, method)
        groups = of_all and of_all.take(usable)
        weights = stands_for(of_all, usable, unscored, random_keys(ids, seed))
        copies = recorded_copies(dataset, ids, method.by, never.positions, of_all)[usable]
    else:
        of_all, groups = None, group_rows(part, method, earlier)
        weights, copies = np.ones(len(usable)), np.zeros(len(usable))
    judged = judge(part, pool.scores, method, groups, weights, copies, recipes, rows, picked, earlier)
    if len(unscored):
        _refuse_missing_scores(judged, rows)
    warn_without_skill(judged.skill)
    if untried.any():
        records = with_recorded_recall(judged.dropped.records, dataset)
        judged = replace(judged, dropped=replace(judged.dropped, records=records))
    if of_all is not None:  # the shares count the rows that are stood for; copies are not
        could_be_picked = np.setdiff1d(np.flatnonzero((statuses == "ok") | untried), never.positions)
        judged = replace(judged, shares=_with_counts(judged.shares, "rows", of_all.labels[could_be_picked]))
    return JudgedPool(
        dataset=dataset,
        ids=ids,
        rows=rows,
        method=method,
        first=first,
        never=never,
        scorers=recipes,
        statuses=statuses,
        refusals=refusals,
        usable=usable,
        pool=pool,
        columns={name: read_values(part, name) for name in method.rule.uses_columns},
        picked=picked,
        judged=judged,
        seed=seed if untried.any() else None,
    )


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


def _with_counts(shares: Sequence[KindShare], name: str, labels: NDArray[np.int64]) -> list[KindShare]:
    """Set this field of each kind's share to the number of labels of the kind."""
    counts = np.bincount(labels, minlength=len(shares)).tolist()
    return [replace(share, **{name: count}) for share, count in zip(shares, counts, strict=True)]


def find_rows(named: Sequence[str], ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Find the int64 positions of ids in a pool, in the order of `named`, and the missing ids."""
    indices = {row_id: i for i, row_id in enumerate(ids)} if named else {}
    known = [indices[row_id] for row_id in named if row_id in indices]
    return np.array(known, dtype=np.int64), [row_id for row_id in named if row_id not in indices]


def _count(statuses: NDArray[np.object_]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))


def _refuse_scored_in_part(method: Method, first: NamedRows, without_copies: bool) -> None:
    """Refuse rows without a score where they are needed."""
    if without_copies and not any(isinstance(each, NearDuplicates) for each in method.filters):
        raise UsageError(
            "expected a method with the filter NearDuplicates, got one without it, and a pool whose copies "
            "have no scores; score the pool"
        )
    if not method.picks_at_random:
        raise UsageError(
            f"expected scores of all rows for {type(method.rule).__name__}, got a pool of which a part was "
            "scored; score the pool"
        )
    if len(first.positions):
        raise UsageError(
            "expected scores of all rows where rows are included, got a pool of which a part was scored; "
            "score the pool"
        )


def _refuse_missing_scores(judged: Judged, budget: int) -> None:
    """Refuse kinds that cannot fill their quota because too few of their rows were scored."""
    more = missing_rows(judged, budget)
    if more.any():
        name = judged.groups.names[more.argmax()] if judged.groups else "all rows"
        raise UsageError(
            f"expected scores of enough rows for a budget of {budget:,}, got {more.max():,} too few of "
            f"{name!r}; call score_candidates with this budget and method, or score the pool"
        )


def _refuse_budget(rows: int, pool: Candidates, included: int, refusals: Refusals) -> None:
    usable = len(pool.usable)
    if rows > usable:
        others = {
            "excluded": np.count_nonzero(pool.statuses == "excluded"),
            "not scored: score_candidates scores more": np.count_nonzero(pool.untried),
        }
        reasons = [str(refusals)] * (refusals.refused > 0)
        reasons += [f"{count:,} {name}" for name, count in others.items() if count]
        because = f" ({', '.join(reasons)})" if reasons else ""
        raise BudgetError(
            f"asked for {rows} rows, but only {usable} of the pool's {len(pool.statuses)} can be picked"
            f"{because}; ask for at most {usable}"
        )
    if rows <= included:
        raise BudgetError(f"asked for {rows} rows, but {included} are included; ask for more")
