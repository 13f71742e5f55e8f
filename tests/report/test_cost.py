"""Stages of a run that choose rows."""

from hf_vitselect.report.cost import cost_of_choosing, same_cost_rows, stages_that_choose

ROUNDS = ["seed", "score", "select", "train", "score_2", "select_2", "push", "train_2", "compare"]


def test_trainings_that_score_are_counted():
    seconds = {name: float(i) for i, name in enumerate(ROUNDS)}
    assert [*stages_that_choose(seconds)] == ["seed", "score", "select", "train", "score_2", "select_2"]


def test_scores_may_finish_after_training():
    seconds = {"seed": 5.0, "train": 40.0, "score": 9.0}
    assert stages_that_choose(seconds) == {"seed": 5.0, "score": 9.0}


def test_last_training_chooses_nothing():
    assert stages_that_choose({"score": 1.0, "train": 2.0}) == {"score": 1.0}


def test_same_cost_is_pool_at_most():
    assert same_cost_rows(80.0, 40.0, 200, 1000) == 400
    assert same_cost_rows(440.0, 40.0, 200, 1000) == 1000
    assert same_cost_rows(1.0, 0.0, 200, 1000) == 1000
    assert "random rows" not in cost_of_choosing({"score": 400.0}, 40.0, 200, 1000)
