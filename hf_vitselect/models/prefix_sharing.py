"""Rows that begin alike as one sequence: what they share once, then what each has of its own.

Rows about one picture share hundreds of image tokens and differ in a few dozen. Laid out as one sequence,
with an attention mask under which every row sees the shared beginning and itself, they cost the model that
beginning once. No row is changed by the others: the mask hides them, and positions count as they would alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from hf_vitselect.models.encoding import Encoded

_OWN_PER_SHARED = 8
"""A pack ends at so many tokens of its rows' own for each shared one: hidden from each other they still cost
attention and a larger mask, and by then the shared ones cost next to nothing."""


@dataclass(frozen=True)
class Pack:
    """Rows that make one sequence.

    Attributes:
        places: their indices among the rows that were packed.
        shared: how many leading tokens they share; 0 for a single row.
        length: tokens of the sequence.
    """

    places: tuple[int, ...]
    shared: int
    length: int


def singles(rows: Sequence[Encoded], places: Iterable[int]) -> list[Pack]:
    """Every row as a sequence of its own."""
    return [Pack((place,), 0, rows[place].length) for place in places]


def pack(rows: Sequence[Encoded], places: Iterable[int], allows: Callable[[int, int], bool]) -> list[Pack]:
    """Joins rows whose pictures and tokens up to the last picture are the same.

    Rows share as many tokens as are equal in all of them, but each keeps the token before its response, where
    its first prediction is made.

    Args:
        rows: all rows.
        places: the indices of those to be packed.
        allows: whether a sequence may have so many rows and so many tokens.
    """
    alike: dict[object, list[int]] = {}
    for place in places:
        alike.setdefault(rows[place].opening or place, []).append(place)
    packs = []
    for group in alike.values():
        shared = _shared_tokens([rows[place] for place in group])
        if len(group) == 1 or shared < rows[group[0]].seen:  # an answer stands before a picture
            packs += singles(rows, group)
        else:
            packs += _fill(rows, group, shared, allows)
    return packs


def join(rows: Sequence[Encoded], shared: int) -> Encoded:
    """One sequence of rows: the shared tokens and the pictures of the first, then each row's own tokens."""
    first = rows[0]
    per_token = {key for key, value in first.inputs.items() if value.shape == first.response.shape}
    branched = {key: branch([row.inputs[key] for row in rows], shared) for key in per_token}
    response = branch([row.response for row in rows], shared)
    return Encoded(first.inputs | branched, response, first.seen, first.opening)


def branch(tensors: Sequence[torch.Tensor], shared: int) -> torch.Tensor:
    """The shared beginning of the first tensor, then the rest of each; the last axis is tokens."""
    return torch.cat([tensors[0][..., :shared], *(tensor[..., shared:] for tensor in tensors)], -1)


def owners(lengths: Sequence[Sequence[int]], shared: Sequence[int]) -> torch.Tensor:
    """Whose each token is.

    Args:
        lengths: of every sequence, its rows' lengths.
        shared: of every sequence, how many leading tokens its rows share.

    Returns:
        int64 of shape (sequences, L), L the longest sequence: 0 for shared tokens, 1, 2, ... for those of the
        rows in order, -1 for padding.
    """
    tokens = [
        torch.tensor([0] * start + [i for i, n in enumerate(rows, 1) for _ in range(n - start)])
        for rows, start in zip(lengths, shared, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1)


def attention_mask(owners: torch.Tensor) -> torch.Tensor:
    """Who sees whom: each token the shared ones and those of its own row, up to itself.

    Args:
        owners: as `owners` tells them, shape (sequences, L).

    Returns:
        bool of shape (sequences, 1, L, L). No row sees padding.
    """
    seen = (owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None])
    return seen.tril()[:, None]


def _fill(
    rows: Sequence[Encoded], group: Sequence[int], shared: int, allows: Callable[[int, int], bool]
) -> list[Pack]:
    packs: list[Pack] = []
    for place in group:
        own = rows[place].length - shared
        if packs:
            last = packs[-1]
            wider = Pack((*last.places, place), shared, last.length + own)
            if wider.length <= (1 + _OWN_PER_SHARED) * shared and allows(len(wider.places), wider.length):
                packs[-1] = wider
                continue
        packs.append(Pack((place,), shared, shared + own))
    return [each if len(each.places) > 1 else Pack(each.places, 0, each.length) for each in packs]


def _shared_tokens(rows: Sequence[Encoded]) -> int:
    own = min(int(row.response[0].int().argmax()) for row in rows) - 1
    if own < 1:
        return 0
    ids = torch.cat([row.inputs["input_ids"][:, :own] for row in rows])
    equal = (ids == ids[0]).all(0)
    return int(equal.int().cumprod(0).sum())
