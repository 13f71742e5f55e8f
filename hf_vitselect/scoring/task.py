"""What every worker does: a table of rows in, a table of their new columns out."""

import os
import traceback
from collections.abc import Sequence

import pyarrow as pa
from datasets import Features

from hf_vitselect.data.image_roots import mark_roots
from hf_vitselect.errors import RowError, StaleRunError
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scorers.base.shared_forward import group_by_forward


class Work:
    """Several scorers, one after the other; those that share forwards share them.

    Pickled, it is their configuration; each process loads its models at its first call.

    Args:
        scorers: a later one may read the columns of those before it.
        roots: the folders in which the rows may name files, or None for any.
    """

    def __init__(self, scorers: Sequence[Scorer], roots: Sequence[str] | None = None) -> None:
        self.roots = roots
        self.features = Features({name: kind for scorer in scorers for name, kind in scorer.features.items()})
        self._scorers = list(scorers)
        self._recipes = [scorer.recipe() for scorer in scorers]
        self._steps = group_by_forward(scorers)

    def __call__(self, table: pa.Table, rank: int | None = None) -> pa.Table:
        """The new columns of these rows.

        Args:
            table: undecoded, the scorers' inputs among its columns.
            rank: the worker's number on its machine, which picks its GPU.

        Raises:
            StaleRunError: if a model's folder is not, here and now, what it was where the run began.
        """
        table = mark_roots(table, self.roots)
        for scorer in self._steps:
            table = scorer(table, rank)
        self.refuse_other_weights()
        columns = [table.column(name).combine_chunks() for name in self.features]
        return pa.Table.from_arrays(columns, schema=self.features.arrow_schema)

    def refuse_other_weights(self) -> None:
        """Refuses other weights than the recipes name.

        Raises:
            StaleRunError: if a model's folder is not, here and now, what it was where the run began.
        """
        for scorer, recipe in zip(self._scorers, self._recipes, strict=True):
            if scorer.recipe() != recipe:
                raise StaleRunError(
                    f"the files of {scorer.model} are not those that the run began with; let no training "
                    "write there, have the same files on every machine, and give another output folder"
                )

    def or_exit(self, table: pa.Table, rank: int | None = None) -> pa.Table:
        """The new columns, for a worker: ends its process when a row has broken the accelerator for it.

        Nothing runs there any more, while the process that replaces this one can go on, and finds the row.
        """
        try:
            return self(table, rank)
        except Exception as error:
            import torch

            if not isinstance(error, torch.AcceleratorError):
                raise
            traceback.print_exc()
            os._exit(1)

    def lost(self, rows: int) -> pa.Table:
        """The columns of rows that kill whoever scores them: nulls, and the status `worker_died`."""
        error = RowError("worker_died", "the worker died each time it scored this row")
        columns = {
            name: cells for scorer in self._scorers for name, cells in scorer.fill([error] * rows).items()
        }
        return pa.table(columns, schema=self.features.arrow_schema)
