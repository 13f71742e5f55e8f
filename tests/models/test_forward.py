"""Scoring keeps float32 in float32, training what its arguments say, and the process's settings stay."""

import copy

import pytest
import torch
from pools import mixed_pool
from tiny_vlm import response_stats
from torch.nn.functional import cross_entropy

from hf_vitselect.data.rows import read_rows
from hf_vitselect.models.forward import full_precision, logits_at, output_logits, run_forward
from hf_vitselect.models.gradients import gradient_norm, output_gradient_norm
from hf_vitselect.models.options import ModelOptions
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [True, False])
def test_half_precision_logits_are_not_rounded(dtype, bias):
    torch.manual_seed(0)
    head, states = torch.nn.Linear(8, 40_000, bias=bias, dtype=dtype), torch.randn(5, 8).to(dtype)
    exact = copy.deepcopy(head).double()(states.double())
    torch.testing.assert_close(output_logits(head, states).double(), exact, atol=1e-6, rtol=1e-5)
    assert (head(states).double() - exact).abs().max() > 1e-4


def test_other_output_layers_are_called():
    class Adapted(torch.nn.Linear):
        def forward(self, states):
            return super().forward(states) + 1

    head, states = Adapted(8, 4, dtype=torch.bfloat16), torch.randn(5, 8).bfloat16()
    assert torch.equal(output_logits(head, states), head(states))


@torch.inference_mode()
def test_half_precision_losses_have_exact_logits(tiny):
    """Those of the model's states, with the output layer in float64."""
    vlm = VLM.load(tiny("llava").folder, ModelOptions(dtype="bfloat16"), device="cpu")
    head = copy.deepcopy(vlm.model.get_output_embeddings()).double()
    rounding = 0.0
    for row in map(vlm.encoder.encode, read_rows(mixed_pool(10))):
        inputs, response = vlm.forward.inputs([row])
        output = run_forward(vlm.model, vlm.model, inputs, lambda states: states)
        before, right = response.roll(-1, dims=1), inputs["input_ids"][response]
        exact = cross_entropy(head(output.states[before].double()), right, reduction="none")
        [stats] = response_stats(vlm, [row])
        torch.testing.assert_close(stats.nll.double(), exact, atol=1e-5, rtol=0)
        plain = cross_entropy(output.logits[before].float(), right, reduction="none")
        rounding = max(rounding, float((plain - exact).abs().max()))
    assert rounding > 1e-4
