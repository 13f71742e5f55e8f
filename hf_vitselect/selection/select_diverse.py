"""The selection of rows from a scored pool."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from datasets import Dataset

from hf_vitselect.data.columns import refuse_missing, refuse_reserved
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import LayoutError
from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.rules.base import Rule
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.pick import NamedRows, pick
from hf_vitselect.selection.recipe import Balance
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
    ids, rows = row_ids(dataset), budget_rows(budget, len(dataset))
    first, never = _find(include, ids, "include"), _find(exclude, ids, "exclude")
    positions, gains, recipe = pick(
        dataset,
        ids,
        rows,
        by=by,
        over=over,
        rule=rule,
        seed=seed,
        first=first,
        never=never,
        balance=None if balance is None else Balance(column=balance, quota=balance_quota),
        scorers=scorer_recipes(dataset, given),
    )
    recipe = replace(recipe, budget=budget.item() if isinstance(budget, np.generic) else budget)
    return Selection.of(dataset, ids, positions, gains, recipe, never.positions)


def _find(rows: Selection | Sequence[str], ids: Sequence[str], argument: str) -> NamedRows:
    if isinstance(rows, Selection):
        return NamedRows.find(rows.row_ids, ids, argument, rows.gains, rows.recipe)
    return NamedRows.find(list(dict.fromkeys(rows)), ids, argument)
