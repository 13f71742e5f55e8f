"""What a model knows of held-out rows, checked against its own generation and against values by hand."""

import numpy as np
import pytest
from datasets import List, Value
from pools import assistant, mixed_pool, png, pool, user

from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.evaluation import ExactMatch, Generated, LogLikelihood, MultipleChoice
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
