"""OtherAnswer: the odds of a slow loop, and the model's own answer in words."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Value
from pools import assistant, pool, user
from slow_losses import slow_logits, talks
from tiny import ARCHITECTURES

from hf_vitselect import OtherAnswer
from hf_vitselect.data.rows import read_rows
from hf_vitselect.models.response_forward import ResponseForward
from hf_vitselect.models.vlm import VLM


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_odds_equal_a_slow_loop(tiny, architecture):
    model, most = tiny(architecture), 1 if architecture == "blip2" else 2
    scored = talks(most=most).map(OtherAnswer(model.folder, processor=model.processor), batched=True)
    odds = [
        (logits.max(-1).values - logits.gather(-1, tokens[:, None])[:, 0]).max().item()
        for logits, tokens in slow_logits(model, talks(most=most))
    ]
    np.testing.assert_allclose(scored["other_answer_odds"][:], odds, atol=1e-5, rtol=0)
    assert min(odds) > 0


CONVERSATION = [user("what is it?"), assistant("a red circle"), user("sure?"), assistant("red circle")]
TOKENS = ["a", "red", "circle", "</s>", "red", "circle", "</s>"]


def choose(monkeypatch, at=None, like=0):
    """Make the model certain of all tokens but one, where it prefers by 3 nats the one at another place."""
    forward = ResponseForward.__call__

    def certain(self, rows, sequences):
        changed = {}
        for index, row in forward(self, rows, sequences).items():
            choice, odds = row.token.clone(), torch.zeros_like(row.nll)
            if at is not None and len(choice) == len(TOKENS):  # not a probe of the processor
                choice[at], odds[at] = row.token[like], 3.0
            changed[index] = replace(row, choice=choice, log_odds=odds)
        return changed

    monkeypatch.setattr(ResponseForward, "__call__", certain)


@pytest.mark.parametrize(
    ("at", "like", "answer"),
    [
        (0, 1, "red"),
        (1, 2, "a circle"),
        (1, 3, "a"),
        (3, 1, "a red circle red"),
        (4, 5, "circle"),
        (5, 4, "red red"),
    ],
)
def test_answer_begins_in_its_turn(tiny, monkeypatch, at, like, answer):
    folder = tiny("llava").folder
    dataset = pool([(CONVERSATION, [])])
    (stats,) = VLM.load(folder).score([*read_rows(dataset)])
    assert [stats.tokenizer.decode(token).strip() for token in stats.token] == TOKENS
    choose(monkeypatch, at, like)
    scored = dataset.map(OtherAnswer(folder), batched=True)
    assert (scored["other_answer_odds"][:], scored["other_answer"][:]) == ([3.0], [answer])


def test_greedy_answers_have_no_other(tiny, monkeypatch):
    choose(monkeypatch)
    scored = talks().map(OtherAnswer(tiny("llava").folder), batched=True)
    assert scored["other_answer_odds"][:] == [0.0] * 5
    assert scored["other_answer"][:] == [None] * 5
    assert set(scored["other_answer_odds_status"]) == {"ok"}


def test_columns_have_exact_types():
    assert list(OtherAnswer("no/such-model").features.items()) == [
        ("other_answer_odds", Value("float32")),
        ("other_answer", Value("string")),
        ("other_answer_odds_status", Value("string")),
        ("other_answer_odds_reason", Value("string")),
    ]
    assert list(OtherAnswer("no/such-model", column="x").features)[:2] == ["x", "x_text"]
