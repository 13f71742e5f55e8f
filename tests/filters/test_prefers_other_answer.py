"""PrefersOtherAnswer: rows by their odds, and the evidence."""

import numpy as np
import pytest

from hf_vitselect.filters import NothingToGoByError, PrefersOtherAnswer, Rows


def make_rows(odds, answers, **others):
    columns = {"other_answer_odds": np.array(odds), "other_answer": np.array(answers, dtype=object)}
    return Rows.of(np.zeros(len(odds)), columns=columns, **others)


ROWS = make_rows([0.0, 4.0, np.nan, 9.5, 3.9], [None, "two", None, "it is\na cat", "no"])


def test_highest_odds_go_first():
    drops = PrefersOtherAnswer(log_odds=4.0).find(ROWS)
    assert drops.rows.tolist() == [3, 1]
    assert drops.reasons == [
        "the model prefers 'it is a cat' by log odds of 9.50",
        "the model prefers 'two' by log odds of 4.00",
    ]


def test_long_answers_show_their_end():
    rows = make_rows([0.0, 5.0], [None, "word " * 50 + "end"])
    (reason,) = PrefersOtherAnswer().find(rows).reasons
    assert "'... " in reason
    assert "word end' by log odds" in reason
    assert len(reason) < 120


def test_equal_odds_decide_nothing():
    with pytest.raises(NothingToGoByError, match="different values in 'other_answer_odds'"):
        PrefersOtherAnswer().find(make_rows([0.0, 0.0, np.nan], [None] * 3))


@pytest.mark.parametrize("log_odds", [0.0, -1.0, np.inf, np.nan])
def test_invalid_odds_are_refused(log_odds):
    with pytest.raises(ValueError, match="log_odds: expected above 0"):
        PrefersOtherAnswer(log_odds=log_odds)
