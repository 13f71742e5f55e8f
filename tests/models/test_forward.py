"""Scoring keeps float32 in float32, training what its arguments say, and the process's settings stay."""

import pytest
import torch
from pools import mixed_pool
from tiny_vlm import response_stats

from hf_vitselect.data.rows import read_rows
from hf_vitselect.models.forward import full_precision, logits_at
from hf_vitselect.models.gradients import gradient_norm, output_gradient_norm
from hf_vitselect.models.vlm import VLM

FULL = ("ieee", "ieee")


def precisions(*_):
    return torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


@pytest.fixture
def lowered():
    """What trainers do for the whole process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield precisions()
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def vlm(tiny):
    return VLM.load(tiny("llava").folder, device="cpu")


def logits(vlm, row):
    inputs, response = vlm.forward.inputs([row])
    logits_at(vlm.model, vlm.model, inputs, response)


@pytest.mark.parametrize(
    ("run", "full"),
    [
        (lambda vlm, row: response_stats(vlm, [row]), True),
        (gradient_norm, True),
        (output_gradient_norm, True),
        (logits, False),  # as a trainer calls it
    ],
    ids=["losses", "gradients", "gradients of the output layer", "training"],
)
def test_scoring_runs_in_full_precision(run, full, vlm, lowered):
    row = vlm.encoder.encode(next(read_rows(mixed_pool(1))))
    seen = []
    handles = [
        layer.register_forward_hook(lambda *_: seen.append(precisions()))
        for layer in (vlm.model.get_output_embeddings(), vlm.model.model.vision_tower)
    ]
    for _ in range(2):  # The second time the output layer runs after the model.
        run(vlm, row)
    for handle in handles:
        handle.remove()
    assert len(seen) >= 4
    assert set(seen) == {FULL if full else lowered}
    assert precisions() == lowered != FULL


def test_errors_restore_the_precision():
    before = precisions()
    with pytest.raises(ValueError, match="inside"), full_precision():
        raise ValueError("inside")
    assert precisions() == before
