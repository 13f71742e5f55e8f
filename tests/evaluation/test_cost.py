"""Seconds of choosing next to those that fewer rows save, computed by hand."""

import json

import pytest

from hf_vitselect.errors import UsageError
from hf_vitselect.evaluation.cost import (
    NET,
    SAME,
    cost_rows,
    find_same_cost,
    refuse_unknown_cost,
    seconds_of_run,
)
from hf_vitselect.evaluation.trials import Trial, trial_folder
from hf_vitselect.evaluation.verdicts import SameCost
from hf_vitselect.training.seed_rows import ROWS_FILE

PICKED, GIVEN = {"method": {}}, {"row_ids": "digest"}
LOADING = 2  # seconds, also of saving
RUN = {"seed": 50.0, "score": 80.0, "select": 3.0}


@pytest.fixture
def trials(tmp_path):
    def make(name, rows, settings, times):
        made = [
            Trial(name, rows, i, trial_folder(tmp_path, name, rows, i), settings) for i in range(len(times))
        ]
        for trial, (picking, fine_tune) in zip(made, times, strict=True):
            trial.folder.mkdir(parents=True)
            for stage, seconds in (("subset", picking), ("model", fine_tune)):
                (trial.folder / f"{stage}.json").write_text(json.dumps({"seconds": seconds}))
            logs = [
                {"loss": 1.0},
                {"loss": 0.9, "train_runtime": 0.1},
                {"train_runtime": fine_tune - LOADING},
            ]
            (trial.folder / "model").mkdir()
            (trial.folder / "model/trainer_state.json").write_text(json.dumps({"log_history": logs}))
        return {(name, rows): made}

    return make


def test_net_gain_counts_all_stages(trials):
    groups = trials("random", 200, PICKED, [(1, 40)]) | trials("mine", 200, PICKED, [(2.0, 30), (0.5, 50)])
    (row,) = cost_rows(groups, RUN, 1000, 1)
    assert row == {
        "method": "mine",
        "rows": 200,
        "seed": 50.0,
        "score": 80.0,
        "picking": 2.0,
        "fine-tune": 40.0,
        "on all rows": 200.0,
        "saved": 160.0,
        NET: 28.0,
        SAME: 895,  # 50 + 80 + 2 + 38 s, of which random rows take 38 for 200
    }


def test_unknown_scores_give_no_gain(trials):
    (row,) = cost_rows(trials("mine", 200, PICKED, [(2, 40)]), {}, 1000, 1)
    assert not {NET, SAME} & row.keys()
    assert row["saved"] == 160.0


def test_given_selections_were_picked_before(trials):
    mine = trials("mine", 200, GIVEN, [(0.1, 40)])
    (row,) = cost_rows(mine, RUN, 1000, 1)
    assert (row["picking"], row[NET]) == (3.0, 160.0 - 50.0 - 80.0 - 3.0)
    (row,) = cost_rows(mine, {"score": 80.0}, 1000, 1)
    assert row["picking"] is None
    assert NET not in row


def test_measured_full_data_comes_first(trials):
    groups = trials("full data", 900, PICKED, [(0, 190)]) | trials("mine", 200, PICKED, [(0, 40)])
    (row,) = cost_rows(groups, {}, 1000, 1)
    assert (row["on all rows"], row["saved"]) == (190.0, 150.0)


def test_baselines_choose_nothing(trials):
    names = ("random", "mine", "random, lengths of mine", "full data")
    groups = {key: made for name in names for key, made in trials(name, 200, PICKED, [(0, 40)]).items()}
    assert [row["method"] for row in cost_rows(groups, RUN, 1000, 1)] == ["mine"]


def test_seconds_come_from_a_run(tmp_path):
    for stage in ("seed", "score", "train"):
        (tmp_path / f"{stage}.json").write_text(json.dumps({"settings": {}, "seconds": 5.5}))
    assert seconds_of_run(tmp_path, "base") == {"seed": 5.5, "score": 5.5}
    assert seconds_of_run(None, "base") == {}


def test_seed_models_are_sunk_cost(tmp_path):
    for stage in ("seed", "score"):
        (tmp_path / f"{stage}.json").write_text(json.dumps({"settings": {}, "seconds": 5.5}))
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / ROWS_FILE).touch()
    assert seconds_of_run(tmp_path, str(tmp_path / "seed")) == {"score": 5.5}


def test_run_without_scores_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="expected the folder of a run that scored rows"):
            seconds_of_run(folder, "base")


def test_same_cost_is_at_most_usable(trials):
    groups = trials("random", 200, PICKED, [(1, 40)]) | trials("mine", 200, PICKED, [(2.0, 40)])
    assert find_same_cost(groups, RUN, 1000, 1, 950) == {("mine", 200): SameCost(895, 1)}
    assert find_same_cost(groups, RUN, 1000, 1, 700) == {("mine", 200): SameCost(700, 1)}


def test_unknown_costs_are_refused():
    refuse_unknown_cost(RUN, ["mine"], -1)
    refuse_unknown_cost({"score": 80.0}, [], -1)
    with pytest.raises(UsageError, match="expected run="):
        refuse_unknown_cost({}, [], -1)
    with pytest.raises(UsageError, match="'mine' is a finished selection"):
        refuse_unknown_cost({"score": 80.0}, ["mine"], -1)
    with pytest.raises(UsageError, match="whole epochs, got max_steps=5"):
        refuse_unknown_cost(RUN, [], 5)


def test_same_cost_needs_some_cost(trials):
    groups = trials("random", 200, PICKED, [(1, 40)]) | trials("mine", 200, PICKED, [(0.01, 40)])
    assert find_same_cost(groups, {"score": 0.05}, 1000, 1, 950) == {}


def test_random_rows_give_the_cost(trials):
    groups = trials("random", 200, PICKED, [(1, 21)]) | trials("mine", 200, PICKED, [(2.0, 40)])
    assert find_same_cost(groups, {"score": 17.0}, 1000, 1, 950) == {("mine", 200): SameCost(600, 1)}


def test_uses_divide_the_cost(trials):
    groups = trials("random", 200, PICKED, [(1, 42)]) | trials("mine", 200, PICKED, [(20.0, 42)])
    assert find_same_cost(groups, {"score": 100.0}, 1000, 3, 950) == {("mine", 200): SameCost(400, 3)}
