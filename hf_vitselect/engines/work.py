"""What every worker does: a table of rows in, a table of their new columns out."""

from collections.abc import Sequence

import pyarrow as pa
from datasets import Features

from hf_vitselect.measuring import join
from hf_vitselect.scorer import Scorer


class Work:
    """Several scorers, one after the other; those that share forwards share them.

    Pickled, it is their configuration; each process loads its models at its first call.

    Args:
        scorers: a later one may read the columns of those before it.
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self.features = Features({name: kind for scorer in scorers for name, kind in scorer.features.items()})
        self._status_columns = {scorer.status_column for scorer in scorers}
        self._steps = join(scorers)

    def __call__(self, table: pa.Table, rank: int | None = None) -> pa.Table:
        """The new columns of these rows.

        Args:
            table: undecoded, the scorers' inputs among its columns.
            rank: the worker's number on its machine, which picks its GPU.
        """
        for scorer in self._steps:
            table = scorer(table, rank)
        columns = [table.column(name).combine_chunks() for name in self.features]
        return pa.Table.from_arrays(columns, schema=self.features.arrow_schema)

    def lost(self, rows: int) -> pa.Table:
        """The columns of rows that kill whoever scores them: nulls, and the status ``worker_died``."""
        columns = [
            pa.array(["worker_died" if field.name in self._status_columns else None] * rows, type=field.type)
            for field in self.features.arrow_schema
        ]
        return pa.Table.from_arrays(columns, schema=self.features.arrow_schema)
