"""Difficulty by a score net that was trained together with a model (Self-Filter, arXiv 2402.12501)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, Features, Value

from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.columns import ColumnScorer

if TYPE_CHECKING:
    from hf_vitselect.models.score_net import ScoreNet


class ScoreNetScorer(ColumnScorer):
    """Minus the output of a score net: the row's difficulty in Self-Filter (arXiv 2402.12501, stage 1).

    The net reads the columns that it was trained on (scores or an embedding), and neither pictures nor
    text, so they must be in the pool already, or be added by a scorer that stands before this one.

    Adds `score_net` (float32, higher = harder, any sign; `NeighborPenalty` wants `rescale="minmax"` for
    it), `score_net_status` and `score_net_reason`.

    Args:
        model: a `ScoreNet`'s Hub id or folder; `ScoreNetTrainer` saves it to `output_dir/score_net`.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.

    Raises:
        ColumnError: if the pool has not the columns that the net reads.

    Example:
        >>> scored = pool.map(ScoreNetScorer("output/score_net"), batched=True)  # doctest: +SKIP
    """

    cost = "nothing; the net costs a fine-tune"
    needs = "a score net, and its columns"

    def __init__(self, model: str, *, column: str = "score_net", revision: str | None = None) -> None:
        super().__init__(column=column, model=str(model), revision=revision)

    @property
    def values(self) -> Features:
        """The difficulty."""
        return Features({self.column: Value("float32")})

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The net's input columns."""
        return dict.fromkeys(self.loaded.columns, self.loaded.kind)

    def is_batch(self, columns: Mapping[str, Any]) -> bool:
        """An embedding is a list too."""
        several: bool = self.loaded.is_batch(columns)
        return several

    def score_rows(self, rows: Dataset) -> list[tuple[Any, ...] | RowError]:
        """Runs the net; it is small enough for the CPU."""
        import torch

        inputs, statuses = self.loaded.read(rows)
        usable = np.flatnonzero(statuses == "ok")
        difficulty = np.zeros(len(statuses))
        with torch.inference_mode():
            difficulty[usable] = -self.loaded(torch.from_numpy(inputs[usable])).double().numpy()
        return self.values_or_errors(rows, difficulty.tolist(), statuses)

    def load(self, identity: Mapping[str, Any]) -> "ScoreNet":
        """The net."""
        from hf_vitselect.models.score_net import ScoreNet
        from hf_vitselect.models.weights import load_errors

        with load_errors(identity["model"], what="a score net"):
            return ScoreNet.from_pretrained(identity["model"], revision=identity.get("commit")).eval()
