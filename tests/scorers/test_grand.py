"""GraNdScorer against autograd on full logits."""

import numpy as np
import pytest
import torch
from pools import assistant, pool, user
from slow_losses import slow_logits, talks

from hf_vitselect import GraNdScorer
from hf_vitselect.models.options import ModelOptions
from hf_vitselect.models.vlm import VLM


def gradients(tiny, parameters):
    """Each row's gradient norm, by the loss of full logits."""
    norms = []
    vlm = VLM.load(tiny.folder, ModelOptions(processor=tiny.processor), device="cpu")
    for logits, targets in slow_logits(tiny, talks(), vlm=vlm):
        loss = torch.nn.functional.cross_entropy(logits, targets)
        found = torch.autograd.grad(loss, list(parameters(vlm.model)), allow_unused=True)
        norms.append(torch.cat([part.flatten() for part in found if part is not None]).norm().item())
    return norms


def test_by_all_parameters(tiny):
    scored = talks().map(GraNdScorer(tiny("llava").folder, parameters="all"), batched=True)
    np.testing.assert_allclose(
        scored["grand"][:], gradients(tiny("llava"), lambda m: m.parameters()), rtol=1e-4
    )


def test_by_the_output_layer(tiny):
    scored = talks().map(GraNdScorer(tiny("llava").folder), batched=True)
    right = gradients(tiny("llava"), lambda model: [model.get_output_embeddings().weight])
    np.testing.assert_allclose(scored["grand"][:], right, rtol=1e-4)


def test_unanswered_rows_have_no_norm(tiny):
    rows = pool([([user("what?"), assistant("")], []), ([user("what?"), assistant("red")], [])])
    template_ends_turns = GraNdScorer(tiny("llava").folder)
    scored = rows.map(template_ends_turns, batched=True)
    assert scored["grand_status"][1] == "ok"
    assert (scored["grand"][0] is None) == (scored["grand_status"][0] != "ok")


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="'all' or 'last_layer'"):
        GraNdScorer("any", parameters="some")
