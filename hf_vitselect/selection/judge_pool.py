"""A scored pool judged by a method: the rows that can be picked, those that filters leave, and refusals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from datasets import Dataset

from hf_vitselect.data.columns import read_values
from hf_vitselect.data.refusals import Refusals, read_reasons, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.errors import NOT_SCORED, REPEATS, BudgetError, RowSetError, UsageError
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.rules.random_keys import random_keys
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.copies import recorded_repeats, with_recorded_recall
from hf_vitselect.selection.filter_rows import filter_rows
from hf_vitselect.selection.groups import Groups, group_rows, with_counts
from hf_vitselect.selection.judge import Judged, judge, missing_rows
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.named_rows import NOBODY, NamedRows
from hf_vitselect.selection.pick import JudgedPool
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.sample import Sample
from hf_vitselect.selection.scorer_recipes import scorer_recipes
from hf_vitselect.selection.seed_skill import warn_without_skill


def judge_pool(
    dataset: Dataset,
    ids: list[str],
    rows: int,
    *,
    method: Method,
    seed: int,
    first: NamedRows = NOBODY,
    never: NamedRows = NOBODY,
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
        earlier: A recipe whose kinds, thresholds and weights are applied as they are; for pools of which all
            rows were scored.
    """
    by, over = method.by, method.over
    recipes = scorer_recipes(dataset, [by, over, *method.filter_columns, *scorers])
    pool = Candidates.read(dataset, by, over if method.rule.uses_features else None)
    if method.needs_no_scores:
        pool = pool.with_untried()
    refusals = Refusals.of(zip(pool.statuses, read_reasons(dataset, [by, over], pool.statuses), strict=True))
    refuse_if_none_left(
        refusals, "cannot be picked", "score the pool again, or give other columns as by=, over="
    )
    warn_if_most_are_refused(refusals, "cannot be picked", "the picks are among the others")
    if both := np.intersect1d(first.positions, never.positions).tolist():
        raise RowSetError(f"expected rows either included or excluded, got {len(both)} rows that are both")
    pool = pool.exclude(never.positions)
    statuses, usable = pool.statuses, pool.usable
    kept = statuses[first.positions] == "ok"
    _refuse_budget(rows, pool, int(np.count_nonzero(kept)), refusals)
    part = dataset if len(usable) == len(dataset) else dataset.select(usable)
    picked = np.searchsorted(usable, first.positions[kept])
    scored_in_part = bool(pool.untried.any())
    if scored_in_part:
        _refuse_scored_in_part(method, first, REPEATS in statuses)
        of_pool = group_rows(dataset, method)
        groups = of_pool and of_pool.take(usable)
        unscored = np.setdiff1d(np.flatnonzero(statuses == NOT_SCORED), never.positions)
        repeats = recorded_repeats(dataset, ids, method.by)
        repeats[never.positions] = -1
        sample = Sample.drawn(of_pool, usable, unscored, repeats, random_keys(ids, seed))
    else:
        groups, sample = group_rows(part, method, earlier), Sample.whole(len(usable))
    seen = filter_rows(part, pool.scores[usable], method, groups, recipes, sample, rows, picked)
    judged = judge(seen, method, groups, recipes, earlier)
    if scored_in_part:
        if len(unscored):
            _refuse_missing_scores(judged, rows)
        judged = _of_whole_pool(judged, dataset, of_pool, pool, never)
    warn_without_skill(judged.skill)
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
        pool=pool.take(usable),
        columns={name: read_values(part, name) for name in method.rule.uses_columns},
        picked=picked,
        judged=judged,
        seed=seed if scored_in_part else None,
    )


def _of_whole_pool(
    judged: Judged, dataset: Dataset, groups: Groups | None, pool: Candidates, never: NamedRows
) -> Judged:
    """Let records and shares of a part that was scored speak of the whole pool, copies included."""
    dropped = replace(judged.dropped, records=with_recorded_recall(judged.dropped.records, dataset))
    if groups is None:
        return replace(judged, dropped=dropped)
    could_be_picked = np.setdiff1d(np.flatnonzero((pool.statuses == "ok") | pool.untried), never.positions)
    shares = with_counts(judged.shares, "rows", groups.labels[could_be_picked])
    return replace(judged, dropped=dropped, shares=shares)


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
