"""Generated answers, checked against token-by-token decoding and values computed by hand."""

import pytest
import torch
from pools import assistant, mixed_pool, png, pool, user

from hf_vitselect.data.rows import read_table, undecoded
from hf_vitselect.evaluation.generate import Generated, generate, token_f1
from hf_vitselect.models.vlm import VLM

FAMILIES = ["llava", "idefics3", "blip2"]


def conversations(rows):
    return [row for table in undecoded(rows) for row in read_table(table)]


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_generates_like_single_rows(family, tiny):
    vlm = VLM.load(tiny(family).folder)
    rows = [row for row in conversations(mixed_pool(8)) if len(row.images) < 2]
    alone = [generate(vlm, [row], 5)[0] for row in rows]
    assert generate(vlm, rows, 5) == alone
    assert any(alone)


@torch.inference_mode()
def step_by_step(vlm, row, tokens):
    """Greedy decoding token by token, each with a full forward over what stands there so far."""
    encoded = vlm.encoder.encode(row)
    start = int(encoded.response[0].nonzero()[0])
    inputs = {
        name: value[:, :start] if value.shape == encoded.response.shape else value
        for name, value in encoded.inputs.items()
    }
    ends = {vlm.encoder.tokenizer.eos_token_id, int(encoded.inputs["input_ids"][encoded.response][-1])}
    for _ in range(tokens):
        best = vlm.model(**inputs).logits[:, -1:].argmax(-1)
        if int(best) in ends:
            break
        inputs["input_ids"] = torch.cat([inputs["input_ids"], best], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return vlm.encoder.tokenizer.decode(inputs["input_ids"][0, start:], skip_special_tokens=True).strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_matches_step_by_step_decoding(family, tiny):
    vlm = VLM.load(tiny(family).folder)
    rows = conversations(
        pool([([user(f"what? {i}", 1), assistant("red or blue")], [png(i)]) for i in range(4)])
    )
    assert generate(vlm, rows, 4) == [step_by_step(vlm, row, 4) for row in rows]


def test_metric_gets_generated_answers(tiny):
    seen = {}

    def metric(answers, right):
        seen.update(answers=answers, right=right)
        return [0.25] * len(answers)

    rows = mixed_pool(6)
    assert Generated(rows, 4, metric, 5)(tiny("llava").folder) == [0.25] * 6
    assert seen["right"] == [row.turns[-1].text for row in conversations(rows)]


def test_token_f1_computed_by_hand():
    answers = ["a red ring", "No.", "", "two big cats", ""]
    right = ["the red circle", "no", "yes", "two cats two", ""]
    assert token_f1(answers, right) == pytest.approx([0.5, 1, 0, 2 / 3, 1])
