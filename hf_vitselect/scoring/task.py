"""The work of every worker: a table of rows in, a table of their new columns out."""

import os
import traceback
from collections.abc import Sequence

import pyarrow as pa
from datasets import Features

from hf_vitselect.data.image_access import NO_ACCESS, ImageAccess
from hf_vitselect.data.image_roots import mark_access
from hf_vitselect.errors import RowError, StaleRunError
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scorers.base.shared_forward import group_by_forward


class Task:
    """Run several scorers one after the other, with one forward for those that share it.

    A pickled task is the scorers' configuration; each process loads its models at the first call.

    Args:
        scorers: a later one may read the columns of those before it.
        access: the files that the rows may name.
    """

    def __init__(self, scorers: Sequence[Scorer], access: ImageAccess = NO_ACCESS) -> None:
        self.access = access
        self.features = Features({name: kind for scorer in scorers for name, kind in scorer.features.items()})
        self._scorers = list(scorers)
        self._recipes = [scorer.recipe() for scorer in scorers]
        self._steps = group_by_forward(scorers)

    def __call__(self, table: pa.Table, rank: int | None = None) -> pa.Table:
        """Return the new columns of undecoded rows; the worker's rank on its machine picks its GPU."""
        table = mark_access(table, self.access)
        for scorer in self._steps:
            table = scorer(table, rank)
        self.refuse_changed_weights()
        columns = [table.column(name).combine_chunks() for name in self.features]
        return pa.Table.from_arrays(columns, schema=self.features.arrow_schema)

    def refuse_changed_weights(self) -> None:
        """Raise StaleRunError if a model's folder has changed since the run began, or differs here."""
        for scorer, recipe in zip(self._scorers, self._recipes, strict=True):
            if scorer.recipe() != recipe:
                raise StaleRunError(
                    f"the files of {scorer.model} are not those that the run began with; let no training "
                    "write there, have the same files on every machine, and give another output folder"
                )

    def run_in_worker(self, table: pa.Table, rank: int | None = None) -> pa.Table:
        """Return the new columns; end the worker's process if a row has broken the accelerator.

        Nothing runs on a broken accelerator any more. The process that replaces this one finds the row.
        """
        try:
            return self(table, rank)
        except Exception as error:
            import torch

            if len(table) == 0 or not isinstance(error, torch.AcceleratorError):
                raise
            traceback.print_exc()
            os._exit(1)

    def failed_rows(self, count: int) -> pa.Table:
        """The columns of rows that kill every worker: nulls, and the status `worker_died`."""
        errors = [RowError("worker_died", "the worker died each time it scored this row")] * count
        columns = {name: cells for scorer in self._scorers for name, cells in scorer.fill(errors).items()}
        return pa.table(columns, schema=self.features.arrow_schema)
