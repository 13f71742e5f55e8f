"""Picks the rows of a scored pool and remembers why."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, concatenate_datasets, load_from_disk
from numpy.typing import NDArray

from hf_vitselect.call_text import Call
from hf_vitselect.data.columns import (
    keep_rows,
    read_features,
    read_scores,
    read_values,
    refuse_missing,
    refuse_reserved,
)
from hf_vitselect.data.provenance import read_record, recorded_source, versions, with_record
from hf_vitselect.data.refusals import Refusals, read_reasons, refuse_if_none_left, warn_if_most_are_refused
from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.errors import BudgetError, ColumnError, LayoutError, RowSetError
from hf_vitselect.resume import write_atomically
from hf_vitselect.rules import RULES, NeighborPenalty
from hf_vitselect.rules.balance import Balanced
from hf_vitselect.rules.base import NO_ROWS, Rule
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.composition import make_up
from hf_vitselect.selection.diversity import diversity
from hf_vitselect.selection.recipe import check_selection
from hf_vitselect.selection.score_table import score_table
from hf_vitselect.selection.scorer_recipes import refuse_other_scorers, scorer_recipes


@dataclass(frozen=True)
class Selection:
    """A subset of a pool, with what is needed to explain it and to rebuild it.

    Attributes:
        dataset: the picked rows, in pick order, with every column of the pool.
        indices: int64 of shape (picked,), positions in the pool, in pick order.
        gains: float64 of shape (picked,), the score at the moment of the pick; of rows that were included,
            what their own selection said, or 0.
        scores: one row for each row of the pool: row_id, its numbers, statuses and reasons, selected, rank
            (0 = picked first, null = not picked), and answer_characters where the pool has no
            response_tokens. No images, texts or embeddings.
        recipe: plain JSON: pool, rows in and out, rows dropped by status with a reason for each, rows
            included and excluded with the recipe that chose them, scorers with their exact models, rule, what
            the rule notes about its picks, seed, versions, diversity figures, make-up.
    """

    dataset: Dataset
    indices: NDArray[np.int64]
    gains: NDArray[np.float64]
    scores: Dataset
    recipe: dict[str, Any]

    @classmethod
    def of(
        cls,
        pool: Dataset,
        ids: list[str],
        indices: NDArray[np.int64],
        gains: NDArray[np.float64],
        reasons: Mapping[str, Any],
        excluded: NDArray[np.int64] = NO_ROWS,
    ) -> "Selection":
        """The selection of these rows.

        Args:
            pool: what they were picked from.
            ids: the pool's row ids.
            indices: int64 of shape (picked,), in pick order.
            gains: float64 of shape (picked,).
            reasons: plain JSON for the recipe: the rule, its seed, what was dropped.
            excluded: int64, rows that could not be picked; `scores` then says so.

        Raises:
            ColumnError: if the pool has columns of names that `scores` adds.
        """
        refuse_reserved(pool.features)
        source = recorded_source(pool)
        recipe = {
            "format": 1,
            "source": source,
            "fingerprint": pool_digest(ids),
            "rows": len(pool),
            "selected": len(indices),
            "included": None,
            "excluded": None,
            "by": None,
            "over": None,
            "scorers": [],
            "diversity": {},
            "make_up": make_up(pool, indices),
            **reasons,
            "versions": versions("hf_vitselect", "datasets", "numpy", "torch", "transformers"),
        }
        picked = pool.select(indices)
        # So that saved rows still say that they are from the Hub.
        picked.info.description = with_record(pool.info.description, {**read_record(pool), "source": source})
        return cls(picked, indices, gains, score_table(pool, ids, indices, excluded), recipe)

    def __len__(self) -> int:
        """The number of picked rows."""
        return len(self.indices)

    @property
    def row_ids(self) -> list[str]:
        """The ids of the picked rows, in pick order."""
        ids: list[str] = self.scores["row_id"][self.indices]
        return ids

    def extend(self, new_rows: Dataset, budget: int | float, *, rule: Rule | None = None) -> "Selection":
        """Picks more from rows that have come since, given what was picked before; nothing is scored again.

        The new pool is this selection's rows, which stay, and after them the new ones: indices and recipe
        are about that. Picks are those of `select_diverse` over the whole grown pool with the earlier picks
        included and the other earlier rows excluded, up to the order of ties and random draws. They are not
        those of a fresh selection over the grown pool: earlier rows that were passed over are not looked at
        again, and whatever is taken from the pool as a whole (quantiles and clusters of `GroupedSampling`,
        the range of `rescale="minmax"`, the proportional shares of `balance`) is taken from these rows.

        Earlier picks that this rule cannot use, as another one may have picked rows without features, are
        left out and not replaced. `balance` is that of this selection, its shares those of all picks, the
        earlier ones among them.

        Args:
            new_rows: rows with the same columns. Those that the rule uses must be of the same scorers: the
                same weights, wherever they lie, settings and code version. Where one side does not know what
                made a column (`score` remembers, a plain `map` does not), it is taken as it is.
            budget: how many of them to pick, as rows or as a share of them; see `select_diverse`.
            rule: the same rule if None.

        Raises:
            BudgetError: if the budget cannot be met.
            ColumnError: if the new rows have not the selection's columns, or another scorer made them.
            ValueError: if the recipe's rule is none of `hf_vitselect.rules` and no other is given.
        """
        if new_rows.features != self.dataset.features:
            ours, theirs = self.dataset.features, new_rows.features
            other = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
            raise ColumnError(
                f"expected new rows with the selection's columns and types, got others in {other}; "
                "score them with the same scorers"
            )
        by, over = self.recipe["by"] or "necessity", self.recipe["over"] or "embedding"
        balance = self.recipe.get("balance") or {"column": None, "quota": "proportional"}
        rule = _recorded_rule(self.recipe) if rule is None else rule
        *_, statuses = _read_inputs(self.dataset, rule, by, over)
        used = [by] * rule.uses_scores + [over] * rule.uses_features + [balance["column"], *rule.uses_columns]
        refuse_other_scorers(used, self.recipe["scorers"], scorer_recipes(new_rows, []))
        pool = concatenate_datasets([self.dataset, new_rows])
        earlier = Dataset.from_dict({"row_id": row_ids(pool)[: len(self)]})
        kept = replace(self, indices=np.arange(len(self)), scores=earlier)
        return select_diverse(
            pool,
            int(np.count_nonzero(statuses == "ok")) + budget_rows(budget, len(new_rows)),
            by=by,
            over=over,
            rule=rule,
            seed=self.recipe["seed"],
            include=kept,
            balance=balance["column"],
            balance_quota=balance["quota"],
        )

    def save_to_disk(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a folder, whole or not at all; an older selection there is replaced.

        Raises:
            FileExistsError: if something else is there.
        """
        target = Path(path)
        refuse_other_contents(target)
        temporary = target.with_name(f".{target.name}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self.dataset.save_to_disk(temporary / "dataset")
        self.scores.save_to_disk(temporary / "scores")
        np.savez(temporary / "picks.npz", indices=self.indices, gains=self.gains)
        (temporary / "recipe.json").write_text(json.dumps(self.recipe, indent=2))
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)

    def save_recipe(self, path: str | os.PathLike[str]) -> None:
        """Writes the recipe alone over that of the same selection, which stays whole all the time."""
        write_atomically(Path(path, "recipe.json"), json.dumps(self.recipe, indent=2).encode())

    @classmethod
    def load_from_disk(cls, path: str | os.PathLike[str]) -> "Selection":
        """Reads what `save_to_disk` wrote.

        Raises:
            FileNotFoundError: if there is no selection.
            SelectionError: if its parts do not fit together.
        """
        folder = Path(path)
        if not (folder / "picks.npz").exists():
            raise FileNotFoundError(f"expected a folder that Selection.save_to_disk wrote, got {folder}")
        with np.load(folder / "picks.npz", allow_pickle=False) as picks:
            indices, gains = picks["indices"], picks["gains"]
        recipe = json.loads((folder / "recipe.json").read_text())
        dataset, scores = (load_from_disk(str(folder / name)) for name in ("dataset", "scores"))
        check_selection(recipe, indices, gains, scores)
        return cls(dataset, indices, gains, scores, recipe)


def refuse_other_contents(folder: Path) -> None:
    """Refuses a folder whose contents `Selection.save_to_disk` must not replace.

    Raises:
        FileExistsError: if it holds anything but a selection.
    """
    if folder.is_dir() and not (folder / "recipe.json").exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty and holds no selection; give another folder")


@dataclass(frozen=True)
class _RowSet:
    """Rows of a pool that somebody else has named.

    Attributes:
        positions: int64 `[m]`, where the pool has them, in their order.
        gains: float64 `[m]`.
        recipe: what a recipe says of them; None if there are none.
    """

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    recipe: dict[str, Any] | None

    @classmethod
    def of(cls, rows: Selection | Sequence[str], ids: list[str], name: str) -> "_RowSet":
        """Finds the rows in the pool with these ids.

        Raises:
            RowSetError: if one is not there.
        """
        wanted = rows.row_ids if isinstance(rows, Selection) else list(dict.fromkeys(rows))
        positions, unknown = find_rows(wanted, ids)
        if unknown:
            raise RowSetError(
                f"expected rows of this pool in {name}, got {len(unknown)} of {len(wanted)} row ids that it "
                f"has not, the first: {unknown[0]!r}; give a selection of the same pool, or remove these"
            )
        recipe: dict[str, Any] = {"rows": len(wanted), "digest": pool_digest(wanted)}
        gains = np.zeros(len(wanted))
        if isinstance(rows, Selection):
            recipe["recipe"], gains = rows.recipe, rows.gains
        return cls(positions, gains, recipe if wanted else None)


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
    rows = budget_rows(budget, len(dataset))
    score_column = by.column if isinstance(by, Scorer) else by
    feature_column = over.column if isinstance(over, Scorer) else over
    scores, features, statuses = _read_inputs(dataset, rule, score_column, feature_column)
    reasons = read_reasons(dataset, [score_column, feature_column], statuses)
    refusals = Refusals.of(zip(statuses, reasons, strict=True))
    refuse_if_none_left(
        refusals, "cannot be picked", "score the pool again, or give other columns as by=, over="
    )
    warn_if_most_are_refused(refusals, "cannot be picked", "the picks are among the others")
    ids = row_ids(dataset)
    first, never = _RowSet.of(include, ids, "include"), _RowSet.of(exclude, ids, "exclude")
    if both := np.intersect1d(first.positions, never.positions).tolist():
        raise RowSetError(f"expected rows either included or excluded, got {len(both)} rows that are both")
    statuses[never.positions[statuses[never.positions] == "ok"]] = "excluded"
    given = statuses[first.positions] == "ok"
    usable = np.flatnonzero(statuses == "ok")
    if rows > len(usable):
        raise BudgetError(
            f"asked for {rows} rows, but only {len(usable)} of the pool's {len(dataset)} can be picked"
            f"{_left_out(refusals, statuses)}; ask for at most {len(usable)}"
        )
    if rows <= np.count_nonzero(given):
        raise BudgetError(f"asked for {rows} rows, but {np.count_nonzero(given)} are included; ask for more")
    features = keep_rows(features, usable) if features is not None else None
    balanced = rule if balance is None else Balanced(rule=rule, column=balance, quota=balance_quota)
    columns = {name: read_values(dataset, name)[usable] for name in balanced.uses_columns}
    picked = np.searchsorted(usable, first.positions[given])
    rng = np.random.default_rng(seed)
    more, gains = balanced(scores[usable], features, rows - len(picked), rng, columns, picked)
    picked = np.concatenate([picked, more])
    return Selection.of(
        dataset,
        ids,
        usable[picked],
        np.concatenate([first.gains[given], gains]),
        {
            "budget": budget.item() if isinstance(budget, np.generic) else budget,
            "dropped": _counts(statuses[statuses != "ok"]),
            "dropped_reasons": dict(refusals.reasons),
            "included": first.recipe
            and {**first.recipe, "left_out": _counts(statuses[first.positions[~given]])},
            "excluded": never.recipe,
            "by": score_column if rule.uses_scores else None,
            "over": feature_column if rule.uses_features else None,
            "balance": balance and {"column": balance, "quota": balance_quota},
            "rule": {"rule": type(rule).__name__, **asdict(rule)},  # type: ignore[call-overload]
            "rule_notes": rule.notes(scores[usable], features, rows, np.random.default_rng(seed)),
            "seed": seed,
            "scorers": scorer_recipes(dataset, [by, over]),
            "diversity": diversity(features, picked, seed) if features is not None else {},
        },
        never.positions,
    )


def find_rows(wanted: Sequence[str], ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Where a pool with these row ids has the wanted ones, int64 in their order; and the missing ones."""
    place = {row_id: i for i, row_id in enumerate(ids)} if wanted else {}
    found = [place[row_id] for row_id in wanted if row_id in place]
    return np.array(found, dtype=np.int64), [row_id for row_id in wanted if row_id not in place]


def _left_out(refusals: Refusals, statuses: NDArray[np.object_]) -> str:
    excluded = int(np.count_nonzero(statuses == "excluded"))
    parts = [str(refusals)] * (refusals.refused > 0) + [f"{excluded:,} excluded"] * (excluded > 0)
    return f" ({', '.join(parts)})" if parts else ""


def _counts(statuses: NDArray[np.object_]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))


def _recorded_rule(recipe: Mapping[str, Any]) -> Rule:
    parameters = dict(recipe["rule"])
    rule: Rule = Call(parameters.pop("rule"), (), parameters).make(RULES)
    return rule


def _read_inputs(
    dataset: Dataset, rule: Rule, score_column: str, feature_column: str
) -> tuple[NDArray[np.float64], NDArray[np.float32] | None, NDArray[np.object_]]:
    """What a rule reads, and of every row the status: `ok` if it can be picked."""
    if not isinstance(rule, Rule):
        raise TypeError(f"expected a rule such as NeighborPenalty(), got {rule!r}; see hf_vitselect.rules")
    refuse_missing_columns(dataset.column_names, rule, score_column, feature_column)
    # Without scores a rule still needs the pool's size; one that uses them has been refused above.
    scores, features, statuses = np.zeros(len(dataset)), None, np.full(len(dataset), "ok", dtype=object)
    if score_column in dataset.column_names:
        scores, statuses = read_scores(dataset, score_column)
    if rule.uses_features:
        features, feature_statuses = read_features(dataset, feature_column)
        statuses = np.where(statuses == "ok", feature_statuses, statuses)
    return scores, features, statuses


def refuse_missing_columns(
    columns: Sequence[str], rule: Rule, score_column: str, feature_column: str
) -> None:
    """Refuses a pool without the columns that a rule uses.

    Raises:
        ColumnError: naming the first one, and the nearest that are there.
    """
    used = [score_column] * rule.uses_scores + [feature_column] * rule.uses_features
    refuse_missing(used, columns, "expected a column", "score the pool first")
    refuse_missing(rule.uses_columns, columns, f"{type(rule).__name__} uses the column")
