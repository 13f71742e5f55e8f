"""Rows of one image in one sequence have the same statistics as alone, for every model that allows it."""

import dataclasses

import pytest
import torch
from pools import encode, stripes
from tiny import ARCHITECTURES
from tiny_vlm import load, response_stats

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError

SHARING = [name for name in ARCHITECTURES if name != "gemma3"]
IMAGES = [RowImage(encode(stripes(24, 20, seed=seed))) for seed in (3, 4)]
TALKS = [
    (0, "what colour is it?", "red"),
    (1, "what colour is it?", "red"),
    (0, "what colour is the circle?", "It is green or blue, I think."),
    (0, "and?", "no"),
    (1, "and?", "blue"),
]


def about(image, question, answer, before=()):
    return Conversation((Turn("user", (*before, None, question)), Turn("assistant", (answer,))), (image,))


def rows():
    return [about(IMAGES[number], question, answer) for number, question, answer in TALKS]


@pytest.fixture
def eager(monkeypatch):
    """Tiny images have few tokens, which would not be shared."""
    monkeypatch.setattr("hf_vitselect.models.prefix_sharing._OWN_PER_SHARED", 100)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def vlm(request, tiny):
    return load(tiny(request.param))


def test_sharing_changes_no_statistic(vlm, eager):
    alone = [stats for row in rows() for stats in vlm.score([row])]
    for result, right in zip(vlm.score(rows(), batch_size=5), alone, strict=True):
        for name, values in vars(right).items():
            if name != "tokenizer":
                torch.testing.assert_close(getattr(result, name), values, atol=1e-5, rtol=1e-5)


def test_shared_tokens_run_once(vlm, eager):
    vlm.score(rows())  # the first time, it is tried whether rows can share
    before = dataclasses.replace(vlm.stats)
    vlm.score(rows(), batch_size=5)
    saved = (vlm.stats.alone - before.alone) - (vlm.stats.tokens - before.tokens)
    prefix = vlm.encoder.encode(rows()[0]).prefix
    assert saved >= 3 * prefix if vlm.no_sharing_reason is None else saved == 0


def test_each_image_is_seen_once(tiny, eager):
    vlm = load(tiny("llava"))
    vlm.score(rows())
    images = []
    vlm.model.model.vision_tower.register_forward_hook(lambda *call: images.append(len(call[2][0])))
    vlm.score(rows(), batch_size=5)
    assert images == [2]


def test_sliding_attention_shares_nothing(tiny):
    vlm = load(tiny("gemma3"))
    vlm.score(rows())
    assert "sliding_attention" in vlm.no_sharing_reason


def test_models_with_other_losses_share_nothing(tiny, eager):
    # Gemma's image tokens see those after them, which its configuration does not say.
    vlm = load(tiny("gemma3"), layer_types=["full_attention"] * 2)
    assert vlm.no_sharing_reason is None
    alone = [stats for row in rows() for stats in vlm.score([row])]
    for result, right in zip(vlm.score(rows(), batch_size=5), alone, strict=True):
        torch.testing.assert_close(result.nll, right.nll, atol=1e-5, rtol=0)
    assert "losses differ by" in vlm.no_sharing_reason


def test_refused_rows_decide_nothing(tiny, eager, monkeypatch):
    vlm = load(tiny("llava"))
    forward, refused = type(vlm.model).forward, []

    def refuse(self, input_ids, **inputs):
        if not refused:  # the first of the two rows of the trial
            refused.append(input_ids)
            raise ValueError("the model does not like it")
        return forward(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(type(vlm.model), "forward", refuse)
    assert not any(isinstance(result, RowError) for result in vlm.score(rows()))
    assert vlm.no_sharing_reason is None
    assert vlm.stats.tokens < vlm.stats.alone


def test_only_sdpa_shares_prefixes(tiny):
    assert "only sdpa" in load(tiny("llava"), attention="eager").no_sharing_reason


@pytest.mark.parametrize("architecture", SHARING)
def test_sequences_of_all_kinds_mix(tiny, architecture, eager):
    vlm = load(tiny(architecture))
    other = about(RowImage(encode(stripes(30, 40, seed=9))), "what colour is it, and why?", "none")
    mixed = [*rows(), other, Conversation((Turn("user", ("and?",)), Turn("assistant", ("no",))))]
    encoded = [vlm.encoder.encode(row) for row in mixed]
    response_stats(vlm, encoded)
    for result, row in zip(response_stats(vlm, encoded), encoded, strict=True):
        torch.testing.assert_close(result.nll, response_stats(vlm, [row])[0].nll, atol=1e-5, rtol=0)
