"""Batches for training, with the response mask of scoring as labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset, Features, Image, List
from datasets import Sequence as SequenceFeature

from hf_vitselect.data.layouts import find_layout, read_mapping
from hf_vitselect.encoding import Encoded, Encoder
from hf_vitselect.errors import RowError

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
        """A batch with ``labels``, int64 of the shape of ``input_ids``, -100 outside the responses.

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
        (conversation,), _ = read_mapping(row)
        if isinstance(conversation, RowError):
            raise conversation
        return self.encoder.encode(conversation)


def undecoded_rows(dataset: Dataset, reads: Sequence[str] = ()) -> Dataset:
    """The conversation columns alone, pictures as they are encoded: one decoder for scoring and training.

    Args:
        dataset: any conversation layout.
        reads: further columns to keep.
    """
    columns = [*find_layout(dataset.column_names).columns, *reads]
    dataset = dataset.with_format(None).select_columns(columns)
    return dataset.cast(Features({name: _undecoded(kind) for name, kind in dataset.features.items()}))


def _undecoded(kind: Any) -> Any:
    if isinstance(kind, Image):
        return Image(mode=kind.mode, decode=False)
    if isinstance(kind, (List, SequenceFeature)) and isinstance(kind.feature, Image):
        return List(_undecoded(kind.feature))
    return kind
