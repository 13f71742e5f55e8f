"""Scorers that read other columns, not conversations."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, Value
from numpy.typing import NDArray

from hf_vitselect.data.refusals import read_reasons
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer


class ColumnScorer(Scorer):
    """A scorer that makes its column from other columns of the pool.

    A subclass names them in `inputs`. `score_rows` is given a data set of those columns, with their statuses
    and reasons where these exist.
    """

    needs = "score columns"

    @property
    @abstractmethod
    def inputs(self) -> Mapping[str, Any]:
        """The columns and their types."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns, their statuses and their reasons."""
        return tuple(f"{column}{end}" for column in self.inputs for end in ("", "_status", "_reason"))

    def read(self, batch: pa.Table | Mapping[str, Any]) -> tuple[Dataset, bool]:
        """The columns of a batch, or of one row."""
        if isinstance(batch, pa.Table):
            names = [name for name in self.reads if name in batch.column_names]
            # The schema's metadata would still list the other columns.
            table = batch.select(names).replace_schema_metadata(None)
            return Dataset(table, fingerprint="batch"), True
        columns = {name: batch[name] for name in self.reads if name in batch}
        batched = self.is_batch({name: columns[name] for name in self.inputs if name in columns})
        if not batched:
            columns = {name: [value] for name, value in columns.items()}
        # A status or reason that is not a text is a column of the user's own.
        columns = {
            name: values
            for name, values in columns.items()
            if name in self.inputs or all(isinstance(value, str | None) for value in values)
        }
        kinds = {name: self.inputs.get(name, Value("string")) for name in columns}
        return Dataset.from_dict(columns, features=Features(kinds)), batched

    def values_or_errors(
        self, rows: Dataset, values: Sequence[float], statuses: NDArray[np.object_]
    ) -> list[tuple[Any, ...] | RowError]:
        """The result of `score_rows` for rows of one value each, used where the inputs' status is `ok`."""
        scored: list[tuple[Any, ...] | RowError] = []
        reasons = read_reasons(rows, self.inputs, statuses)
        for value, status, reason in zip(values, statuses, reasons, strict=True):
            if status == "ok" and not math.isfinite(value):
                status, reason = "non_finite", f"{value} is not finite as float32"
            scored.append((value,) if status == "ok" else RowError(status, reason))
        return scored

    def is_batch(self, columns: Mapping[str, Any]) -> bool:
        """Whether these columns hold several rows: a list is a batch of numbers."""
        return any(isinstance(value, list) for value in columns.values())
