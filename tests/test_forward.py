"""A forward keeps float32 in float32, and leaves the process's settings as they were."""

import pytest
import torch

from hf_vitselect.forward import full_precision, run_forward


def precisions():
    return torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(2, 3)

    def get_output_embeddings(self):
        return self.head

    def forward(self, states, use_cache):
        self.seen = precisions()
        logits = self.head(states)
        return type("Output", (), {"logits": logits})


@pytest.fixture
def lowered():
    """What trainers do for the whole process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("lowered")
def test_a_forward_runs_in_full_precision():
    model, before = Model(), precisions()
    run_forward(model, model, {"states": torch.ones(1, 4, 2)}, lambda states: states)
    assert model.seen == ("ieee", "ieee") != before
    assert precisions() == before


def test_an_error_inside_restores_the_precision():
    before = precisions()
    with pytest.raises(ValueError, match="inside"), full_precision():
        raise ValueError("inside")
    assert precisions() == before
