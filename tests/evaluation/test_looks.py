"""Trials that stop early: which are run, what is recorded, and that a second call changes nothing."""

import json

import numpy as np
import pytest
from trainings import models, training

from hf_vitselect.evaluation import compare
from hf_vitselect.evaluation.stopping import look_levels
from hf_vitselect.rules import Random, TopScore

SEEDS = 6


def clear(model):
    """A benchmark in which the first method wins beyond doubt and the second equals random rows."""
    seed = int(model.partition("seed_")[2][0])
    rows = np.array([0.1, 0.9, 0.4, 0.2])
    return rows * (1 + seed / 1000) + ("/best/" in model) * (1 + rows / 100)


def vague(model):
    """A benchmark whose trend is too weak for a verdict, and too strong to give up."""
    seed = int(model.partition("seed_")[2][0])
    return 0.1 * (seed % 3) + 0.14 * ("/best/" in model)


def compared(scored_pool, tiny, folder, evaluation, **changes):
    options = {"budgets": [3], "seeds": SEEDS, "args": training(folder), "matched": [], "stop_early": True}
    selections = {"best": TopScore(), "same": Random()}
    return compare(
        scored_pool, selections, tiny("llava").folder, {"score": evaluation}, folder, **{**options, **changes}
    )


@pytest.fixture(scope="module")
def stopped(scored_pool, tiny, tmp_path_factory):
    """A comparison that stops at its first look, and its folder."""
    folder = tmp_path_factory.mktemp("stopped")
    return compared(scored_pool, tiny, folder, clear), folder


def test_settled_methods_train_no_further(stopped):
    comparison, folder = stopped
    assert len(models(folder)) == 3 * 3
    lines = {line.method: line for line in comparison.lines["score"]}
    assert {name: len(line.means) for name, line in lines.items()} == {"random": 3, "best": 3, "same": 3}
    assert lines["best"].random.verdict == "better"
    assert lines["best"].random.level == look_levels(SEEDS, 0.05 / 2)[3]
    assert lines["same"].random.verdict == "not distinguishable"


def test_looks_are_recorded_and_shown(stopped):
    comparison, folder = stopped
    record = json.loads((folder / "comparison.json").read_text())
    assert record["planned_seeds"] == SEEDS
    decisions = [(look["method"], look["seeds"], look["decision"]) for look in record["looks"]]
    assert decisions == [("best", 3, "verdict"), ("same", 3, "hopeless")]
    assert "## Looks, 6 seeds planned" in (folder / "comparison.md").read_text()
    assert "95% for all 2 comparisons and looks together" in str(comparison)


def test_second_call_stops_there_too(stopped, scored_pool, tiny):
    comparison, folder = stopped
    made = models(folder)
    assert str(compared(scored_pool, tiny, folder, clear)) == str(comparison)
    assert models(folder) == made


def test_vague_method_runs_alone(scored_pool, tiny, tmp_path):
    comparison = compared(scored_pool, tiny, tmp_path, vague)
    seeds = {line.method: len(line.means) for line in comparison.lines["score"]}
    assert seeds == {"random": SEEDS, "best": SEEDS, "same": 3}
    assert [look.seeds for look in comparison.looks if look.method == "best"] == [3, 4, 5, 6]


def test_same_cost_stops_with_its_method(scored_pool, tiny, tmp_path):
    folder, run = tmp_path / "compare", tmp_path / "run"
    run.mkdir()
    (run / "score.json").write_text(json.dumps({"settings": {}, "seconds": 3600.0}))
    comparison = compared(scored_pool, tiny, folder, clear, run=run, same_cost=True)
    assert len(models(folder)) == 4 * 3
    lines = [line for line in comparison.lines["score"] if line.same_cost]
    assert [(line.method, line.same_cost.verdict) for line in lines] == [
        ("best", "better"),
        ("same", "not distinguishable"),
    ]
    assert [look.against for look in comparison.looks] == ["random", "random, same cost"] * 2
