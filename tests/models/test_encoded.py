"""Kept rows are those that a fresh encoder makes, bit for bit, and take no more room than they may."""

import pytest
import torch
from pools import one_picture_pool
from tiny import ARCHITECTURES
from transformers import AutoProcessor

from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import RowError
from hf_vitselect.models.encoded import EncodedRows, held_out_rows, training_rows
from hf_vitselect.models.encoding import Encoder

ROWS = 6


def encoder(model, **options):
    return Encoder(model.processor or AutoProcessor.from_pretrained(model.folder), **options)


def reloaded(processor, folder):
    processor.save_pretrained(folder)
    return type(processor).from_pretrained(folder)


def equal(one, other):
    names = one.inputs.keys() == other.inputs.keys() and one.prefix == other.prefix
    tensors = [(one.response, other.response), *((one.inputs[key], other.inputs[key]) for key in one.inputs)]
    same = all(a.dtype == b.dtype and torch.equal(a, b) for a, b in tensors)
    return names and same and one.prefix_digest == other.prefix_digest


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kept_rows_equal_fresh_ones(architecture, tiny, tmp_path):
    fresh, rows = encoder(tiny(architecture)), list(read_rows(one_picture_pool(ROWS)))
    first = Encoder(reloaded(fresh.processor, tmp_path / "base"))
    first.kept = EncodedRows()
    made = [first.encode(row) for row in rows]
    trained = Encoder(reloaded(first.processor, tmp_path / "trained"))
    assert trained.identity == first.identity
    trained.kept = first.kept
    for row, before in zip(rows, made, strict=True):
        assert trained.encode(row) is before
        assert equal(before, fresh.encode(row))


def test_rows_fill_their_room(tiny, monkeypatch):
    rows, fresh, small = (
        list(read_rows(one_picture_pool(ROWS))),
        encoder(tiny("llava")),
        encoder(tiny("llava")),
    )
    whole = [fresh.encode(row) for row in rows]
    small.kept, calls = EncodedRows(sum(row.nbytes for row in whole) // 2), []
    encode = small._encode
    monkeypatch.setattr(small, "_encode", lambda row: calls.append(row) or encode(row))
    for _ in range(2):
        assert all(equal(small.encode(row), other) for row, other in zip(rows, whole, strict=True))
    assert ROWS < len(calls) < 2 * ROWS


def test_kept_row_may_be_too_long(tiny):
    [row] = read_rows(one_picture_pool(1))
    known = encoder(tiny("llava"))
    known.kept = EncodedRows()
    strict = encoder(tiny("llava"), context=known.encode(row).length - 1)
    strict.kept = known.kept
    with pytest.raises(RowError, match="too_long"):
        strict.encode(row)


def test_identity_covers_processor_and_end(tiny):
    plain, other = encoder(tiny("llava")), encoder(tiny("llava"))
    other.processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    template = encoder(tiny("llava"), end_of_turn="template")
    assert len({plain.identity, other.identity, template.identity, encoder(tiny("qwen2_vl")).identity}) == 4


def test_uses_share_no_room():
    assert held_out_rows("a") is held_out_rows("a")
    assert held_out_rows("a") is not training_rows("a")
    assert held_out_rows("b") is not held_out_rows("a")
