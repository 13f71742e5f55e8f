"""A subset of a pool, with what is needed to explain it and to rebuild it."""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from datasets import Dataset, concatenate_datasets, load_from_disk
from numpy.typing import NDArray

from hf_vitselect.data.columns import LENGTHS, refuse_reserved
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.provenance import read_record, with_record
from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.data.rows import read_texts
from hf_vitselect.data.text import one_line
from hf_vitselect.errors import ColumnError, RowError, SelectionError, UsageError, first_line
from hf_vitselect.progress import no_dataset_bars
from hf_vitselect.resume import refuse_other_contents, replace_folder, write_atomically
from hf_vitselect.rules.base import NO_ROWS
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import Candidates, refuse_missing_columns
from hf_vitselect.selection.copies import repeats_column
from hf_vitselect.selection.json_part import expect, parse_json
from hf_vitselect.selection.judge_pool import judge_pool
from hf_vitselect.selection.method import Method, read_method
from hf_vitselect.selection.named_rows import NamedRows
from hf_vitselect.selection.pick import Picked
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.score_table import score_table
from hf_vitselect.selection.scorer_recipes import refuse_other_scorers, scorer_recipes

T = TypeVar("T")
_SHOWN_PICKS = 3
_ROW_ID = re.compile(r"[0-9a-f]{64}-\d+")


@dataclass(frozen=True, repr=False)
class Selection:
    """A subset of a pool, with what is needed to explain it and to rebuild it.

    Attributes:
        dataset: The picked rows, in pick order, with every column of the pool.
        indices: int64 of shape (picked,), positions in the pool, in pick order.
        gains: float64 of shape (picked,), the score at the moment of the pick; of an included row its gain in
            its own selection, or 0.
        scores: One row for each row of the pool: row_id, the source's own ids if they were named, numbers,
            statuses and reasons, selected, rank (0 = picked first, null = not picked), and answer_characters
            if response_tokens are not known of all rows. No images, texts or embeddings.
        recipe: How the rows were picked.
    """

    dataset: Dataset
    indices: NDArray[np.int64]
    gains: NDArray[np.float64]
    scores: Dataset
    recipe: Recipe

    @classmethod
    def of(
        cls,
        pool: Dataset,
        ids: list[str],
        picked: Picked,
        excluded: NDArray[np.int64] = NO_ROWS,
    ) -> "Selection":
        """Select rows of a pool with these row ids; `scores` marks the `excluded` rows, int64."""
        refuse_reserved(pool.features)
        subset, recipe = pool.select(picked.positions), picked.recipe
        # So that saved rows still say that they are from the Hub.
        record = {**read_record(pool), "source": recipe.source.to_json()}
        subset.info.description = with_record(pool.info.description, record)
        scores = score_table(pool, ids, picked.positions, excluded, picked.dropped, recipe.id_column)
        return cls(subset, picked.positions, picked.gains, scores, recipe)

    def __len__(self) -> int:
        """Count the picked rows."""
        return len(self.indices)

    def __repr__(self) -> str:
        """Five lines: how many rows, how and from where they were picked, what was left out."""
        return self.recipe.summary("Selection")

    def _repr_html_(self) -> str:
        """The same for a notebook, with the largest kinds and the first picks."""
        shown = self.dataset.select(range(min(_SHOWN_PICKS, len(self))))
        first = [
            {"question": _first(row, "user"), "answer": _first(row, "assistant")} for row in read_texts(shown)
        ]
        return self.recipe.html("Selection", {"First picks": first})

    @property
    def row_ids(self) -> list[str]:
        """The ids of the picked rows, in pick order."""
        ids: list[str] = self.scores["row_id"][self.indices]
        return ids

    @property
    def length_column(self) -> str | None:
        """The column of `scores` with the lengths of the answers, if there is one."""
        names = ("answer_characters", LENGTHS)
        return next((name for name in names if name in self.scores.column_names), None)

    def extend(self, new_rows: Dataset, budget: int | float, *, method: Method | None = None) -> "Selection":
        """Pick more rows from new ones, given the earlier picks; nothing is scored again.

        The new pool, to which indices and recipe refer, has this selection's rows followed by the new rows.
        The recipe's kinds, quotas and thresholds are applied to the new rows as they are. What a rule
        computes itself, such as quantiles or clusters, is that of the new pool. Unlike in a fresh selection,
        rows passed over are not considered again. Earlier picks that the rule cannot use, such as those
        without features, are not replaced.

        Args:
            new_rows: Rows with the same columns. The columns that the method uses must be computed by the
                same scorers: weights, settings and code version. A column of unknown origin is accepted.
            budget: How many of the new rows to pick; see `select_diverse`.
            method: The recipe's if None. Another one starts with kinds and thresholds of its own.

        Raises:
            BudgetError: If the budget cannot be met.
            ColumnError: If the new rows have other columns, or another scorer computed them.
            UsageError: If no method is given and the recipe's has parts that are not of this package, or was
                published without texts.
        """
        picks, name = self.dataset, repeats_column(self.recipe.by or "")
        if (name in picks.column_names) != (name in new_rows.column_names):  # a part of one was not scored
            picks, new_rows = (
                rows.select_columns([column for column in rows.column_names if column != name])
                for rows in (picks, new_rows)
            )
        if new_rows.features != picks.features:
            ours, theirs = picks.features, new_rows.features
            other = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
            raise ColumnError(
                f"expected new rows with the selection's columns and types, got others in {other}; "
                "score them with the same scorers"
            )
        earlier = self.recipe if method is None else None
        method = method or _recorded_method(self.recipe)
        if earlier and earlier.texts_removed and (method.kinds or method.filters):
            raise UsageError(
                "expected a recipe with the questions and thresholds that kinds and filters go by, got one "
                'published with publish="indices", without them; pass method='
            )
        refuse_missing_columns(picks.column_names, method)
        over = method.over if method.rule.uses_features else None
        kept = Candidates.read(picks, method.by, over).usable
        refuse_other_scorers(
            [*method.required_columns, *method.filter_columns], self.recipe.scorers, scorer_recipes(new_rows)
        )
        pool = concatenate_datasets([picks, new_rows])
        ids, rows = row_ids(pool), len(kept) + budget_rows(budget, len(new_rows))
        seed = self.recipe.seed or 0
        judged = judge_pool(
            pool,
            ids,
            rows,
            method=method,
            seed=seed,
            first=NamedRows.find(ids[: len(self)], ids, "include", self.gains, self.recipe),
            earlier=earlier,
        )
        return Selection.of(pool, ids, judged.pick(seed).asked(id_column=self.recipe.id_column))

    def save_to_disk(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a folder, whole or not at all; an older selection there is replaced.

        Raises:
            FileExistsError: If the folder holds something else.
        """
        target = Path(path)
        refuse_non_selection(target)
        with replace_folder(target) as folder, no_dataset_bars():
            self.dataset.save_to_disk(folder / "dataset")
            self.scores.save_to_disk(folder / "scores")
            np.savez(folder / "picks.npz", indices=self.indices, gains=self.gains)
            self.save_recipe(folder)

    def amend_recipe(self, **changes: Any) -> None:
        """Change fields of the recipe in place, as a push does: its address, the pool's license."""
        object.__setattr__(self, "recipe", replace(self.recipe, **changes))

    def save_recipe(self, path: str | os.PathLike[str]) -> None:
        """Write only the recipe, atomically, into the folder of this selection."""
        write_atomically(Path(path, "recipe.json"), json.dumps(self.recipe.to_json(), indent=2).encode())

    @classmethod
    def load_from_disk(cls, path: str | os.PathLike[str]) -> "Selection":
        """Read what `save_to_disk` wrote.

        Raises:
            FileNotFoundError: If there is no selection.
            SelectionError: If a part of it is damaged or does not fit the others.
        """
        folder = Path(path)
        if not all((folder / name).exists() for name in ("picks.npz", "recipe.json")):
            raise FileNotFoundError(f"expected a folder that Selection.save_to_disk wrote, got {folder}")
        recipe_file = folder / "recipe.json"
        recipe = Recipe.from_json(parse_json(recipe_file.read_bytes(), str(recipe_file)))
        indices, gains = _read_part(_read_picks, folder / "picks.npz")
        dataset, scores = (_read_part(_read_rows, folder / name) for name in ("dataset", "scores"))
        check_selection(recipe, indices, gains, scores)
        return cls(dataset, indices, gains, scores, recipe)


def find_named(rows: Selection | Sequence[str], ids: Sequence[str], argument: str) -> NamedRows:
    """Find the rows of a selection, or these ids, in a pool with `ids`; errors name the argument."""
    if isinstance(rows, Selection):
        return NamedRows.find(rows.row_ids, ids, argument, rows.gains, rows.recipe)
    return NamedRows.find(list(dict.fromkeys(rows)), ids, argument)


def _first(row: Conversation | RowError, role: str) -> str:
    """The first text of this role, as one line."""
    if isinstance(row, RowError):
        return str(row) if role == "user" else ""
    return one_line(next((turn.text for turn in row.turns if turn.role == role), ""))


def _read_picks(file: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    with np.load(file, allow_pickle=False) as picks:
        return picks["indices"], picks["gains"]


def _read_rows(folder: Path) -> Dataset:
    rows = load_from_disk(str(folder))
    if not isinstance(rows, Dataset):
        raise TypeError(f"expected one data set, got {type(rows).__name__}")
    return rows


def _read_part(read: Callable[[Path], T], part: Path) -> T:
    """Read a part of a saved selection; of a damaged one the libraries raise nearly anything."""
    try:
        return read(part)
    except Exception as error:
        raise SelectionError(
            f"{part}: expected a part of a selection, got {first_line(error)}; it is damaged, or something "
            "else wrote it: make the selection again"
        ) from error


def _recorded_method(recipe: Recipe) -> Method:
    try:
        return read_method(recipe.method or "an unknown method")
    except UsageError as error:
        raise UsageError(f"the recipe's method cannot be made again: {error}; pass method=") from error


def refuse_non_selection(folder: Path) -> None:
    """Raise FileExistsError if a folder holds anything but a selection."""
    refuse_other_contents(folder, "recipe.json", "selection")


def check_selection(
    recipe: Recipe, indices: NDArray[np.int64], gains: NDArray[np.float64], scores: Dataset
) -> None:
    """Raise a SelectionError if the parts of a selection do not fit together."""
    rows, picked = recipe.rows, recipe.selected
    shapes, kinds = [indices.shape, gains.shape], [indices.dtype.kind, gains.dtype.kind]
    expect(shapes == [(picked,)] * 2, "picks", f"{picked} picks and gains", shapes)
    expect(kinds == ["i", "f"], "picks", "whole numbers and gains", kinds)
    in_pool = not picked or (indices.min() >= 0 and indices.max() < rows)
    distinct = len(np.unique(indices)) == picked
    expect(in_pool and distinct, "picks", f"distinct rows of a pool of {rows}", indices)
    expect(len(scores) == rows, "scores", f"{rows} rows", len(scores))
    needed = {"row_id", "selected", "rank", *([recipe.id_column] if recipe.id_column else [])}
    expect(needed <= {*scores.column_names}, "scores", f"the columns {sorted(needed)}", scores.column_names)
    ids = scores["row_id"][:]
    odd = next((row for row in ids if not (isinstance(row, str) and _ROW_ID.fullmatch(row))), None)
    expect(odd is None, "scores.row_id", "row ids such as 'ab…12-0'", odd)
    expect(len(set(ids)) == len(ids), "scores.row_id", "distinct row ids", "repeated ones")
    digest = pool_digest(ids)
    expect(
        digest == recipe.fingerprint, "scores.row_id", f"row ids with the digest {recipe.fingerprint}", digest
    )
    ranks = np.full(rows, -1, dtype=np.int64)
    ranks[indices] = np.arange(picked)
    recorded = [-1 if rank is None else rank for rank in scores["rank"]]
    expect(recorded == ranks.tolist(), "scores.rank", "the picked rows in pick order", recorded)
    marks = scores["selected"][:]
    expect(marks == (ranks >= 0).tolist(), "scores.selected", "marks of the picked rows", marks)
