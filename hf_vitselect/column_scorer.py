"""What scorers of other columns have in common: they read numbers, not conversations."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, Value

from hf_vitselect.scorer import Scorer


class ColumnScorer(Scorer):
    """A scorer that makes its column from other columns of the pool.

    A subclass names them in `inputs`; `score_rows` is then given a data set of those columns and, where they
    are there, of their statuses.
    """

    needs = "score columns"

    @property
    @abstractmethod
    def inputs(self) -> Mapping[str, Any]:
        """The columns, each with its type."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns and their statuses."""
        return tuple(name for column in self.inputs for name in (column, f"{column}_status"))

    def read(self, batch: pa.Table | Mapping[str, Any]) -> tuple[Dataset, bool]:
        """The columns of a batch, or of one row."""
        if isinstance(batch, pa.Table):
            names = [name for name in self.reads if name in batch.column_names]
            # The schema's metadata would still list the columns that are left out.
            table = batch.select(names).replace_schema_metadata(None)
            return Dataset(table, fingerprint="batch"), True
        columns = {name: batch[name] for name in self.reads if name in batch}
        batched = self.is_batch(columns)
        if not batched:
            columns = {name: [value] for name, value in columns.items()}
        kinds = {name: self.inputs.get(name, Value("string")) for name in columns}
        return Dataset.from_dict(columns, features=Features(kinds)), batched

    def is_batch(self, columns: Mapping[str, Any]) -> bool:
        """Whether these columns hold several rows: a plain list is a batch of numbers."""
        return any(isinstance(value, list) for value in columns.values())
