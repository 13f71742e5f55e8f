"""Comparisons that resume, and what they report, on a model that learns nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig
from pools import mixed_pool
from trainings import LANGUAGE_MODEL, config, models, training

from hf_vitselect import score_candidates, select_diverse
from hf_vitselect.errors import LayoutError, StaleRunError, UsageError
from hf_vitselect.evaluation import ExactMatch, LogLikelihood, compare
from hf_vitselect.evaluation.trials import Trial
from hf_vitselect.filters import LossTail
from hf_vitselect.rules import Random, TopScore
from hf_vitselect.scorers import NecessityScorer
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import train_seed_model

ROWS = 8


def half(model):
    """A single score, as a benchmark's harness gives."""
    return 0.5


def compared(pool, tiny, folder, selections=None, **changes):
    held_out = mixed_pool(6, seed=900)
    evaluations = {
        "log-likelihood": LogLikelihood(held_out),
        "exact match": ExactMatch(held_out),
        "half": half,
    }
    selections = selections or {"top": TopScore(), "mine": select_diverse(pool, 5, rule=Random(), seed=9)}
    options = {"budgets": [ROWS], "seeds": 2, "args": training(folder), "columns": ["kind"]}
    options["matched"] = ["top"] if "top" in selections else []
    return compare(pool, selections, tiny("llava").folder, evaluations, folder, **{**options, **changes})


@pytest.fixture(scope="module")
def finished(scored_pool, tiny, tmp_path_factory):
    """A comparison: what was returned, its folder, and when its models were made."""
    folder = tmp_path_factory.mktemp("compare")
    return compared(scored_pool, tiny, folder), folder, models(folder)


def test_one_line_per_method_and_size(finished):
    comparison, _, made = finished
    lines = [(line.method, line.rows) for line in comparison.lines["exact match"]]
    top = [("random", ROWS), ("top", ROWS), ("random, lengths of top", ROWS)]
    assert lines == [*top, ("random", 5), ("mine", 5)]
    assert len(made) == 2 * len(lines)
    assert all(len(line.means) == 2 and line.tokens > 0 for line in comparison.lines["half"])


def test_adapters_are_compared_from_their_weights(scored_pool, tiny, tmp_path):
    lora = LoraConfig(target_modules=LANGUAGE_MODEL, init_lora_weights=False)
    train_seed_model(scored_pool, tiny("llava").folder, 4, config(tmp_path / "seed"), peft_config=lora)
    held_out = mixed_pool(6, seed=900)
    comparison = compare(
        scored_pool,
        {"top": TopScore()},
        str(tmp_path / "seed"),
        {"log-likelihood": LogLikelihood(held_out)},
        tmp_path / "compare",
        args=training(tmp_path, learning_rate=0.0),
        budgets=[ROWS],
        seeds=1,
        matched=[],
    )
    scored = held_out.map(NecessityScorer(str(tmp_path / "seed")), batched=True)
    of_seed = -np.mean(scored["necessity"][:])
    means = [line.means for line in comparison.lines["log-likelihood"]]
    np.testing.assert_allclose(np.ravel(means), of_seed, rtol=1e-5)


def test_random_rows_differ_by_seed(finished, scored_pool):
    folder = finished[1] / "trials"
    first, second = (
        Selection.load_from_disk(folder / f"random/{ROWS}_rows/seed_{seed}/subset") for seed in (0, 1)
    )
    assert set(first.indices) != set(second.indices)
    assert {3, 17}.isdisjoint({*first.indices, *second.indices})
    mine = Selection.load_from_disk(folder / "mine/5_rows/seed_0/subset")
    assert mine.row_ids == select_diverse(scored_pool, 5, rule=Random(), seed=9).row_ids


def test_matched_rows_have_equal_lengths(finished):
    *lengths, _ = [
        row for row in finished[0].composition[ROWS] if row["rows"].startswith("response_characters")
    ]
    assert all(row["top"] == row["random, lengths of top"] for row in lengths)


def test_scores_come_from_the_model(finished):
    comparison, folder, _ = finished
    model = folder / "trials/top" / f"{ROWS}_rows" / "seed_1/model"
    line = next(line for line in comparison.lines["log-likelihood"] if line.method == "top")
    assert line.means[1] == pytest.approx(np.mean(LogLikelihood(mixed_pool(6, seed=900))(str(model))))


def test_trackers_see_named_runs(finished):
    saved = finished[1] / "trials/top" / f"{ROWS}_rows" / "seed_1/model/training_args.bin"
    assert torch.load(saved, weights_only=False).run_name == f"top, {ROWS} rows, seed 1"


def test_table_verdicts_and_plot_are_saved(finished):
    comparison, folder, _ = finished
    text = (folder / "comparison.md").read_text()
    assert text == f"{comparison}\n"
    for part in (
        "| less random",
        "| kind: caption",
        "not distinguishable from random with 2 seeds",
        "Overlap",
        "The seconds of scores are unknown",
    ):
        assert part in text
    assert "a single score per model" in text.split("## half")[1]
    record = json.loads((folder / "comparison.json").read_text())
    assert record["lines"]["half"][0]["means"] == [0.5, 0.5]
    assert [(row["method"], row["rows"]) for row in record["costs"]] == [("top", ROWS), ("mine", 5)]
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_run_gives_the_net_gain(finished, scored_pool, tiny, tmp_path):
    comparison, folder, _ = finished
    for stage in ("score", "select"):
        (tmp_path / f"{stage}.json").write_text(json.dumps({"settings": {}, "seconds": 5.5}))
    again = compared(scored_pool, tiny, folder, run=tmp_path)
    assert again.results == comparison.results
    assert [row["score"] for row in again.costs] == [5.5, 5.5]
    assert "Net gain" in str(again)
    with pytest.raises(UsageError, match="expected the folder of a run that scored rows"):
        compared(scored_pool, tiny, folder, run=folder)


def test_same_call_trains_nothing_again(finished, scored_pool, tiny):
    comparison, folder, made = finished
    assert str(compared(scored_pool, tiny, folder)) == str(comparison)
    assert models(folder) == made
    compared(scored_pool, tiny, folder, {"top": TopScore()}, seeds=3)
    assert {path: time for path, time in models(folder).items() if path in made} == made
    assert len(models(folder)) == len(made) + 3


def test_killed_comparison_resumes(scored_pool, tiny, tmp_path):
    deadly = {"seed_1"}

    def die(model):
        if any(seed in model for seed in deadly):
            raise KeyboardInterrupt
        return [0.0, 1.0]

    options = {"budgets": [3], "seeds": 2, "args": training(tmp_path), "matched": []}
    call = (scored_pool, {"top": TopScore()}, tiny("llava").folder)
    with pytest.raises(KeyboardInterrupt):
        compare(*call, {"die": die}, tmp_path, **options)
    made = models(tmp_path)
    assert len(made) == 3
    deadly.clear()
    compare(*call, {"die": die}, tmp_path, **options)
    assert len(models(tmp_path)) == 4
    assert made.items() <= models(tmp_path).items()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"args": {"learning_rate": 0.5}}, r"args.learning_rate: 0.01 then, 0.5 now"),
        ({"selections": {"top": TopScore(lowest=True)}}, r"rule: 'TopScore\(lowest=False\)' then"),
        ({"selections": {"top": Method(rule=TopScore(), by="loss")}}, r"method.by: '\"necessity\"' then"),
        ({"selections": {"top": Method(rule=TopScore(), over="clip")}}, r"method.over: '\"embedding\"' then"),
        ({"scores": True}, r"columns.necessity"),
    ],
    ids=["training", "rule", "by", "over", "scores"],
)
def test_changed_settings_are_refused_by_name(changes, message, finished, scored_pool, tiny):
    folder, pool = finished[1], scored_pool.add_column("loss", scored_pool["necessity"][:])
    if changes.pop("scores", None):
        pool = pool.remove_columns("necessity").add_column("necessity", np.arange(40.0).tolist())
    if "args" in changes:
        changes["args"] = training(folder, **changes["args"])
    with pytest.raises(StaleRunError, match=message):
        compared(pool, tiny, folder, **{"selections": {"top": TopScore()}, **changes})


def test_two_processes_give_equal_scores(finished, scored_pool, tiny, tmp_path):
    alone = [line for line in finished[0].lines["log-likelihood"] if line.rows == ROWS]
    held_out = {"log-likelihood": LogLikelihood(mixed_pool(6, seed=900))}
    options = {"budgets": [ROWS], "seeds": 2, "args": training(tmp_path), "matched": ["top"], "processes": 2}
    result = compare(scored_pool, {"top": TopScore()}, tiny("llava").folder, held_out, tmp_path, **options)
    for one, other in zip(result.lines["log-likelihood"], alone, strict=True):
        np.testing.assert_allclose(one.means, other.means, atol=1e-5)


def test_full_data_has_its_own_line(scored_pool, tiny, tmp_path):
    result = compared(
        scored_pool,
        tiny,
        tmp_path,
        {"net": Method(rule=TopScore(), by="necessity")},
        full=True,
        seeds=1,
    ).lines["log-likelihood"]
    assert [(line.method, line.rows) for line in result] == [
        ("full data", 38),
        ("random", ROWS),
        ("net", ROWS),
    ]
    assert result[0].of_full == 1
    assert result[0].verdict == ""
    assert "not distinguishable from random with 1 seed" in result[2].verdict


def test_selection_of_another_pool_is_refused(scored_pool, tiny, tmp_path):
    other = select_diverse(scored_pool.select(range(20)), 5, rule=Random())
    with pytest.raises(LayoutError, match="'mine' is of another one"):
        compared(scored_pool, tiny, tmp_path, {"mine": other})


@pytest.mark.parametrize("names", [["random"], ["full data"], ["a b", "a_b"]])
def test_names_sharing_folders_are_refused(names, scored_pool, tiny, tmp_path):
    with pytest.raises(ValueError, match="expected other names"):
        compared(scored_pool, tiny, tmp_path, dict.fromkeys(names, TopScore()))


def test_unknown_matched_name_is_refused(scored_pool, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"matched: expected some of \['top'\], got \['typo'\]"):
        compared(scored_pool, tiny, tmp_path, {"top": TopScore()}, matched=["typo"])


def test_tensorboard_gets_a_run_each(scored_pool, tiny, tmp_path):
    args = replace(training(tmp_path), report_to=["tensorboard"])
    compared(scored_pool, tiny, tmp_path, {"top": TopScore()}, matched=[], args=args)
    trials = {file.relative_to(tmp_path / "trials").parts[:3] for file in tmp_path.rglob("events.out*")}
    folders = [("random", "seed_0"), ("random", "seed_1"), ("top", "seed_0"), ("top", "seed_1")]
    assert trials == {(name, f"{ROWS}_rows", seed) for name, seed in folders}


def test_training_takes_most_seconds(finished):
    folder = finished[1] / "trials/top" / f"{ROWS}_rows" / "seed_1"
    trial = Trial("top", ROWS, 1, folder, {})
    last = json.loads((folder / "model/trainer_state.json").read_text())["log_history"][-1]
    assert trial.training == last["train_runtime"] > 0
    assert trial.training <= trial.seconds + 0.05  # which are rounded


def test_random_rows_of_the_same_cost(scored_pool, tiny, tmp_path):
    folder, run = tmp_path / "compare", tmp_path / "run"
    run.mkdir()
    (run / "score.json").write_text(json.dumps({"settings": {}, "seconds": 3600.0}))
    options = {"selections": {"top": TopScore()}, "seeds": 1, "run": run, "same_cost": True}
    comparison = compared(scored_pool, tiny, folder, **options)
    usable = sum(status == "ok" for status in scored_pool["necessity_status"])
    lines = {(line.method, line.rows): line for line in comparison.lines["half"]}
    assert lines["top", ROWS].same_cost_rows.rows == usable  # an hour of scores is worth all rows
    assert ("random", usable) in lines
    assert f"{usable:,} random rows, which cost no more" in comparison.results
    assert list(comparison.composition) == [ROWS]
    assert comparison.costs[0]["same cost, rows"] == usable
    made = models(folder)
    assert str(compared(scored_pool, tiny, folder, **options)) == str(comparison)
    assert models(folder) == made


def test_same_cost_needs_seconds(scored_pool, tiny, tmp_path):
    with pytest.raises(UsageError, match="same_cost: expected run="):
        compared(scored_pool, tiny, tmp_path, same_cost=True)
    assert not models(tmp_path)


def test_rows_without_scores_are_random_too(tiny, tmp_path):
    pool, method = mixed_pool(60), Method(filters=(LossTail(),))
    scorer = NecessityScorer(model=tiny("llava").folder)
    scored = score_candidates(pool, [scorer], 4, tmp_path / "scores", method=method)
    tried = np.array(scored["necessity_status"]) != "not_scored"
    assert 4 <= tried.sum() < 50
    mine = select_diverse(scored, 4, method=method)
    comparison = compared(
        scored, tiny, tmp_path, {"mine": mine}, seeds=1, matched=["mine"], full=True, columns=[]
    )
    lines = {line.method: line.rows for line in comparison.lines["half"]}
    full = lines.pop("full data")
    assert full == len(scored) - np.isin(scored["necessity_status"], ["ok", "not_scored"], invert=True).sum()
    assert lines == {"random": 4, "mine": 4, "random, lengths of mine": 4}
    assert "response_characters: mean" in str(comparison)
    with pytest.raises(UsageError, match="expected scores of all rows"):
        compared(scored, tiny, tmp_path / "other", {"top": TopScore()}, columns=[])
