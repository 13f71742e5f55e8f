"""Picks the rows of a scored pool and remembers why."""

import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value, load_from_disk
from numpy.typing import NDArray

from hf_vitselect.columns import keep_rows, read_column, read_features, read_scores
from hf_vitselect.diversity import diversity
from hf_vitselect.errors import BudgetError, ColumnError
from hf_vitselect.make_up import make_up
from hf_vitselect.rows import answer_characters, row_ids
from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.rules.base import Rule
from hf_vitselect.scorer import Scorer
from hf_vitselect.scoring import pool_digest, recorded_scorers, recorded_source
from hf_vitselect.sources import versions
from hf_vitselect.validation import check_selection


@dataclass(frozen=True)
class Selection:
    """A subset of a pool, with what is needed to explain it and to rebuild it.

    Attributes:
        dataset: the picked rows, in pick order, with every column of the pool.
        indices: int64 of shape (picked,), positions in the pool, in pick order.
        gains: float64 of shape (picked,), the score at the moment of the pick.
        scores: one row for each row of the pool: row_id, its numbers and statuses, selected, rank
            (0 = picked first, null = not picked), and answer_characters where the pool has no
            response_tokens. No images, texts or embeddings.
        recipe: plain JSON: pool, rows in and out, rows dropped by status, scorers with their exact
            models, rule, what the rule notes about its picks, seed, versions, diversity figures, make-up.
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
        indices: NDArray[np.int64],
        gains: NDArray[np.float64],
        reasons: Mapping[str, Any],
    ) -> "Selection":
        """The selection of these rows.

        Args:
            pool: what they were picked from.
            indices: int64 of shape (picked,), in pick order.
            gains: float64 of shape (picked,).
            reasons: plain JSON for the recipe: the rule, its seed, what was dropped.
        """
        ids = row_ids(pool)
        recipe = {
            "format": 1,
            "source": recorded_source(pool),
            "fingerprint": pool_digest(ids),
            "rows": len(pool),
            "selected": len(indices),
            "by": None,
            "over": None,
            "scorers": [],
            "diversity": {},
            "make_up": make_up(pool, indices),
            **reasons,
            "versions": versions("hf_vitselect", "datasets", "numpy", "torch", "transformers"),
        }
        return cls(pool.select(indices), indices, gains, _score_table(pool, ids, indices), recipe)

    def __len__(self) -> int:
        """The number of picked rows."""
        return len(self.indices)

    def save_to_disk(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a folder, whole or not at all; an older selection there is replaced.

        Raises:
            FileExistsError: if something else is there.
        """
        target = Path(path)
        if target.exists() and not (target / "recipe.json").exists() and any(target.iterdir()):
            raise FileExistsError(f"{target} is there and is no selection; give another folder")
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self.dataset.save_to_disk(temporary / "dataset")
        self.scores.save_to_disk(temporary / "scores")
        np.savez(temporary / "picks.npz", indices=self.indices, gains=self.gains)
        (temporary / "recipe.json").write_text(json.dumps(self.recipe, indent=2))
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)

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


def select_diverse(
    dataset: Dataset,
    budget: int | float,
    *,
    by: str | Scorer = "necessity",
    over: str | Scorer = "embedding",
    rule: Rule = NeighborPenalty(),
    seed: int = 0,
) -> Selection:
    """Picks a subset of a scored pool.

    Rows without a usable score (a status other than ``ok``, a null, a NaN) or, where the rule looks at
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

    Raises:
        BudgetError: if the budget is no such number, or more than the rows that can be picked.
        ColumnError: if a column that the rule uses is missing or has the wrong type.
        TypeError: if the rule is none.

    Example:
        >>> selection = select_diverse(scored, 0.15, rule=NeighborPenalty(gamma=1.0))  # doctest: +SKIP
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"expected a rule such as NeighborPenalty(), got {rule!r}; see hf_vitselect.rules")
    score_column = by.column if isinstance(by, Scorer) else by
    feature_column = over.column if isinstance(over, Scorer) else over
    _refuse_missing_columns(dataset, rule, score_column, feature_column)
    # Without scores a rule still needs the pool's size; one that uses them has been refused above.
    scores, features, statuses = np.zeros(len(dataset)), None, np.full(len(dataset), "ok", dtype=object)
    if score_column in dataset.column_names:
        scores, statuses = read_scores(dataset, score_column)
    if rule.uses_features:
        features, feature_statuses = read_features(dataset, feature_column)
        statuses = np.where(statuses == "ok", feature_statuses, statuses)
    usable = np.flatnonzero(statuses == "ok")
    rows = budget_rows(budget, len(dataset))
    if rows > len(usable):
        raise BudgetError(
            f"asked for {rows} rows, but only {len(usable)} of the pool's {len(dataset)} can be picked "
            f"(the others have no usable score or features); ask for at most {len(usable)}"
        )
    features = keep_rows(features, usable) if features is not None else None
    columns = {name: np.asarray(dataset.with_format("numpy")[name])[usable] for name in rule.uses_columns}
    picked, gains = rule(scores[usable], features, rows, np.random.default_rng(seed), columns)
    indices = usable[picked]
    return Selection.of(
        dataset,
        indices,
        gains,
        {
            "budget": budget.item() if isinstance(budget, np.generic) else budget,
            "dropped": dict(sorted(Counter(statuses[statuses != "ok"]).items())),
            "by": score_column if rule.uses_scores else None,
            "over": feature_column if rule.uses_features else None,
            "rule": {"rule": type(rule).__name__, **asdict(rule)},  # type: ignore[call-overload]
            "rule_notes": rule.notes(scores[usable], features, rows, np.random.default_rng(seed), columns),
            "seed": seed,
            "scorers": _scorer_recipes(dataset, [by, over]),
            "diversity": diversity(features, picked, seed) if features is not None else {},
        },
    )


def _refuse_missing_columns(dataset: Dataset, rule: Rule, score_column: str, feature_column: str) -> None:
    for column, used in ((score_column, rule.uses_scores), (feature_column, rule.uses_features)):
        if used and column not in dataset.column_names:
            raise ColumnError(
                f"expected a column {column!r}, got {dataset.column_names}; score the pool first"
            )
    for column in rule.uses_columns:
        if column not in dataset.column_names:
            raise ColumnError(f"{type(rule).__name__} uses the column {column!r}, got {dataset.column_names}")


def budget_rows(budget: int | float, pool: int) -> int:
    """A budget in rows.

    Args:
        budget: an int is a number of rows; a float in (0, 1] a share, max(1, floor(share x pool)).
        pool: rows of the pool.

    Raises:
        BudgetError: if it is neither.
    """
    advice = "give rows as an int from 1, or a share as a float in (0, 1]"
    if isinstance(budget, bool) or not isinstance(budget, (int, float, np.integer, np.floating)):
        raise BudgetError(f"expected a number, got {budget!r}; {advice}")
    if isinstance(budget, (float, np.floating)):
        if not 0 < budget <= 1:
            raise BudgetError(f"expected a share in (0, 1], got {budget}; {advice}")
        rows = max(1, math.floor(budget * pool))
    else:
        rows = int(budget)
        if rows < 1:
            raise BudgetError(f"expected at least 1 row, got {budget}; {advice}")
    return rows


def _score_table(dataset: Dataset, ids: list[str], indices: NDArray[np.int64]) -> Dataset:
    numbers = [
        name
        for name, kind in dataset.features.items()
        if isinstance(kind, Value) and (name.endswith("_status") or re.match(r"u?int|float|bool", kind.dtype))
    ]
    rank = np.full(len(dataset), -1, dtype=np.int64)
    rank[indices] = np.arange(len(indices))
    columns = {"row_id": pa.chunked_array([pa.array(ids, pa.string())])}
    columns |= {name: read_column(dataset, name) for name in numbers}
    if not {"response_tokens", "answer_characters"} & columns.keys():
        columns["answer_characters"] = pa.chunked_array([pa.array(answer_characters(dataset), pa.int64())])
    columns["selected"] = pa.chunked_array([pa.array(rank >= 0)])
    columns["rank"] = pa.chunked_array([pa.array(rank, mask=rank < 0)])
    return Dataset(pa.table(columns))


def _scorer_recipes(dataset: Dataset, given: list[str | Scorer]) -> list[dict[str, Any]]:
    recipes = {
        recipe["column"]: recipe
        for recipe in recorded_scorers(dataset)
        if recipe["column"] in dataset.column_names
    }
    for item in given:
        if isinstance(item, Scorer):
            recipes[item.column] = item.recipe()
        elif item in dataset.column_names:
            # A plain map leaves no trace of its function; only score(), or the scorer as by= or over=, does.
            recipes.setdefault(item, {"column": item, "scorer": None})
    return list(recipes.values())
