"""Batches for training, with the response mask of scoring as labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset

from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_roots import ROOTS, image_roots
from hf_vitselect.data.rows import read_row, refuse_transform
from hf_vitselect.data.stored import with_plain_rows
from hf_vitselect.models.encoding import Encoded, Encoder

IGNORED = -100
"""The label of tokens that are not trained on."""


class ResponseCollator:
    """Encodes rows and labels their response tokens, exactly those that `NecessityScorer` counts.

    Args:
        encoder: of the model that is trained.
    """

    reads: tuple[str, ...] = ()
    """Columns that it needs beside the conversation's."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch with `labels`, int64 of the shape of `input_ids`, -100 outside the responses.

        Raises:
            RowError: if a row cannot be trained on.
        """
        inputs, response = self.encoder.collate([self.encode(row) for row in rows])
        return inputs | {"labels": inputs["input_ids"].masked_fill(~response, IGNORED)}

    def encode(self, row: Mapping[str, Any]) -> Encoded:
        """One row of a data set, encoded.

        Raises:
            RowError: if it cannot be trained on.
        """
        return self.encoder.encode(read_row(row))


def undecoded_rows(dataset: Dataset, reads: Sequence[str] = ()) -> Dataset:
    """The conversation columns alone, pictures as they are encoded: one decoder for scoring and training.

    Args:
        dataset: any conversation layout.
        reads: further columns to keep.

    Raises:
        LayoutError: if the columns make no known layout, or the data set has a transform.
    """
    refuse_transform(dataset)
    columns = [*find_layout(dataset.features).columns, *reads]
    roots = image_roots(dataset)
    more = {} if roots is None else {ROOTS: roots}
    return with_plain_rows(dataset.with_format(None).select_columns(columns), **more)
