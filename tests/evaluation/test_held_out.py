"""What a model knows of held-out rows, checked against its own generation and against values by hand."""

import numpy as np
import pytest
import torch
from datasets import List, Value
from pools import assistant, mixed_pool, png, pool, user

from hf_vitselect.data.rows import read_table, undecoded
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.evaluation.by_name import find_evaluation
from hf_vitselect.evaluation.generate import write
from hf_vitselect.evaluation.held_out import ExactMatch, Generated, LogLikelihood, MultipleChoice, token_f1
from hf_vitselect.models.vlm import VLM
from hf_vitselect.scorers import NecessityScorer

FAMILIES = ["llava", "idefics3", "blip2"]


def conversations(rows):
    return [row for table in undecoded(rows) for row in read_table(table)]


def test_log_likelihood_is_the_seed_model_s_loss_less_its_sign(tiny):
    rows, model = mixed_pool(6), tiny("llava").folder
    losses = rows.map(NecessityScorer(model), batched=True)["necessity"][:]
    np.testing.assert_allclose(LogLikelihood(rows)(model), -np.array(losses), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_writes_what_single_rows_do(family, tiny):
    vlm = VLM.load(tiny(family).folder)
    rows = [row for row in conversations(mixed_pool(8)) if len(row.images) < 2]
    alone = [write(vlm, [row], 5)[0] for row in rows]
    assert write(vlm, rows, 5) == alone
    assert any(alone)


@torch.inference_mode()
def slowly(vlm, row, tokens):
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
def test_the_model_is_asked_what_it_was_trained_to_answer(family, tiny):
    vlm = VLM.load(tiny(family).folder)
    rows = conversations(
        pool([([user(f"what? {i}", 1), assistant("red or blue")], [png(i)]) for i in range(4)])
    )
    assert write(vlm, rows, 4) == [slowly(vlm, row, 4) for row in rows]


def choices(answers):
    rows = pool([([user(f"which? {i}", 1), assistant(answer)], [png(i)]) for i, answer in enumerate(answers)])
    options = [["red", "green", "a blue circle"]] * len(answers)
    return rows.add_column("options", options, feature=List(Value("string")))


def test_multiple_choice_takes_the_likeliest_option(tiny):
    model = tiny("llava").folder
    likely = np.array(
        [LogLikelihood(choices([option] * 5))(model) for option in ("red", "green", "a blue circle")]
    )
    found = [MultipleChoice(choices([option] * 5))(model) for option in ("red", "green", "a blue circle")]
    np.testing.assert_array_equal(found, likely == likely.max(axis=0))


def test_an_answer_that_is_no_option_is_an_error(tiny):
    with pytest.raises(ColumnError, match="expected the answer 'yellow' among the options"):
        MultipleChoice(choices(["yellow"]))(tiny("llava").folder)
    with pytest.raises(ColumnError, match="expected a column 'choices'"):
        MultipleChoice(choices(["red"]), options="choices")(tiny("llava").folder)


def test_generated_answers_go_to_the_metric(tiny):
    seen = {}

    def metric(answers, right):
        seen.update(answers=answers, right=right)
        return [0.25] * len(answers)

    rows = mixed_pool(6)
    assert Generated(rows, 4, metric, 5)(tiny("llava").folder) == [0.25] * 6
    assert seen["right"] == [row.turns[-1].text for row in conversations(rows)]


def test_token_f1_by_hand():
    answers = ["a red ring", "No.", "", "two big cats", ""]
    right = ["the red circle", "no", "yes", "two cats two", ""]
    assert token_f1(answers, right) == pytest.approx([0.5, 1, 0, 2 / 3, 1])


def test_a_row_that_cannot_be_read_is_an_error(tiny):
    broken = pool([([user("what?", 1), assistant("red")], [b"no picture"])])
    for evaluation in (ExactMatch(broken), Generated(broken)):
        with pytest.raises(RowError, match="image_error"):
            evaluation(tiny("llava").folder)


def test_the_identity_tells_rows_and_settings_apart():
    rows = mixed_pool(4)
    assert ExactMatch(rows).identity() == ExactMatch(mixed_pool(4)).identity()
    others = [ExactMatch(mixed_pool(5)), LogLikelihood(rows), MultipleChoice(rows), Generated(rows)]
    assert len({str(other.identity()) for other in [ExactMatch(rows), *others]}) == 5


def test_evaluations_by_name():
    rows = mixed_pool(3)
    assert find_evaluation("exact_match", rows, 4).identity() == ExactMatch(rows, 4).identity()
    assert find_evaluation("hf_vitselect.evaluation.held_out:token_f1", rows) is token_f1
    with pytest.raises(ValueError, match=r"expected an evaluation among .*token_f1.*got 'bleu'"):
        find_evaluation("bleu", rows)
