"""How rows are laid out as sequences that share their prefixes."""

import torch

from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.prefix_sharing import (
    RowSequence,
    attention_mask,
    branch,
    share_prefixes,
    single_rows,
    token_owners,
)


def encoded(ids, response_from, prefix=2, prefix_digest=b"same"):
    tokens = torch.tensor([ids])
    return Encoded(
        {"input_ids": tokens}, torch.arange(len(ids))[None] >= response_from, prefix, prefix_digest
    )


def layout(rows, allows=lambda *_: True):
    return [
        (each.indices, each.shared, each.length) for each in share_prefixes(rows, range(len(rows)), allows)
    ]


def test_rows_share_their_common_prefix():
    rows = [encoded([1, 2, 3, 4, 5, 6], 5), encoded([1, 2, 3, 9, 5], 4)]
    assert layout(rows) == [((0, 1), 3, 8)]
    assert layout([rows[0], rows[0]]) == [((0, 1), 4, 8)]


def test_other_images_are_not_shared():
    rows = [encoded([1, 2, 3, 4], 3), encoded([1, 2, 3, 4], 3, prefix_digest=b"other")]
    assert layout(rows) == [((0,), 0, 4), ((1,), 0, 4)]
    rows = [encoded([1, 2, 3, 4], 3, prefix=0, prefix_digest=b"")] * 2
    assert layout(rows) == [((0,), 0, 4), ((1,), 0, 4)]


def test_answers_before_images_are_not_shared():
    assert layout([encoded([1, 2, 3, 4], 1, prefix=3)] * 2) == [((0,), 0, 4), ((1,), 0, 4)]


def test_sequences_keep_within_their_limits():
    rows = [encoded([1, 2, 3, 4, 5, 6], 5)] * 5
    assert [len(them) for them, *_ in layout(rows, lambda rows, tokens: rows <= 2)] == [2, 2, 1]
    assert [len(them) for them, *_ in layout(rows, lambda rows, tokens: tokens <= 10)] == [3, 2]
    rows = [encoded([1, 2, 3] + [9] * 16, 3)] * 3
    assert layout(rows) == layout(rows, lambda *_: False) == [((i,), 0, 19) for i in range(3)]


def test_rows_see_the_prefix_and_themselves():
    whose = token_owners([[3, 4], [2]], [2, 0])
    assert whose.tolist() == [[0, 0, 1, 2, 2], [1, 1, -1, -1, -1]]
    mask = attention_mask(whose)[:, 0].int().tolist()
    assert mask[0] == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]
    assert [row[:2] for row in mask[1][:2]] == [[1, 0], [1, 1]]
    assert all(any(row) for row in mask[1])


def test_branch_keeps_the_first_prefix():
    assert branch([torch.tensor([1, 2, 3]), torch.tensor([7, 8, 4, 5])], 2).tolist() == [1, 2, 3, 4, 5]


def test_single_rows_share_nothing():
    rows = [encoded([1, 2, 3], 2), encoded([1, 2], 1)]
    assert single_rows(rows, [1]) == [RowSequence((1,), 0, 2)]
