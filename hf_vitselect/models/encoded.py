"""Rows as a model reads them, and those that a process keeps so as to encode each only once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.row_ids import content_hash

MOST_BYTES = 2**28
"""Bytes of tensors that one `EncodedRows` keeps, roughly."""


@dataclass(frozen=True)
class Encoded:
    """One row as a model reads it.

    Attributes:
        inputs: the processor's tensors for a batch of one; `input_ids` is int64 of shape (1, L).
        response: bool of shape (1, L), the tokens that SFT supervises.
        prefix: the number of tokens up to the last image token; 0 without images.
        prefix_digest: of those tokens and of the images as the model gets them; empty without images.
    """

    inputs: dict[str, torch.Tensor]
    response: torch.Tensor
    prefix: int = 0
    prefix_digest: bytes = b""

    @property
    def length(self) -> int:
        """The number of tokens, image tokens included."""
        return int(self.response.shape[1])

    @property
    def nbytes(self) -> int:
        """The bytes of the tensors."""
        return sum(tensor.nbytes for tensor in (self.response, *self.inputs.values()))


class EncodedRows:
    """Rows encoded by one processor, by their content. Once they fill their room, none is added."""

    # The same rows come in the same order each time. To drop the oldest would drop each before its turn.

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._rows: dict[str, Encoded] = {}
        self._room = most_bytes

    def get(self, row: Conversation, encode: Callable[[Conversation], Encoded]) -> Encoded:
        """The encoded row: the kept one, or what `encode` makes of it. Its tensors must not be changed."""
        key = content_hash(row)
        if (kept := self._rows.get(key)) is not None:
            return kept
        encoded = encode(row)
        if self._room > 0:
            self._room -= encoded.nbytes
            self._rows[key] = encoded
        return encoded


@lru_cache(maxsize=1)
def held_out_rows(encoder: str) -> EncodedRows:
    """The held-out rows of this process under an encoder's `identity`; those of another one are dropped."""
    return EncodedRows()


@lru_cache(maxsize=1)
def training_rows(encoder: str) -> EncodedRows:
    """The training rows of this process under an encoder's `identity`; those of another one are dropped."""
    return EncodedRows()
