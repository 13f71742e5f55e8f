"""Prefix sharing: rows that begin alike as one sequence, their common prefix once, then each row's own.

Rows about one image share hundreds of image tokens and differ in a few dozen. In one sequence, with a mask
under which every row sees the prefix and itself, they cost the model that prefix once. No row changes the
others: the mask hides them, and positions count as they would alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from hf_vitselect.models.encoded import Encoded

_OWN_PER_SHARED = 8
"""A sequence ends at this many own tokens per shared one: rows hidden from each other still cost attention
and a larger mask, and by then the prefix costs next to nothing."""


@dataclass(frozen=True)
class RowSequence:
    """One or several rows as one sequence of `length` tokens.

    `shared` is the number of leading tokens that the rows share; 0 for a single row.
    """

    indices: tuple[int, ...]
    shared: int
    length: int


def single_rows(rows: Sequence[Encoded], indices: Iterable[int]) -> list[RowSequence]:
    """Every row as a sequence of its own."""
    return [RowSequence((index,), 0, rows[index].length) for index in indices]


def share_prefixes(
    rows: Sequence[Encoded], indices: Iterable[int], allows: Callable[[int, int], bool]
) -> list[RowSequence]:
    """Join rows with the same images and the same tokens up to the last image.

    Rows share the tokens that are equal in all of them, but each keeps the token before its response, which
    makes the first prediction. `allows` says whether a sequence may have this many rows and this many tokens.
    """
    alike: dict[object, list[int]] = {}
    for index in indices:
        alike.setdefault(rows[index].prefix_digest or index, []).append(index)
    sequences = []
    for group in alike.values():
        shared = _shared_tokens([rows[index] for index in group])
        if len(group) == 1 or shared < rows[group[0]].prefix:  # an answer precedes an image
            sequences += single_rows(rows, group)
        else:
            sequences += _fill(rows, group, shared, allows)
    return sequences


def concatenate(rows: Sequence[Encoded], shared: int) -> Encoded:
    """One sequence of rows: the shared tokens and the images of the first, then each row's own tokens."""
    first = rows[0]
    per_token = {key for key, value in first.inputs.items() if value.shape == first.response.shape}
    branched = {key: branch([row.inputs[key] for row in rows], shared) for key in per_token}
    response = branch([row.response for row in rows], shared)
    return Encoded(first.inputs | branched, response, first.prefix, first.prefix_digest)


def branch(tensors: Sequence[torch.Tensor], shared: int) -> torch.Tensor:
    """The shared prefix of the first tensor, then the rest of each; the last axis is tokens."""
    return torch.cat([tensors[0][..., :shared], *(tensor[..., shared:] for tensor in tensors)], -1)


def token_owners(lengths: Sequence[Sequence[int]], shared: Sequence[int]) -> torch.Tensor:
    """The row that each token belongs to, from the rows' lengths and the shared tokens of every sequence.

    int64 of shape (sequences, longest): 0 for shared tokens, 1, 2, ... for those of the rows in order, -1 for
    padding.
    """
    tokens = [
        torch.tensor([0] * start + [i for i, n in enumerate(rows, 1) for _ in range(n - start)])
        for rows, start in zip(lengths, shared, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1)


def attention_mask(owners: torch.Tensor) -> torch.Tensor:
    """The mask under which a token sees the shared tokens and those of its own row, up to itself.

    From `token_owners` of shape (sequences, L) to bool of shape (sequences, 1, L, L). No row sees padding.
    """
    visible = (owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None])
    return visible.tril()[:, None]


def _fill(
    rows: Sequence[Encoded], group: Sequence[int], shared: int, allows: Callable[[int, int], bool]
) -> list[RowSequence]:
    sequences: list[RowSequence] = []
    for index in group:
        own = rows[index].length - shared
        if sequences:
            last = sequences[-1]
            wider = RowSequence((*last.indices, index), shared, last.length + own)
            if wider.length <= (1 + _OWN_PER_SHARED) * shared and allows(len(wider.indices), wider.length):
                sequences[-1] = wider
                continue
        sequences.append(RowSequence((index,), shared, shared + own))
    return [
        each if len(each.indices) > 1 else RowSequence(each.indices, 0, each.length) for each in sequences
    ]


def _shared_tokens(rows: Sequence[Encoded]) -> int:
    # The token before a response predicts its first token, so it is not shared.
    own = min(int(row.response[0].int().argmax()) for row in rows) - 1
    if own < 1:
        return 0
    ids = torch.cat([row.inputs["input_ids"][:, :own] for row in rows])
    equal = (ids == ids[0]).all(0)
    return int(equal.int().cumprod(0).sum())
