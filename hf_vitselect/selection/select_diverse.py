"""The selection of rows from a scored pool."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from datasets import Dataset

from hf_vitselect.data.columns import refuse_no_ids, refuse_reserved
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import LayoutError
from hf_vitselect.rules.base import Rule
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.judge_pool import judge_pool
from hf_vitselect.selection.method import Method, method_of
from hf_vitselect.selection.selection import Selection, find_named


def select_diverse(
    dataset: Dataset,
    budget: int | float,
    *,
    method: Method | None = None,
    rule: Rule | None = None,
    by: str | Scorer | None = None,
    over: str | Scorer | None = None,
    seed: int = 0,
    include: "Selection | Sequence[str]" = (),
    exclude: "Selection | Sequence[str]" = (),
    balance: str | None = None,
    balance_quota: Literal["proportional", "uniform"] = "proportional",
    id_column: str | None = None,
) -> Selection:
    """Pick a subset of a scored pool.

    Rows without a usable score (a status other than `ok`, a null, a NaN) are never picked, nor are rows
    without usable features if the rule uses features. The recipe counts them by status. A warning gives the
    first reasons if more than half of the rows cannot be picked. `Selection.scores` says of every row that a
    filter left out which one did, and why.

    Features of a memory-mapped dataset stay on disk (see `read_features`): memory grows by what the rule
    states, about 100 MiB, and 1 KB a row.

    Args:
        dataset: The pool with its score columns.
        budget: A number of rows (int), or a share of the pool in (0, 1] (float): max(1, floor(share x rows)).
        method: How to pick; `CleanBalanced()` by default, of which only the column `necessity` is required.
        rule: Short for `method=Method(rule=rule)`: a rule of `hf_vitselect.rules`, no filters, no kinds.
        by: The score, in place of the method's: a numeric column or its scorer.
        over: The features, in place of the method's: a column of fixed-length vectors or its scorer.
        seed: Of all random choices. Random rows are drawn by a hash of seed and row id, so a smaller budget
            gives a part of a larger one's rows where the filters leave the same, the pool's order does not
            matter, and a changed row changes no other row's draw.
        include: Rows that are in the subset from the start, as a selection or row ids; an earlier round's for
            instance. They are part of the budget, and the rule counts them as its own first picks. Those that
            could not be picked are left out.
        exclude: Rows that are never picked, likewise, such as those of `find_contamination`.
        balance: Short for the method's `kinds`: a column, such as a task, source or language, whose values
            each have a quota of the budget.
        balance_quota: Short for the method's `quota`.
        id_column: The source's own ids, a column of texts or whole numbers. They are kept in the scores, and
            exported.

    Raises:
        AllRefusedError: If no row can be picked.
        BudgetError: If the budget is invalid, or not between the included and the usable rows.
        ColumnError: If a column that the method requires is missing or has the wrong type, or the pool has a
            column that `Selection.scores` adds (`columns.RESERVED`).
        LayoutError: If `dataset` is not a `datasets.Dataset`.
        RowSetError: If a row to include or exclude is not in the pool, or is in both.
        TypeError: If both a method and a rule are given.

    Examples:
        >>> selection = select_diverse(scored, 0.15)  # doctest: +SKIP
        >>> selection = select_diverse(scored, 0.15, rule=NeighborPenalty(gamma=1.0))  # doctest: +SKIP
    """
    names = {"by": by, "over": over}
    method = method_of(
        method,
        rule,
        {name: column.column if isinstance(column, Scorer) else column for name, column in names.items()},
        balance,
        balance_quota,
    )
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    if not isinstance(dataset, Dataset):
        raise LayoutError(
            f"expected a datasets.Dataset (one split), got {type(dataset).__name__}; of a DatasetDict give "
            "one split, of a stream the dataset that score() returned"
        )
    refuse_reserved(dataset.features)
    refuse_missing_columns(dataset.column_names, method)
    refuse_no_ids(dataset, id_column)
    ids = row_ids(dataset)
    never = find_named(exclude, ids, "exclude")
    judged = judge_pool(
        dataset,
        ids,
        budget_rows(budget, len(dataset)),
        method=method,
        seed=seed,
        first=find_named(include, ids, "include"),
        never=never,
        scorers=[given for given in (by, over) if isinstance(given, Scorer)],
    )
    given = budget.item() if isinstance(budget, np.generic) else budget
    picked = judged.pick(seed).asked(budget=given, id_column=id_column)
    return Selection.of(dataset, ids, picked, never.positions)
