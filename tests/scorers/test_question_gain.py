"""QuestionGain: the losses of a slow loop with and without the questions, and the rows that have no gain."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Value
from pools import assistant, png, pool, user
from slow_losses import slow_means, talks
from tiny import ARCHITECTURES
from transformers import AutoProcessor

from hf_vitselect import QuestionGain
from hf_vitselect.models.response_forward import ResponseForward


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gains_equal_a_slow_loop(tiny, architecture):
    model, most = tiny(architecture), 1 if architecture == "blip2" else 2
    scored = talks(most=most).map(QuestionGain(model.folder, processor=model.processor), batched=True)
    asked, unasked = slow_means(model, talks(most=most)), slow_means(model, talks(questions=False, most=most))
    assert [tokens for _, tokens in asked] == [tokens for _, tokens in unasked]
    right = [without / given for (given, _), (without, _) in zip(asked, unasked, strict=True)]
    np.testing.assert_allclose(scored["question_gain"][:], right, atol=1e-5, rtol=0)
    assert max(abs(ratio - 1) for ratio in right) > 1e-2


def test_blank_questions_gain_nothing(tiny):
    scored = talks().map(QuestionGain(tiny("llava").folder), batched=True)
    assert scored["question_gain"][4] == pytest.approx(1, abs=1e-6)


def test_a_system_turn_is_no_question(tiny):
    def talk(system, question):
        turns = [{"role": "system", "content": [{"type": "text", "text": system}]}]
        return [*turns, user(question, 1), assistant("red")], [png()]

    model = tiny("llava")
    scored = pool([talk("what colour is it?", "and?")]).map(QuestionGain(model.folder), batched=True)
    (given, _), (without, _) = slow_means(model, pool([talk("what colour is it?", q) for q in ("and?", "")]))
    assert scored["question_gain"][0] == pytest.approx(without / given, abs=1e-5)


def test_certain_answers_have_no_ratio(tiny, monkeypatch):
    forward = ResponseForward.__call__

    def certain(self, rows, sequences):
        stats = forward(self, rows, sequences)
        return {index: replace(row, nll=torch.zeros_like(row.nll)) for index, row in stats.items()}

    monkeypatch.setattr(ResponseForward, "__call__", certain)
    scored = talks().map(QuestionGain(tiny("llava").folder), batched=True)
    assert set(scored["question_gain_status"]) == {"non_finite"}
    assert scored["question_gain"][:] == [None] * 5


def test_other_response_tokens_are_bad_rows(tiny):
    # Nothing between question and answer: "s" and "tem" make the one token "stem".
    model = tiny("llava")
    processor = AutoProcessor.from_pretrained(model.folder)
    processor.chat_template = (
        "<s>{% for m in messages %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endfor %}</s>"
    )
    rows = pool([([user("s"), assistant("tem")], []), ([user("1 "), assistant("tem")], [])])
    scored = rows.map(QuestionGain(model.folder, processor=processor), batched=True)
    assert scored["question_gain_status"][:] == ["bad_row", "ok"]


def test_columns_have_exact_types():
    assert list(QuestionGain("no/such-model", column="x").features.items()) == [
        ("x", Value("float32")),
        ("x_status", Value("string")),
        ("x_reason", Value("string")),
    ]
