"""Which sequences share a forward."""

import torch

from hf_vitselect.models.batching import BatchLimit, batches, forward_size
from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.prefix_sharing import RowSequence, single_rows


def encoded(length, **inputs):
    tokens = torch.ones(1, length, dtype=torch.long)
    return Encoded({"input_ids": tokens, **inputs}, tokens > 0)


def lengths(rows, limit):
    return [
        [sequence.length for sequence in batch]
        for batch in batches(rows, single_rows(rows, range(len(rows))), limit)
    ]


ROWS = [encoded(length) for length in (3, 9, 4, 8, 2)]


def test_similar_lengths_share_a_batch():
    assert lengths(ROWS, BatchLimit(rows=2)) == [[9, 8], [4, 3], [2]]


def test_padding_counts_as_tokens():
    assert lengths(ROWS, BatchLimit(tokens=18)) == [[9, 8], [4, 3, 2]]
    assert lengths(ROWS, BatchLimit(tokens=17)) == [[9], [8, 4], [3, 2]]


def test_rows_above_the_limit_run_alone():
    assert lengths(ROWS, BatchLimit(tokens=1)) == [[9], [8], [4], [3], [2]]


def test_both_limits_hold():
    assert lengths(ROWS, BatchLimit(rows=2, tokens=12)) == [[9], [8], [4, 3], [2]]


def test_image_rows_have_their_own_batches():
    rows = [encoded(3), encoded(4, pixel_values=torch.ones(1)), encoded(5)]
    assert lengths(rows, BatchLimit()) == [[5, 3], [4]]


def test_a_sequence_counts_its_rows():
    sequences = [RowSequence((0, 1, 2), 2, 7), RowSequence((3,), 0, 8)]
    assert forward_size(sequences) == (4, 16)
    assert len(batches(ROWS, sequences, BatchLimit(rows=3))) == 2


def test_the_stricter_limit_holds():
    assert BatchLimit(rows=3).within(BatchLimit(rows=5, tokens=7)) == BatchLimit(rows=3, tokens=7)
    assert BatchLimit(rows=8).below(5, 100) == BatchLimit(rows=2)
    assert BatchLimit(tokens=900).below(5, 100) == BatchLimit(tokens=50)
    assert BatchLimit(rows=8).below(1, 100) == BatchLimit(rows=1)
    assert BatchLimit().below(5, 100) == BatchLimit(rows=2)
