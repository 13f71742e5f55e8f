"""Stages of a run that choose rows."""

from hf_vitselect.report.cost import stages_that_choose

ROUNDS = ["seed", "score", "select", "train", "score_2", "select_2", "push", "train_2", "compare"]


def test_trainings_that_score_are_counted():
    seconds = {name: float(i) for i, name in enumerate(ROUNDS)}
    assert [*stages_that_choose(seconds)] == ["seed", "score", "select", "train", "score_2", "select_2"]


def test_last_training_chooses_nothing():
    assert stages_that_choose({"score": 1.0, "train": 2.0}) == {"score": 1.0}
