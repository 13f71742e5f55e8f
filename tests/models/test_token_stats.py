"""The numbers of a token, by hand and by another formula."""

import math

import pytest
import torch

from hf_vitselect.models.token_stats import ResponseStats, token_stats


def test_three_tokens_by_hand():
    chances = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    nll, choice, log_odds, entropy, error_norm = token_stats(chances.log(), torch.tensor([1, 0, 2]))
    torch.testing.assert_close(nll, torch.tensor([math.log(4), 0, math.inf]))
    assert choice.tolist() == [0, 0, 0]
    torch.testing.assert_close(log_odds, torch.tensor([math.log(2), 0, math.inf]))
    torch.testing.assert_close(entropy, torch.tensor([1.5 * math.log(2), 0, 0]))
    torch.testing.assert_close(
        error_norm, torch.tensor([math.sqrt(0.25 + 0.75**2 + 0.0625), 0, math.sqrt(2)])
    )


def test_other_formulas_agree():
    logits = 3 * torch.randn(50, 200, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(50)
    nll, choice, log_odds, entropy, error_norm = token_stats(logits, targets)
    torch.testing.assert_close(nll, torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=logits).entropy())
    one_hot = torch.nn.functional.one_hot(targets, 200)
    torch.testing.assert_close(error_norm, (logits.softmax(-1) - one_hot).norm(dim=-1))
    assert torch.equal(choice, logits.argmax(-1))
    torch.testing.assert_close(log_odds, logits.max(-1).values - logits[targets, targets])


@pytest.mark.parametrize("gap", [8, 16, 30])
def test_tiny_errors_keep_their_digits(gap):
    logits = torch.randn(4, 32000, generator=torch.Generator().manual_seed(0))
    logits[:, 7] = logits.max() + gap
    error_norm = token_stats(logits, torch.full((4,), 7))[4]
    others = torch.cat([logits[:, :7], logits[:, 8:]], dim=-1).double()
    exact = others.exp() / logits.double().exp().sum(-1, keepdim=True)
    expected = (exact.square().sum(-1) + exact.sum(-1).square()).sqrt()
    torch.testing.assert_close(error_norm.double(), expected, rtol=1e-4, atol=0)


def test_half_precision_is_computed_in_full():
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    for half, full in zip(
        token_stats(logits, torch.arange(4)), token_stats(logits.float(), torch.arange(4)), strict=True
    ):
        assert torch.equal(half, full)


def test_the_mean_averages_the_tokens():
    def signals(nll):
        return ResponseStats(nll, nll, nll, nll, nll, nll, nll, nll, vocabulary=9)

    assert signals(torch.tensor([1.0, 2.0, 6.0])).mean == 3.0
    assert math.isnan(signals(torch.tensor([])).mean)
