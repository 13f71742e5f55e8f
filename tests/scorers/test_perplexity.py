"""PerplexityScorer: the exponential of a slow loop's losses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Value
from slow_losses import slow_means, talks
from tiny import ARCHITECTURES

from hf_vitselect import PerplexityScorer
from hf_vitselect.models.response_forward import ResponseForward


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_perplexity_equals_a_slow_loop(tiny, architecture):
    model, most = tiny(architecture), 1 if architecture == "blip2" else 2
    dataset = talks(most=most)
    scored = dataset.map(PerplexityScorer(model.folder, processor=model.processor), batched=True)
    right = [mean for mean, _ in slow_means(model, dataset)]
    np.testing.assert_allclose(np.log(scored["perplexity"][:]), right, atol=1e-5, rtol=0)
    assert min(scored["perplexity"]) > 1


@pytest.mark.parametrize(("loss", "status"), [(88.0, "ok"), (89.0, "non_finite"), (1e4, "non_finite")])
def test_float32_overflow_is_not_finite(tiny, monkeypatch, loss, status):
    forward = ResponseForward.__call__

    def hard(self, rows, sequences):
        stats = forward(self, rows, sequences)
        return {index: replace(row, nll=torch.full_like(row.nll, loss)) for index, row in stats.items()}

    monkeypatch.setattr(ResponseForward, "__call__", hard)
    scored = talks().map(PerplexityScorer(tiny("llava").folder), batched=True)
    assert set(scored["perplexity_status"]) == {status}
    assert (scored["perplexity"][0] is None) == (status != "ok")


def test_columns_have_exact_types():
    assert list(PerplexityScorer("no/such-model").features.items()) == [
        ("perplexity", Value("float32")),
        ("perplexity_status", Value("string")),
        ("perplexity_reason", Value("string")),
    ]
