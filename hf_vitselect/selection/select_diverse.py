"""The selection of rows from a scored pool."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_values, refuse_missing, refuse_reserved
from hf_vitselect.data.refusals import Refusals, read_reasons, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.errors import BudgetError, LayoutError, RowSetError
from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.rules.balance import Balanced
from hf_vitselect.rules.base import Rule
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import Candidates, refuse_missing_columns
from hf_vitselect.selection.diversity import diversity
from hf_vitselect.selection.recipe import Balance, Recipe, RowSet, RuleCall
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
        BudgetError: If the budget is invalid, or not between the included and the usable rows.
        ColumnError: If a column that the rule uses is missing or has the wrong type, or the pool has a column
            that `Selection.scores` adds (`columns.RESERVED`).
        LayoutError: If `dataset` is not a `datasets.Dataset`.
        RowSetError: If a row to include or exclude is not in the pool, or is in both.

    Example:
        >>> selection = select_diverse(scored, 0.15, rule=NeighborPenalty(gamma=1.0))  # doctest: +SKIP
    """
    given = [by, over]
    by, over = (column.column if isinstance(column, Scorer) else column for column in given)
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
    first, never = _NamedRows.find(include, ids, "include"), _NamedRows.find(exclude, ids, "exclude")
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


@dataclass(frozen=True)
class _NamedRows:
    """Rows to include or exclude: their positions in the pool, their gains, and their part of the recipe."""

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    record: RowSet | None

    @classmethod
    def find(cls, rows: Selection | Sequence[str], ids: Sequence[str], argument: str) -> "_NamedRows":
        """Find a selection's rows, or rows with these ids, in a pool with `ids`."""
        named = rows.row_ids if isinstance(rows, Selection) else list(dict.fromkeys(rows))
        positions, missing = find_rows(named, ids)
        if missing:
            raise RowSetError(
                f"expected rows of this pool in {argument}, got {len(missing)} of {len(named)} row ids that "
                f"are not in it, the first: {missing[0]!r}; give rows of the same pool, or leave these out"
            )
        record = RowSet(rows=len(named), digest=pool_digest(named)) if named else None
        if record is None or not isinstance(rows, Selection):
            return cls(positions, np.zeros(len(named)), record)
        return cls(positions, rows.gains, replace(record, recipe=rows.recipe))


def find_rows(named: Sequence[str], ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Find the int64 positions of ids in a pool, in the order of `named`, and the missing ids."""
    indices = {row_id: i for i, row_id in enumerate(ids)} if named else {}
    known = [indices[row_id] for row_id in named if row_id in indices]
    return np.array(known, dtype=np.int64), [row_id for row_id in named if row_id not in indices]


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
