"""What a model knows of held-out rows, checked against its own generation and against values by hand."""

import shutil
from functools import partial

import numpy as np
import pytest
from datasets import List, Value, concatenate_datasets
from pools import assistant, mixed_pool, png, pool, user
from safetensors.torch import load_file, save_file

from hf_vitselect.data.row_ids import row_contents
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.evaluation import ExactMatch, Generated, LogLikelihood, MultipleChoice, held_out
from hf_vitselect.evaluation.held_out import response_losses
from hf_vitselect.scorers import NecessityScorer


def test_log_likelihood_is_negative_loss(tiny):
    rows, model = mixed_pool(6), tiny("llava").folder
    losses = rows.map(NecessityScorer(model), batched=True)["necessity"][:]
    np.testing.assert_allclose(LogLikelihood(rows)(model), -np.array(losses), atol=1e-5)


def choices(answers):
    rows = pool([([user(f"which? {i}", 1), assistant(answer)], [png(i)]) for i, answer in enumerate(answers)])
    options = [["red", "green", "a blue circle"]] * len(answers)
    return rows.add_column("options", options, feature=List(Value("string")))


def test_multiple_choice_takes_likeliest_option(tiny):
    model = tiny("llava").folder
    likely = np.array(
        [LogLikelihood(choices([option] * 5))(model) for option in ("red", "green", "a blue circle")]
    )
    result = [MultipleChoice(choices([option] * 5))(model) for option in ("red", "green", "a blue circle")]
    np.testing.assert_array_equal(result, likely == likely.max(axis=0))


def test_answer_must_be_an_option(tiny):
    with pytest.raises(ColumnError, match="expected the answer 'yellow' among the options"):
        MultipleChoice(choices(["yellow"]))(tiny("llava").folder)
    with pytest.raises(ColumnError, match="expected a column 'choices'"):
        MultipleChoice(choices(["red"]), options="choices")(tiny("llava").folder)


def test_unreadable_row_is_an_error(tiny):
    broken = pool([([user("what?", 1), assistant("red")], [b"no image"])])
    for evaluation in (ExactMatch(broken), Generated(broken)):
        with pytest.raises(RowError, match="image_error"):
            evaluation(tiny("llava").folder)


def test_identity_covers_rows_and_settings():
    rows = mixed_pool(4)
    assert ExactMatch(rows).identity() == ExactMatch(mixed_pool(4)).identity()
    others = [ExactMatch(mixed_pool(5)), LogLikelihood(rows), MultipleChoice(rows), Generated(rows)]
    assert len({str(other.identity()) for other in [ExactMatch(rows), *others]}) == 5


def test_rows_are_asked_once(tiny, monkeypatch):
    rows, model = mixed_pool(6), tiny("llava").folder
    alone = ExactMatch(rows)(model)
    asked = []
    monkeypatch.setattr(held_out, "response_losses", partial(counted_losses, asked))
    LogLikelihood(rows)(model)
    assert asked == []
    assert ExactMatch(concatenate_datasets([rows.select([4, 1]), mixed_pool(8)]))(model)[:2] == [
        alone[4],
        alone[1],
    ]
    assert sum(asked) == len(set(row_contents(mixed_pool(8))) - set(row_contents(rows)))


def test_changed_model_is_asked_again(tiny, tmp_path):
    rows, model = mixed_pool(2), tmp_path / "model"
    shutil.copytree(tiny("llava").folder, model)
    before = LogLikelihood(rows)(str(model))
    weights = load_file(model / "model.safetensors")
    save_file(
        {name: 2 * tensor for name, tensor in weights.items()}, model / "model.safetensors", {"format": "pt"}
    )
    assert LogLikelihood(rows)(str(model)) != before


def counted_losses(asked, vlm, rows, batch_size):
    asked.append(len(rows))
    return response_losses(vlm, rows, batch_size)
