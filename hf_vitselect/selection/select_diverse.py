"""Picks the rows of a scored pool."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_values, refuse_missing, refuse_reserved
from hf_vitselect.data.refusals import Refusals, read_reasons, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import BudgetError, LayoutError, RowSetError
from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.rules.balance import Balanced
from hf_vitselect.rules.base import Rule
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import Candidates, refuse_missing_columns
from hf_vitselect.selection.diversity import diversity
from hf_vitselect.selection.named_rows import NamedRows
from hf_vitselect.selection.recipe import Balance, Recipe, RuleCall
from hf_vitselect.selection.scorer_recipes import scorer_recipes
from hf_vitselect.selection.selection import Selection


def select_diverse(
    dataset: Dataset,
    budget: int | float,
    *,
    by: str | Scorer = "necessity",
    over: str | Scorer = "embedding",
    rule: Rule = NeighborPenalty(),
    seed: int = 0,
    include: "Selection | Sequence[str]" = (),
    exclude: "Selection | Sequence[str]" = (),
    balance: str | None = None,
    balance_quota: Literal["proportional", "uniform"] = "proportional",
) -> Selection:
    """Pick a subset of a scored pool.

    Rows without a usable score (a status other than `ok`, a null, a NaN) are never picked, nor are rows
    without usable features if the rule uses features. The recipe counts them by status. A warning gives the
    first reasons if more than half of the rows cannot be picked.

    Features of a memory-mapped dataset stay on disk (see `read_features`): memory grows by what the rule
    states, about 100 MiB, and 1 KB a row.

    Args:
        dataset: The pool with its score columns.
        budget: A number of rows (int), or a share of the pool in (0, 1] (float): max(1, floor(share x rows)).
        by: The score: a numeric column or its scorer.
        over: The features: a column of fixed-length vectors or its scorer.
        rule: From `hf_vitselect.rules`; Self-Filter's `NeighborPenalty` (arXiv 2402.12501) by default.
        seed: Of the rule's random numbers.
        include: Rows that are in the subset from the start, as a selection or row ids; an earlier round's for
            instance. They are part of the budget, and the rule counts them as its own first picks. Those that
            could not be picked are left out.
        exclude: Rows that are never picked, likewise, such as those of `find_contamination`.
        balance: A column, such as a task, source or language. The rule then picks inside the groups of its
            values, each with a quota of the budget.
        balance_quota: `"proportional"` to the usable rows of a group, or `"uniform"`.

    Raises:
        AllRefusedError: If no row can be picked.
        BudgetError: If the budget is not a number of rows or a share, more than the rows that can be picked,
            or not more than the included ones.
        ColumnError: If a column that the rule uses is missing or has the wrong type, or the pool has a column
            that `Selection.scores` adds (`columns.RESERVED`).
        LayoutError: If `dataset` is not a `datasets.Dataset`.
        RowSetError: If a row to include or exclude is not in the pool, or is in both.
        TypeError: If the rule is not a `Rule`.

    Example:
        >>> selection = select_diverse(scored, 0.15, rule=NeighborPenalty(gamma=1.0))  # doctest: +SKIP
    """
    by, over, given = *(it.column if isinstance(it, Scorer) else it for it in (by, over)), [by, over]
    if balance_quota not in ("proportional", "uniform"):
        raise ValueError(f"balance_quota: expected 'proportional' or 'uniform', got {balance_quota!r}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    if not isinstance(dataset, Dataset):
        raise LayoutError(
            f"expected a datasets.Dataset (one split), got {type(dataset).__name__}; of a DatasetDict give "
            "one split, of a stream the dataset that score() returned"
        )
    refuse_reserved(dataset.features)
    if balance is not None:
        refuse_missing([balance], dataset.column_names, "balance: expected a column, got")
    refuse_missing_columns(dataset.column_names, rule, by, over)
    rows = budget_rows(budget, len(dataset))
    pool = Candidates.read(dataset, by, over if rule.uses_features else None)
    refusals = Refusals.of(zip(pool.statuses, read_reasons(dataset, [by, over], pool.statuses), strict=True))
    refuse_if_none_left(
        refusals, "cannot be picked", "score the pool again, or give other columns as by=, over="
    )
    warn_if_most_are_refused(refusals, "cannot be picked", "the picks are among the others")
    ids = row_ids(dataset)
    first, never = NamedRows.find(include, ids, "include"), NamedRows.find(exclude, ids, "exclude")
    if both := np.intersect1d(first.positions, never.positions).tolist():
        raise RowSetError(f"expected rows either included or excluded, got {len(both)} rows that are both")
    pool = pool.exclude(never.positions)
    statuses, usable = pool.statuses, pool.usable
    kept = statuses[first.positions] == "ok"
    _refuse_budget(rows, statuses, int(np.count_nonzero(kept)), refusals)
    pool = pool.take(usable)
    picker = rule if balance is None else Balanced(rule=rule, column=balance, quota=balance_quota)
    columns = {name: read_values(dataset, name)[usable] for name in picker.uses_columns}
    picked = np.searchsorted(usable, first.positions[kept])
    rng = np.random.default_rng(seed)
    more, gains = picker(pool.scores, pool.features, rows - len(picked), rng, columns, picked)
    picked = np.concatenate([picked, more])
    left_out = _count(statuses[first.positions[~kept]])
    recipe = replace(
        Recipe.about(dataset, ids, usable[picked]),
        budget=budget.item() if isinstance(budget, np.generic) else budget,
        dropped=_count(statuses[statuses != "ok"]),
        dropped_reasons=dict(refusals.reasons),
        included=first.record and replace(first.record, left_out=left_out),
        excluded=never.record,
        by=by if rule.uses_scores else None,
        over=over if rule.uses_features else None,
        balance=None if balance is None else Balance(column=balance, quota=balance_quota),
        rule=RuleCall.of(rule),
        rule_notes=rule.notes(pool.scores, pool.features, rows, np.random.default_rng(seed)),
        seed=seed,
        scorers=scorer_recipes(dataset, given),
        diversity={} if pool.features is None else diversity(pool.features, picked, seed),
    )
    gains = np.concatenate([first.gains[kept], gains])
    return Selection.of(dataset, ids, usable[picked], gains, recipe, never.positions)


def _count(statuses: NDArray[np.object_]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))


def _refuse_budget(rows: int, statuses: NDArray[np.object_], included: int, refusals: Refusals) -> None:
    usable, excluded = (int(np.count_nonzero(statuses == name)) for name in ("ok", "excluded"))
    if rows > usable:
        reasons = [str(refusals)] * (refusals.refused > 0) + [f"{excluded:,} excluded"] * (excluded > 0)
        because = f" ({', '.join(reasons)})" if reasons else ""
        raise BudgetError(
            f"asked for {rows} rows, but only {usable} of the pool's {len(statuses)} can be picked"
            f"{because}; ask for at most {usable}"
        )
    if rows <= included:
        raise BudgetError(f"asked for {rows} rows, but {included} are included; ask for more")
