"""Filters by themselves: a scored pool in, the rows that stay and those that go out."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import refuse_missing, refuse_reserved
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.filters.base import Filter
from hf_vitselect.progress import no_dataset_bars
from hf_vitselect.resume import refuse_other_contents, replace_folder
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.copies import recorded_repeats
from hf_vitselect.selection.filter_rows import filter_rows
from hf_vitselect.selection.filtering import FilterRecord, run_filters
from hf_vitselect.selection.groups import group_rows
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.question_kinds import QuestionKinds
from hf_vitselect.selection.sample import Sample, count_copies
from hf_vitselect.selection.score_table import dropped_columns
from hf_vitselect.selection.scorer_recipes import scorer_recipes

_RECORD = "filters.json"


@dataclass(frozen=True, eq=False)
class FilteredPool:
    """The outcome of `filter_pool`.

    Attributes:
        dataset: The rows that stay, in the pool's order.
        dropped: The rows that go, the first filter's first and each filter's most certain first, with the
            columns `dropped_by` and `dropped_reason`.
        records: What each filter did, in order, with the thresholds it went by.
        unscored: The number of rows without a usable score, which stay and which no filter has looked at.
    """

    dataset: Dataset
    dropped: Dataset
    records: tuple[FilterRecord, ...]
    unscored: int

    def save_to_disk(self, path: str | os.PathLike[str]) -> None:
        """Write `dataset`, `dropped` and `filters.json` to a folder, in place of an earlier outcome there.

        Raises:
            FileExistsError: If the folder holds anything else.
        """
        folder = Path(path)
        refuse_non_filtered_pool(folder)
        with replace_folder(folder) as new, no_dataset_bars():
            self.dataset.save_to_disk(new / "dataset")
            # Without rows, datasets would write no file and could not read the folder.
            self.dropped.save_to_disk(new / "dropped", num_shards=None if len(self.dropped) else 1)
            (new / _RECORD).write_text(json.dumps([record.to_json() for record in self.records], indent=2))


def filter_pool(
    dataset: Dataset,
    filters: Sequence[Filter],
    *,
    kinds: QuestionKinds | str | None = QuestionKinds(),
    by: str | None = None,
    over: str = "embedding",
) -> FilteredPool:
    """Drop rows of a scored pool, without picking any.

    `select_diverse` applies the filters of its method by itself. A filter whose column is missing, or which
    finds nothing to go by, is skipped with a warning. Rows without a usable score stay.

    Args:
        dataset: The pool with the columns that the filters use.
        filters: From `hf_vitselect.filters`, in order.
        kinds: Groups of rows for the filters that go by kind: `QuestionKinds()`, a column, or one group if
            None.
        by: The score, a loss for most filters; `necessity` if None and the pool has it.
        over: The embeddings, used if `ClipEmbedding` has made them.

    Raises:
        ColumnError: If `by` or a column of kinds is missing, or the pool has a column of a reserved name.
        TypeError: If `filters` holds anything but filters.

    Examples:
        >>> filtered = filter_pool(scored, [NearDuplicates(), UnusedImage()])  # doctest: +SKIP
        >>> filtered.dropped[0]["dropped_reason"]  # doctest: +SKIP
    """
    refuse_reserved(dataset.features)
    named = [name for name in (by, kinds if isinstance(kinds, str) else None) if name is not None]
    refuse_missing(named, dataset.column_names, "expected the column")
    method = Method(filters=tuple(filters), kinds=kinds, by=by or "necessity", over=over)
    candidates = Candidates.read(dataset, method.by, None)
    usable = candidates.usable
    part = dataset if len(usable) == len(dataset) else dataset.select(usable)
    grouped, ids = any(each.uses_kinds for each in filters), row_ids(dataset)
    sample = Sample.whole(len(usable))
    if candidates.untried.any():
        of_all = group_rows(dataset, method) if grouped else None
        copies = count_copies(recorded_repeats(dataset, ids, method.by), of_all)
        sample, groups = replace(sample, copies=copies[usable]), of_all and of_all.take(usable)
    else:
        groups = group_rows(part, method) if grouped else None
    scores, scorers = candidates.scores[usable], scorer_recipes(dataset)
    rows = filter_rows(part, scores, method, groups, scorers, sample, budget=1)
    dropped = run_filters(method.filters, rows).in_pool(usable)
    columns = dropped_columns(ids, dropped)
    gone = _select(dataset, dropped.rows)
    for name, cells in columns.items():
        gone = gone.add_column(name, cells.take(pa.array(dropped.rows)))
    stay = np.setdiff1d(np.arange(len(dataset)), dropped.rows)
    return FilteredPool(dataset.select(stay), gone, dropped.records, len(dataset) - len(usable))


def _select(dataset: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Select rows; without any, a dataset that can get columns, unlike `select` of tables side by side."""
    if len(rows):
        return dataset.select(rows)
    table = dataset.features.arrow_schema.empty_table()
    return Dataset(table, info=dataset.info.copy(), split=dataset.split)


def refuse_non_filtered_pool(folder: Path) -> None:
    """Raise FileExistsError if a folder holds anything but the outcome of `filter_pool`."""
    refuse_other_contents(folder, _RECORD, "filtered pool")
