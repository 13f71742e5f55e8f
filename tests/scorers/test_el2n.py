"""EL2NScorer and UPDScorer against a slow loop over full logits."""

import numpy as np
import pytest
import torch
from slow_losses import slow_logits, talks

from hf_vitselect import EL2NScorer, UPDScorer


@pytest.mark.parametrize("architecture", ["llava", "qwen2_vl"])
def test_el2n_is_the_mean_error(tiny, architecture):
    model = tiny(architecture)
    scored = talks().map(EL2NScorer(model.folder, processor=model.processor), batched=True)
    right = []
    for logits, targets in slow_logits(model, talks()):
        errors = logits.softmax(-1)
        errors[torch.arange(len(targets)), targets] -= 1
        right.append(errors.norm(dim=-1).mean().item())
    np.testing.assert_allclose(scored["el2n"][:], right, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["llava", "qwen2_vl"])
def test_upd_weighs_wrong_but_sure_tokens(tiny, architecture):
    model = tiny(architecture)
    scored = talks().map(UPDScorer(model.folder, processor=model.processor), batched=True)
    right = []
    for logits, targets in slow_logits(model, talks()):
        spread = logits.log_softmax(-1)
        loss = -spread[torch.arange(len(targets)), targets]
        certainty = 1 + (spread.exp() * spread).sum(-1) / np.log(logits.shape[-1])
        right.append((loss.sigmoid() * certainty.clamp(min=0)).mean().item())
    np.testing.assert_allclose(scored["upd"][:], right, atol=1e-5, rtol=0)
