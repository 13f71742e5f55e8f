"""The core of a selection: the rows of a scored pool that a rule picks, and their recipe."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_values
from hf_vitselect.data.refusals import Refusals, read_reasons, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import BudgetError, RowSetError
from hf_vitselect.rules.balance import Balanced
from hf_vitselect.rules.base import Rule
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.diversity import diversity
from hf_vitselect.selection.recipe import Balance, Recipe, RowSet, RuleCall
from hf_vitselect.selection.scorer_recipes import ScorerRecipe


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


def pick(
    dataset: Dataset,
    ids: list[str],
    rows: int,
    *,
    by: str,
    over: str,
    rule: Rule,
    seed: int,
    first: NamedRows,
    never: NamedRows,
    balance: Balance | None,
    scorers: tuple[ScorerRecipe, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float64], Recipe]:
    """Pick `rows` rows of a pool.

    Returns:
        The positions and gains of the picked rows, in pick order, and their recipe.
    """
    pool = Candidates.read(dataset, by, over if rule.uses_features else None)
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
    _refuse_budget(rows, statuses, int(np.count_nonzero(kept)), refusals)
    pool = pool.take(usable)
    picker = rule if balance is None else Balanced(rule=rule, column=balance.column, quota=balance.quota)
    columns = {name: read_values(dataset, name)[usable] for name in picker.uses_columns}
    picked = np.searchsorted(usable, first.positions[kept])
    rng = np.random.default_rng(seed)
    more, gains = picker(pool.scores, pool.features, rows - len(picked), rng, columns, picked)
    picked = np.concatenate([picked, more])
    left_out = _count(statuses[first.positions[~kept]])
    recipe = replace(
        Recipe.about(dataset, ids, usable[picked]),
        budget=rows,
        dropped=_count(statuses[statuses != "ok"]),
        dropped_reasons=dict(refusals.reasons),
        included=first.record and replace(first.record, left_out=left_out),
        excluded=never.record,
        by=by if rule.uses_scores else None,
        over=over if rule.uses_features else None,
        balance=balance,
        rule=RuleCall.of(rule),
        rule_notes=rule.notes(pool.scores, pool.features, rows, np.random.default_rng(seed)),
        seed=seed,
        scorers=scorers,
        diversity={} if pool.features is None else diversity(pool.features, picked, seed),
    )
    gains = np.concatenate([first.gains[kept], gains])
    return usable[picked], gains, recipe


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
