"""Difficulty by a score net that was trained together with a model (Self-Filter, arXiv 2402.12501)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, Value

from hf_vitselect.scorer import Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hf_vitselect.score_net import ScoreNet


class ScoreNetScorer(Scorer):
    """Minus the output of a score net: the row's difficulty in Self-Filter (arXiv 2402.12501, stage 1).

    The net reads the columns that it was trained on (scores or an embedding), and neither pictures nor
    text, so they must be in the pool already, or be added by a scorer that stands before this one.

    Adds ``score_net`` (float32, higher = harder, any sign; `NeighborPenalty` wants ``rescale="minmax"`` for
    it) and ``score_net_status``.

    Args:
        model: a `ScoreNet`'s Hub id or folder; `ScoreNetTrainer` saves it to ``output_dir/score_net``.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.

    Raises:
        ColumnError: if the pool has not the columns that the net reads.

    Example:
        >>> scored = pool.map(ScoreNetScorer("output/score_net"), batched=True)  # doctest: +SKIP
    """

    def __init__(self, model: str, *, column: str = "score_net", revision: str | None = None) -> None:
        super().__init__(column=column, model=str(model), revision=revision)

    @property
    def features(self) -> Features:
        """The difficulty and the status."""
        return Features({self.column: Value("float32"), self.status_column: Value("string")})

    @property
    def reads(self) -> tuple[str, ...]:
        """The net's input columns and, where they are there, their statuses."""
        return tuple(name for column in self.loaded.columns for name in (column, f"{column}_status"))

    def read(
        self, batch: pa.Table | Mapping[str, Any]
    ) -> tuple[tuple["NDArray[np.float32]", "NDArray[np.object_]"], bool]:
        """The net's inputs and their statuses."""
        net = self.loaded
        if isinstance(batch, pa.Table):
            names = [name for name in self.reads if name in batch.column_names]
            # The schema's metadata would still list the columns that are left out.
            table = batch.select(names).replace_schema_metadata(None)
            return net.read(Dataset(table, fingerprint="batch")), True
        columns = {name: batch[name] for name in self.reads if name in batch}
        batched = net.is_batch(columns)
        if not batched:
            columns = {name: [value] for name, value in columns.items()}
        kinds = {name: net.kind if name in net.columns else Value("string") for name in columns}
        return net.read(Dataset.from_dict(columns, features=Features(kinds))), batched

    def score_rows(self, rows: tuple["NDArray[np.float32]", "NDArray[np.object_]"]) -> dict[str, list[Any]]:
        """Runs the net; it is small enough for the CPU."""
        import torch

        inputs, statuses = rows
        usable = np.flatnonzero(statuses == "ok")
        difficulty: list[float | None] = [None] * len(statuses)
        statuses = statuses.copy()
        with torch.inference_mode():
            outputs = self.loaded(torch.from_numpy(inputs[usable])).tolist()
        for i, output in zip(usable, outputs, strict=True):
            if math.isfinite(output):
                difficulty[i] = -output
            else:
                statuses[i] = "non_finite"
        return {self.column: difficulty, self.status_column: statuses.tolist()}

    def load(self, identity: Mapping[str, Any]) -> "ScoreNet":
        """The net."""
        from hf_vitselect.score_net import ScoreNet

        return ScoreNet.from_pretrained(identity["model"], revision=identity.get("commit")).eval()
