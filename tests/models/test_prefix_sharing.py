"""Rows of one picture in one sequence: the same signals as alone, for every model that allows it."""

import dataclasses

import pytest
import torch
from pools import encode, stripes
from tiny import ARCHITECTURES
from tiny_vlm import load

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError
from hf_vitselect.models.encoding import Encoded
from hf_vitselect.models.prefix_sharing import Pack, attention_mask, branch, owners, pack, singles

PACKED = [name for name in ARCHITECTURES if name != "gemma3"]
SEEN = [RowImage(encode(stripes(24, 20, seed=seed))) for seed in (3, 4)]
TALKS = [
    (0, "what colour is it?", "red"),
    (1, "what colour is it?", "red"),
    (0, "what colour is the circle?", "It is green or blue, I think."),
    (0, "and?", "no"),
    (1, "and?", "blue"),
]


def about(picture, question, answer, before=()):
    return Conversation((Turn("user", (*before, None, question)), Turn("assistant", (answer,))), (picture,))


def rows():
    return [about(SEEN[number], question, answer) for number, question, answer in TALKS]


@pytest.fixture
def eager(monkeypatch):
    """Tiny pictures have few tokens, for which nothing would be packed."""
    monkeypatch.setattr("hf_vitselect.models.prefix_sharing._OWN_PER_SHARED", 100)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def vlm(request, tiny):
    return load(tiny(request.param))


def test_rows_of_one_picture_have_the_signals_that_they_have_alone(vlm, eager):
    alone = [signals for row in rows() for signals in vlm.score([row])]
    for result, right in zip(vlm.score(rows(), batch_size=5), alone, strict=True):
        for name, values in vars(right).items():
            torch.testing.assert_close(getattr(result, name), values, atol=1e-5, rtol=1e-5)


def test_shared_tokens_go_through_the_model_once(vlm, eager):
    vlm.score(rows())  # the first time, it is tried whether rows can share
    before = dataclasses.replace(vlm.work)
    vlm.score(rows(), batch_size=5)
    saved = (vlm.work.alone - before.alone) - (vlm.work.tokens - before.tokens)
    seen = vlm.encoder.encode(rows()[0]).seen
    assert saved >= 3 * seen if vlm.plain_because is None else saved == 0


def test_the_vision_tower_sees_every_picture_once(tiny, eager):
    vlm = load(tiny("llava"))
    vlm.score(rows())
    pictures = []
    vlm.model.model.vision_tower.register_forward_hook(lambda *call: pictures.append(len(call[2][0])))
    vlm.score(rows(), batch_size=5)
    assert pictures == [2]


def test_a_model_that_sees_more_than_the_past_keeps_to_plain_forwards(tiny):
    vlm = load(tiny("gemma3"))
    vlm.score(rows())
    assert "sliding_attention" in vlm.plain_because


def test_a_model_whose_losses_differ_when_packed_keeps_to_plain_forwards(tiny, eager):
    # Gemma's image tokens see those after them, which its configuration does not tell.
    vlm = load(tiny("gemma3"), layer_types=["full_attention"] * 2)
    assert vlm.plain_because is None
    alone = [signals for row in rows() for signals in vlm.score([row])]
    for result, right in zip(vlm.score(rows(), batch_size=5), alone, strict=True):
        torch.testing.assert_close(result.nll, right.nll, atol=1e-5, rtol=0)
    assert "losses differ by" in vlm.plain_because


def test_a_row_that_the_model_refuses_does_not_tell_whether_rows_can_share(tiny, eager, monkeypatch):
    vlm = load(tiny("llava"))
    forward, refused = type(vlm.model).forward, []

    def refuse(self, input_ids, **inputs):
        if not refused:  # the first of the two rows of the trial
            refused.append(input_ids)
            raise ValueError("the model does not like it")
        return forward(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(type(vlm.model), "forward", refuse)
    assert not any(isinstance(result, RowError) for result in vlm.score(rows()))
    assert vlm.plain_because is None
    assert vlm.work.tokens < vlm.work.alone


def test_another_attention_than_sdpa_is_never_packed(tiny):
    assert "only sdpa" in load(tiny("llava"), attention="eager").plain_because


@pytest.mark.parametrize("architecture", PACKED)
def test_packs_beside_packs_and_single_rows(tiny, architecture, eager):
    vlm = load(tiny(architecture))
    other = about(RowImage(encode(stripes(30, 40, seed=9))), "what colour is it, and why?", "none")
    mixed = [*rows(), other, Conversation((Turn("user", ("and?",)), Turn("assistant", ("no",))))]
    encoded = [vlm.encoder.encode(row) for row in mixed]
    vlm.signals(encoded)
    for result, row in zip(vlm.signals(encoded), encoded, strict=True):
        torch.testing.assert_close(result.nll, vlm.signals([row])[0].nll, atol=1e-5, rtol=0)


def encoded(ids, response_from, seen=2, opening=b"same"):
    tokens = torch.tensor([ids])
    return Encoded({"input_ids": tokens}, torch.arange(len(ids))[None] >= response_from, seen, opening)


def places(rows, allows=lambda *_: True):
    return [(pack.places, pack.shared, pack.length) for pack in pack(rows, range(len(rows)), allows)]


def test_rows_share_what_is_equal_in_all_but_the_token_before_the_response():
    rows = [encoded([1, 2, 3, 4, 5, 6], 5), encoded([1, 2, 3, 9, 5], 4)]
    assert places(rows) == [((0, 1), 3, 8)]
    assert places([rows[0], rows[0]]) == [((0, 1), 4, 8)]


def test_rows_with_another_opening_or_none_stay_alone():
    rows = [encoded([1, 2, 3, 4], 3), encoded([1, 2, 3, 4], 3, opening=b"other")]
    assert places(rows) == [((0,), 0, 4), ((1,), 0, 4)]
    rows = [encoded([1, 2, 3, 4], 3, seen=0, opening=b"")] * 2
    assert places(rows) == [((0,), 0, 4), ((1,), 0, 4)]


def test_an_answer_before_a_picture_is_not_shared():
    assert places([encoded([1, 2, 3, 4], 1, seen=3)] * 2) == [((0,), 0, 4), ((1,), 0, 4)]


def test_packs_keep_to_what_is_allowed_and_to_few_own_tokens():
    rows = [encoded([1, 2, 3, 4, 5, 6], 5)] * 5
    assert [len(them) for them, *_ in places(rows, lambda rows, tokens: rows <= 2)] == [2, 2, 1]
    assert [len(them) for them, *_ in places(rows, lambda rows, tokens: tokens <= 10)] == [3, 2]
    rows = [encoded([1, 2, 3] + [9] * 16, 3)] * 3
    assert places(rows) == places(rows, lambda *_: False) == [((i,), 0, 19) for i in range(3)]


def test_a_row_sees_what_is_shared_and_itself():
    whose = owners([[3, 4], [2]], [2, 0])
    assert whose.tolist() == [[0, 0, 1, 2, 2], [1, 1, -1, -1, -1]]
    mask = attention_mask(whose)[:, 0].int().tolist()
    assert mask[0] == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]
    assert [row[:2] for row in mask[1][:2]] == [[1, 0], [1, 1]]
    assert all(any(row) for row in mask[1])


def test_branch_keeps_the_first_beginning():
    assert branch([torch.tensor([1, 2, 3]), torch.tensor([7, 8, 4, 5])], 2).tolist() == [1, 2, 3, 4, 5]


def test_singles():
    rows = [encoded([1, 2, 3], 2), encoded([1, 2], 1)]
    assert singles(rows, [1]) == [Pack((1,), 0, 2)]
