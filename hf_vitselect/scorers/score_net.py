"""Difficulty by a score net trained together with a model (Self-Filter, arXiv 2402.12501)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, Features, Value

from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.columns import ColumnScorer

if TYPE_CHECKING:
    from hf_vitselect.models.score_net import ScoreNet


@dataclass(kw_only=True, eq=False)
class ScoreNetScorer(ColumnScorer):
    """Minus the output of a score net: the row's difficulty in Self-Filter (arXiv 2402.12501, stage 1).

    The net reads the columns that it was trained on (scores or an embedding), no images and no text. They
    must be in the pool or come from an earlier scorer of the same call.

    Adds `score_net` (float32, any sign, higher = harder; `NeighborPenalty` needs `rescale="minmax"` with it),
    `score_net_status` and `score_net_reason`. Costs next to nothing; training the net costs a fine-tune.

    Args:
        model: a `ScoreNet`'s Hub id or folder; `ScoreNetTrainer` saves it to `output_dir/score_net`.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.

    Raises:
        ColumnError: if the pool lacks a column that the net reads.

    Examples:
        >>> scored = pool.map(ScoreNetScorer("output/score_net"), batched=True)  # doctest: +SKIP
    """

    column: str = "score_net"
    model: str = field(kw_only=False)

    cost = "nothing; the net costs a fine-tune"
    needs = "a score net, and its columns"

    @property
    def values(self) -> Features:
        """The difficulty."""
        return Features({self.column: Value("float32")})

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The net's input columns."""
        return dict.fromkeys(self.loaded.columns, self.loaded.kind)

    def is_batch(self, columns: Mapping[str, Any]) -> bool:
        """As the net reads them: a single embedding is a list too."""
        net: ScoreNet = self.loaded
        return net.is_batch(columns)

    def score_rows(self, rows: Dataset) -> list[tuple[Any, ...] | RowError]:
        """Run the net, which is small enough for the CPU."""
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
