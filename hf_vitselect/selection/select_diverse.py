"""Picks the rows of a scored pool."""

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
from hf_vitselect.selection.candidates import Candidates, count_statuses, refuse_missing_columns
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
    """Picks a subset of a scored pool.

    Rows without a usable score (a status other than `ok`, a null, a NaN) or, where the rule looks at
    them, without usable features are never picked; the recipe counts them by status.

    Features of a memory-mapped data set stay on disk (see `columns.read_features`): memory grows by what the
    rule states, about 100 MiB, and 1 KB a row.

    Args:
        dataset: the pool with its score columns.
        budget: an int is a number of rows; a float in (0, 1] a share, max(1, floor(share x rows)).
        by: the score, a numeric column or its scorer.
        over: the features, a fixed-length vector column or its scorer.
        rule: from `hf_vitselect.rules`; Self-Filter's `NeighborPenalty` (arXiv 2402.12501) by default.
        seed: of the rule's random numbers.
        include: rows that stand in the subset before the first pick, by row id, as an earlier round's or
            those of the seed model. They are part of the budget, and the rule takes them for its own first
            picks. Rows among them that could not be picked are left out.
        exclude: rows that are never picked, by row id, such as `find_contamination` finds. The recipe counts
            what both name.
        balance: a column, such as the rows' task, source or language; the rule then picks inside the groups
            of its values, each with its share of the budget.
        balance_quota: the groups' shares: `"proportional"` to their usable rows, or `"uniform"`.

    Where more than half of the rows cannot be picked a warning says so, with the first reasons.

    Raises:
        AllRefusedError: if not one row can be picked.
        BudgetError: if the budget is no such number, more than the rows that can be picked, or no more than
            the included ones.
        LayoutError: if it is no `datasets.Dataset`.
        ColumnError: if a column that the rule uses is missing or has the wrong type, or the pool has columns
            of the names that `scores` adds (`columns.RESERVED`).
        RowSetError: if a row to include or exclude is not in the pool, or is in both.
        TypeError: if the rule is none.

    Example:
        >>> selection = select_diverse(scored, 0.15, rule=NeighborPenalty(gamma=1.0))  # doctest: +SKIP
    """
    by, over, given = *(it.column if isinstance(it, Scorer) else it for it in (by, over)), [by, over]
    _refuse_arguments(dataset, rule, by, over, seed, balance, balance_quota)
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
    pool = pool.without(never.positions)
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
    left_out = count_statuses(statuses[first.positions[~kept]])
    recipe = replace(
        Recipe.about(dataset, ids, usable[picked]),
        budget=budget.item() if isinstance(budget, np.generic) else budget,
        dropped=count_statuses(statuses[statuses != "ok"]),
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


def _refuse_arguments(
    dataset: Dataset,
    rule: Rule,
    by: str,
    over: str,
    seed: int,
    balance: str | None,
    balance_quota: str,
) -> None:
    if balance_quota not in ("proportional", "uniform"):
        raise ValueError(f"balance_quota: expected 'proportional' or 'uniform', got {balance_quota!r}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    if not isinstance(dataset, Dataset):
        raise LayoutError(
            f"expected a datasets.Dataset (one split), got {type(dataset).__name__}; of a DatasetDict give "
            "one split, of a stream the data set that score() returned"
        )
    refuse_reserved(dataset.features)
    if balance is not None:
        refuse_missing([balance], dataset.column_names, "balance: expected a column, got")
    refuse_missing_columns(dataset.column_names, rule, by, over)


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
