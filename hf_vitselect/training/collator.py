"""Training batches whose labels are the response tokens the scorers count."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset

from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_roots import ACCESS, image_access
from hf_vitselect.data.rows import read_row, refuse_transform
from hf_vitselect.data.stored import with_plain_rows
from hf_vitselect.models.encoded import Encoded, training_rows
from hf_vitselect.models.encoding import Encoder

IGNORED = -100
"""The label of a token that is not trained on."""


class ResponseCollator:
    """Encode rows and label the response tokens, the same ones that `NecessityScorer` counts."""

    reads: tuple[str, ...] = ()
    """Columns it needs besides the conversation."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        # Later epochs and trainings in this process need the same rows.
        encoder.kept = training_rows(encoder.identity)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch with `labels`: int64 in the shape of `input_ids`, -100 outside the responses."""
        inputs, response = self.encoder.collate([self.encode(row) for row in rows])
        return inputs | {"labels": inputs["input_ids"].masked_fill(~response, IGNORED)}

    def encode(self, row: Mapping[str, Any]) -> Encoded:
        """Encode one row of a data set. Raises RowError if it cannot be trained on."""
        return self.encoder.encode(read_row(row))


def undecoded_rows(dataset: Dataset, reads: Sequence[str] = ()) -> Dataset:
    """Keep the conversation columns, images still encoded, so that training decodes as scoring does."""
    refuse_transform(dataset)
    columns = [*find_layout(dataset.features).needed_columns, *reads]
    rows = dataset.with_format(None).select_columns(columns)
    return with_plain_rows(rows, **{ACCESS: image_access(dataset)})
