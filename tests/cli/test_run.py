"""A run resumes where it stopped, and refuses what other settings made."""

import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from datasets import load_from_disk
from pools import assistant, mixed_pool, pool, user
from tiny_embedders import save_clip

from hf_vitselect import resume
from hf_vitselect.cli.run import run
from hf_vitselect.errors import ColumnError, LayoutError, RowError, StaleRunError, UsageError
from hf_vitselect.resume import Run
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training import load_seed_rows

TRAINING = {
    "max_steps": 2,
    "learning_rate": "5e-4",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
}


def note(text):
    def work(folder):
        folder.mkdir(exist_ok=True)
        with open(folder / "log", "a") as log:
            log.write(text)

    return work


def test_finished_stages_are_not_repeated(tmp_path):
    for _ in range(2):
        folder = Run(tmp_path).stage("a", {"x": 1}, note("once "))
    assert (folder / "log").read_text() == "once "


def test_failed_stages_are_done_again(tmp_path):
    def fail(folder):
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        Run(tmp_path).stage("a", {"x": 1}, fail)
    assert (Run(tmp_path).stage("a", {"x": 1}, note("done")) / "log").read_text() == "done"


def test_seconds_before_an_error_count(tmp_path, monkeypatch):
    def fail(folder):
        raise KeyboardInterrupt

    clock = iter([0.0, 5.0, 100.0, 101.0])
    with monkeypatch.context() as patch:
        patch.setattr(resume.time, "perf_counter", lambda: next(clock))
        with pytest.raises(KeyboardInterrupt):
            Run(tmp_path).stage("a", {}, fail)
        again = Run(tmp_path)
        again.stage("a", {}, note("done"))
    assert again.seconds == {"a": 6.0}


def test_another_part_is_added(tmp_path):
    for part in ({"rows": 5}, {"rows": 5}, {"rows": 9}, None, {"rows": 7}, None):
        Run(tmp_path).stage("a", {"x": 1}, note(f"{part} "), part)
    assert (tmp_path / "a" / "log").read_text() == "{'rows': 5} {'rows': 9} None "


@pytest.mark.parametrize("unfinished", [False, True], ids=["finished", "unfinished"])
def test_other_settings_are_named(unfinished, tmp_path):
    Run(tmp_path).stage("a", {"x": 1, "y": 2}, note("done"))
    if unfinished:
        state = json.loads((tmp_path / "a.json").read_text())
        (tmp_path / "a.json").write_text(json.dumps({"settings": state["settings"]}))
    with pytest.raises(StaleRunError, match=r"x: 1 then, 3 now"):
        Run(tmp_path).stage("a", {"x": 3, "y": 2}, note("again"))


def test_earlier_changes_make_stages_stale(tmp_path):
    first = Run(tmp_path)
    first.stage("a", {"x": 1}, note("a"))
    first.stage("b", {}, note("b"))
    (tmp_path / "a.json").unlink()
    shutil.rmtree(tmp_path / "a")
    second = Run(tmp_path)
    second.stage("a", {"x": 2}, note("a"))
    with pytest.raises(StaleRunError, match=r"stages_before.a.x: 1 then, 2 now"):
        second.stage("b", {}, note("b"))


def test_all_stages_are_checked_first(tmp_path):
    Run(tmp_path).stage("b", {"y": 1}, note("b"))
    with pytest.raises(StaleRunError, match="y: 1 then, 2 now"):
        Run(tmp_path).refuse_stale({"a": {}, "b": {"y": 2}})


@pytest.mark.parametrize("record", [None, "", "[]", '{"seconds": 1}'])
def test_stages_need_a_record(record, tmp_path):
    note("")(tmp_path / "a")
    if record is not None:
        (tmp_path / "a.json").write_text(record)
    with pytest.raises(StaleRunError, match=r"got none in .*a.json"):
        Run(tmp_path).stage("a", {"x": 1}, note("a"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sleect": {}}, "unknown sections .*sleect"),
        ({"score": {"dataset_name": "x", "modle": "y"}}, "^section score: unknown keys .*modle"),
        ({"select": {"budget": 0.1}, "push": {}}, "^section select: missing .*dataset_name"),
        ({"train": {"hub_token": "hf_secret"}}, r"^section train: expected no hub_token; log in"),
    ],
    ids=["section", "key", "missing", "token"],
)
def test_wrong_configurations_are_refused_first(config, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(config, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_chain_from_seed_to_model(tiny, tmp_path):
    mixed_pool(16).save_to_disk(tmp_path / "pool")
    training = {"model_name_or_path": tiny("llava").folder, **TRAINING}
    config = {
        "seed": {"dataset_name": str(tmp_path / "pool"), "budget": 4, **training},
        "score": {"shard_size": 5},
        "select": {"budget": 0.5, "rule": "TopScore"},
        "train": training,
        "report": None,
    }
    told = run(config, tmp_path / "run").facts["choosing"]
    assert re.fullmatch(r"\d+ s \(seed \d+, score \d+, select \d+\); a fine-tune took .*", told)
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text()) == config
    card = (tmp_path / "run" / "report" / "README.md").read_text()
    assert "## Cost" in card
    assert str(tmp_path) not in card + (tmp_path / "run" / "report" / "run.yaml").read_text()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    assert {path.parent.name for path in made} >= {"seed", "train"}
    selection = Selection.load_from_disk(tmp_path / "run" / "select")
    assert len(selection) == 8
    assert selection.recipe.scorers[0].identity.model == str(tmp_path / "run" / "seed")

    run(config, tmp_path / "run")
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())


def test_run_scores_what_the_method_needs(tiny, tmp_path):
    mixed_pool(16).save_to_disk(tmp_path / "pool")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder}
    run({"score": score, "select": {"budget": 4, "method": "CleanBalanced(need=1.0)"}}, tmp_path / "run")
    recipe = Selection.load_from_disk(tmp_path / "run" / "select").recipe
    assert [scorer.column for scorer in recipe.scorers] == ["necessity", "image_gain"]
    assert not [record.filter for record in recipe.filters if "no column" in (record.skipped or "")]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "MostDiverse()",
            "the features are the column 'embedding', .*clip_name_or_path in the section score",
        ),
        ("SelfFilter()", "the score is the column 'score_net', .* needs a section score_net"),
    ],
)
def test_missing_sections_are_named(method, message, tiny, tmp_path):
    mixed_pool(16).save_to_disk(tmp_path / "pool")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder}
    with pytest.raises(ColumnError, match=message):
        run({"score": score, "select": {"method": method}}, tmp_path / "other")
    assert not (tmp_path / "other" / "score").exists()


def scored_rows(folder):
    scored = load_from_disk(folder / "score" / "scored")
    return {i for i, status in enumerate(scored["necessity_status"]) if status == "ok"}


def test_run_scores_what_select_may_need(tiny, tmp_path):
    mixed_pool(120).save_to_disk(tmp_path / "pool")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder}
    select = {"method": "CleanBalanced(filters=(LossTail(),))", "seed": 3}
    config = {"score": score, "select": {**select, "budget": 10}, "report": None}
    run(config, tmp_path / "run")
    first = scored_rows(tmp_path / "run")
    assert 10 <= len(first) < 100
    selection = Selection.load_from_disk(tmp_path / "run" / "select")
    assert selection.recipe.dropped["not_scored"] == 120 - len(first)
    made = (tmp_path / "run" / "score.json").read_bytes()
    run(config, tmp_path / "run")
    assert (tmp_path / "run" / "score.json").read_bytes() == made

    with pytest.raises(StaleRunError, match="budget: 10 then, 60 now"):
        run({**config, "select": {**select, "budget": 60}}, tmp_path / "run")
    for stage in ("select", "report"):
        shutil.rmtree(tmp_path / "run" / stage)
        (tmp_path / "run" / f"{stage}.json").unlink()
    run({**config, "select": {**select, "budget": 60}}, tmp_path / "run")
    assert first < scored_rows(tmp_path / "run")
    assert len(Selection.load_from_disk(tmp_path / "run" / "select")) == 60
    whole = {**config, "score": {**score, "budget": "all"}, "select": {**select, "budget": 60}}
    run(whole, tmp_path / "run")
    assert len(scored_rows(tmp_path / "run")) == 120


def test_training_goes_on_from_seed_model(tiny, tmp_path):
    mixed_pool(60).save_to_disk(tmp_path / "pool")
    model = {"model_name_or_path": tiny("llava").folder, **TRAINING}
    config = {
        "seed": {"dataset_name": str(tmp_path / "pool"), "budget": 20, **model},
        "score": None,
        "select": {"budget": 5, "exclude": "seed"},
        "train": {**model, "model_name_or_path": "seed"},
    }
    run(config, tmp_path / "run")
    folder = tmp_path / "run"
    selection = Selection.load_from_disk(folder / "select")
    seen = load_seed_rows(load_from_disk(tmp_path / "pool"), folder / "seed").row_ids
    assert not {*seen} & {*selection.row_ids}
    assert len(scored_rows(folder)) <= 40
    card = (folder / "train" / "README.md").read_text()
    assert "Base model: `seed`, fine-tuned before on 20 random rows of the same pool\n" in card


def test_subset_is_compared_in_its_run(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the run's folder is the current one
    mixed_pool(60).save_to_disk("pool")
    mixed_pool(6, seed=900).save_to_disk("held_out")
    training = {name: value for name, value in TRAINING.items() if name != "max_steps"}
    config = {
        "seed": {
            "dataset_name": "pool",
            "budget": 20,
            "model_name_or_path": tiny("llava").folder,
            **TRAINING,
        },
        "score": None,
        "select": {"budget": 5, "exclude": "seed"},
        "compare": {
            "eval_dataset_name": "held_out",
            "model_name_or_path": "seed",
            "selections": ["select"],
            "seeds": 1,
            "same_cost": True,
            "num_train_epochs": 1,
            **training,
        },
    }
    run(config, ".")
    assert len(scored_rows(tmp_path)) <= 40  # a comparison of other rows needs all 60
    record = json.loads(Path("compare/comparison.json").read_text())
    mine = next(line for line in record["lines"]["exact_match"] if line["method"] == "select")
    assert mine["same_cost_rows"]["rows"] > mine["rows"] == 5
    (costs,) = record["costs"]
    assert "seed" not in costs  # every fine-tune starts from it
    assert {"score", "picking", "same cost, rows", "their fine-tune"} <= costs.keys()
    made = Path("compare/comparison.json").stat().st_mtime_ns
    run(config, ".")
    assert Path("compare/comparison.json").stat().st_mtime_ns == made


def test_chain_with_a_score_net(tiny, tmp_path):
    mixed_pool(12).save_to_disk(tmp_path / "pool")
    training = {"model_name_or_path": tiny("llava").folder, **TRAINING}
    clip = save_clip(tmp_path / "clip")
    config = {
        "score": {"dataset_name": str(tmp_path / "pool"), "clip_name_or_path": clip, "clip_score": True},
        "score_net": {"columns": ["embedding"], **training},
        "select": {"budget": 0.5, "rule": 'NeighborPenalty(rescale="minmax")'},
    }
    for _ in range(2):
        run(config, tmp_path / "run")
    recipe = Selection.load_from_disk(tmp_path / "run" / "select").recipe
    assert recipe.by == "score_net"
    assert [scorer.column for scorer in recipe.scorers] == ["embedding", "clip_score", "score_net"]


def test_chain_in_two_rounds(tiny, tmp_path):
    mixed_pool(16).save_to_disk(tmp_path / "pool")
    training = {"model_name_or_path": tiny("llava").folder, **TRAINING}
    config = {
        "rounds": 2,
        "seed": {"dataset_name": str(tmp_path / "pool"), "budget": 4, **training},
        "score": {"shard_size": 8},
        "select": {"budget": 12, "rule": "GroupedSampling(groups=2)", "include": "seed"},
        "train": training,
    }
    for _ in range(2):
        run(config, tmp_path / "run")
    first, second = (Selection.load_from_disk(tmp_path / "run" / name) for name in ("select", "select_2"))
    assert (len(first), len(second)) == (6, 12)
    assert second.row_ids[:6] == first.row_ids
    assert second.recipe.included.recipe == first.recipe
    assert second.recipe.by == "necessity_2"
    models = {it.column: it.identity.model for it in second.recipe.scorers}
    assert models == {f"necessity{n}": str(tmp_path / "run" / m) for n, m in (("", "seed"), ("_2", "train"))}
    assert {"necessity", "necessity_2"} < set(second.scores.column_names)
    assert (tmp_path / "run" / "train_2" / "model.safetensors").exists()


@pytest.mark.parametrize("changed", ["pool", "model", "flag"])
def test_stages_are_reused_only_unchanged(changed, tiny, tmp_path):
    mixed_pool(8).save_to_disk(tmp_path / "pool")
    shutil.copytree(tiny("llava").folder, tmp_path / "model")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": str(tmp_path / "model")}
    config = {"score": score, "select": {"budget": 2, "rule": "TopScore"}}
    run(config, tmp_path / "run")
    if changed == "pool":
        shutil.rmtree(tmp_path / "pool")
        mixed_pool(9).save_to_disk(tmp_path / "pool")
        named = "inputs.dataset_name: .* then"
    elif changed == "model":
        (tmp_path / "model" / "more.txt").write_text("other weights")
        named = "inputs.model_name_or_path.digest: .* then"
    else:
        config["select"]["budget"] = 3
        named = "budget: 2 then, 3 now"
    with pytest.raises(StaleRunError, match=named):
        run(config, tmp_path / "run")


def test_budgets_are_those_of_select(tmp_path):
    score = {"dataset_name": "pool", "model_name_or_path": "seed"}
    with pytest.raises(UsageError, match=r"^section select: budget: expected rows"):
        run({"score": score, "select": {"budget": "a few"}}, tmp_path)


def test_other_excluded_rows_are_stale(scored_pool, tmp_path):
    scored_pool.save_to_disk(tmp_path / "pool")
    config = {
        "select": {
            "dataset_name": str(tmp_path / "pool"),
            "exclude": str(tmp_path / "out"),
            "budget": 5,
            "rule": "TopScore",
        }
    }
    config["select"]["rule"] = "TopScore"
    for budget, error in ((3, False), (4, True)):
        select_diverse(scored_pool, budget, rule=TopScore()).save_to_disk(tmp_path / "out")
        with pytest.raises(StaleRunError, match=r"inputs.exclude") if error else nullcontext():
            run(config, tmp_path / "run")


def test_streams_have_no_fingerprint(tiny, tmp_path, monkeypatch):
    mixed_pool(4).to_parquet(tmp_path / "pool.parquet")
    score = {"dataset_name": str(tmp_path / "pool.parquet"), "model_name_or_path": tiny("llava").folder}
    monkeypatch.setattr("hf_vitselect.cli.run.read_pool", None)
    run({"score": {**score, "dataset_streaming": True}}, tmp_path / "run")
    assert len(load_from_disk(tmp_path / "run" / "score" / "scored")) == 4


def test_smaller_batches_resume_a_stage(tiny, tmp_path):
    mixed_pool(6).save_to_disk(tmp_path / "pool")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder}
    for batch_size in (4, 2):
        run({"score": {**score, "batch_size": batch_size}}, tmp_path / "run")
    assert "batch_size" not in (tmp_path / "run" / "score.json").read_text()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"select": {"rule": "Best"}}, "rule: expected one of .*TopScore"),
        ({"select": {"rule": "GroupedSampling(quota='falling')"}}, "quota: expected 'uniform' or"),
        ({"score": {"signals": ["necessty"]}}, "signals: expected some of"),
        ({"push": {"selection": "x", "repo_id": "a/b/c"}}, "expected a repository id"),
        ({"push": {"selection": "x", "repo_id": "a/b", "publish": "all"}}, "publish: expected 'rows'"),
    ],
    ids=["rule", "quota", "signal", "id", "publish"],
)
def test_mistakes_are_found_first(section, message, tmp_path):
    (name, flags) = next(iter(section.items()))
    config = {name: flags if name == "push" else {"dataset_name": "nowhere", **flags}}
    with pytest.raises(ValueError, match=message):
        run(config, tmp_path)


@pytest.mark.parametrize(
    "section",
    [
        {"select": {"rule": "TopScore", "by": "nope"}},
        {"select": {"rule": "KCenter"}},
        {"select": {"rule": "TopScore", "balance": "nope"}},
        {"score_net": {**TRAINING, "columns": "nope", "model_name_or_path": "nowhere"}},
    ],
    ids=["by", "over", "balance", "score_net"],
)
def test_missing_columns_are_found_first(section, tiny, tmp_path):
    mixed_pool(6).save_to_disk(tmp_path / "pool")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder}
    with pytest.raises(ColumnError, match=r"'(nope|embedding)', got .*'necessity'"):
        run({"score": score, **section}, tmp_path / "run")
    assert not (tmp_path / "run" / "score").exists()


@pytest.mark.parametrize("section", ["seed", "train", "compare"])
def test_training_options_are_checked_first(section, tmp_path):
    needed = {"seed": {}, "train": {"selection": "nowhere"}, "compare": {"eval_dataset_name": "nowhere"}}[
        section
    ]
    flags = {**needed, **TRAINING, "model_name_or_path": "nowhere", "packing": True}
    if section != "train":
        flags["dataset_name"] = "nowhere"
    with pytest.raises(ValueError, match="packing: expected it to be left out"):
        run({section: flags}, tmp_path)


SCORERS_WITH_FIT = {
    "batch": ('MIWVScorer(model="m", batch_size=0)', "batch_size: expected 1 or more, got 0"),
    "dtype": ('MIWVScorer(model="m", dtype="float31")', "expected a dtype .*, got 'float31'"),
    "end of turn": ('MIWVScorer(model="m", end_of_turn="no")', "end_of_turn: expected 'auto' or 'template'"),
    "column": ('MIWVScorer(model="m", column="../x")', "column: expected a name without slashes"),
    "meaning": ('Blend(weights={"a": 1}, column="messages")', "which already has a meaning in a pool"),
    "weights": ("Blend(weights={})", "expected columns with weights, got none"),
    "plain dtype": ('GraNdScorer(model="m", dtype="float31")', "expected a dtype .*, got 'float31'"),
    "timeout": ('JudgeScore(model="m", timeout=-1)', "timeout: expected seconds above 0, got -1"),
}


@pytest.mark.parametrize(("scorer", "message"), SCORERS_WITH_FIT.values(), ids=SCORERS_WITH_FIT)
def test_scorer_arguments_are_checked_first(scorer, message, tmp_path):
    with pytest.raises(UsageError, match=rf"(?s)scorers: .*{message}"):
        run({"score": {"dataset_name": "nowhere", "scorers": scorer}}, tmp_path)


NUMBERS = {
    "shard_size": ("score", {"model_name_or_path": "m", "shard_size": 0}, 1),
    "workers": ("score", {"model_name_or_path": "m", "workers": 0}, 1),
    "seeds": ("compare", {**TRAINING, "model_name_or_path": "m", "eval_dataset_name": "x", "seeds": 0}, 1),
    "processes": (
        "compare",
        {**TRAINING, "model_name_or_path": "m", "eval_dataset_name": "x", "processes": 0},
        1,
    ),
    "hidden": ("score_net", {**TRAINING, "model_name_or_path": "m", "hidden": 0}, 1),
    "seed": ("select", {"seed": -1}, 0),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_low_numbers_are_found_first(name, tmp_path):
    section, flags, least = NUMBERS[name]
    with pytest.raises(
        UsageError, match=f"^section {section}: {name}: expected {least} or more, got {least - 1}"
    ):
        run({section: {"dataset_name": "nowhere", **flags}}, tmp_path)


COMPARISONS = {
    "reserved": ({"selections": ["random=TopScore"]}, "expected other names for some of .*'random'"),
    "spaces": ({"selections": [" random = TopScore"]}, "expected other names for some of .*'random'"),
    "folder": ({"selections": ["runs/random"]}, "expected other names for some of .*'random'"),
    "twice": ({"selections": ["a=TopScore", "a=Random"]}, "selections: expected different names"),
    "matched": ({"selections": ["a=TopScore"], "matched": ["b"]}, r"matched: expected some of \['a'\], got"),
    "no selection": ({"selections": []}, "expected at least one selection"),
    "no evaluation": ({"evaluations": []}, "expected at least one selection and one evaluation"),
    "no budget": ({"budgets": []}, "budgets: expected at least one"),
}


@pytest.mark.parametrize(("flags", "message"), COMPARISONS.values(), ids=COMPARISONS)
def test_names_are_checked_first(flags, message, tmp_path):
    needed = {"dataset_name": "nowhere", "eval_dataset_name": "nowhere", "model_name_or_path": "nowhere"}
    with pytest.raises(ValueError, match=message):
        run({"compare": {**TRAINING, **needed, **flags}}, tmp_path)


POOLS = {
    "overwritten": ({}, {"necessity": 0.5}, ColumnError, r"NecessityScorer would overwrite \['necessity'\]"),
    "status": ({}, {"necessity_status": "ok"}, ColumnError, "NecessityScorer would overwrite"),
    "embedding": (
        {"clip_name_or_path": "m"},
        {"embedding": 0.5},
        ColumnError,
        r"ClipEmbedding would overwrite \['embedding'\]",
    ),
    "fit": (
        {"scorers": 'Blend(weights={"necessity": 1})'},
        {"blend": 0.5},
        ColumnError,
        r"Blend would overwrite \['blend'\]",
    ),
    "reserved": ({}, {"rank": 1}, ColumnError, r"reserved names, got \['rank'\]"),
    "layouts": ({}, {"conversations": "x"}, LayoutError, "expected one conversation layout"),
    "weights": ({"scorers": 'Blend(weights={"necesity": 1})'}, {}, ColumnError, "did you mean 'necessity'"),
    "over": ({"scorers": 'MIWVScorer(model="m")'}, {}, ColumnError, "expected the column 'embedding'"),
}


@pytest.mark.parametrize(("flags", "column", "error", "message"), POOLS.values(), ids=POOLS)
def test_pools_are_checked_first(flags, column, error, message, tmp_path):
    rows = mixed_pool(4)
    for name, value in column.items():
        rows = rows.add_column(name, [value] * 4)
    rows.save_to_disk(tmp_path / "pool")
    score = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": "m", **flags}
    with pytest.raises(error, match=message):
        run({"score": score}, tmp_path / "run")
    assert not (tmp_path / "run" / "score").exists()


@pytest.mark.parametrize("section", ["seed", "select", "compare"])
def test_large_budgets_are_found_first(section, tiny, tmp_path):
    mixed_pool(4).save_to_disk(tmp_path / "pool")
    mixed_pool(2).save_to_disk(tmp_path / "held_out")
    named = {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder}
    held_out = {"eval_dataset_name": str(tmp_path / "held_out"), "selections": ["TopScore"]}
    chain = {
        "seed": {"seed": {**TRAINING, **named, "budget": 5}},
        "select": {"score": named, "select": {"rule": "TopScore", "budget": 5}},
        "compare": {
            "score": named,
            "compare": {
                **TRAINING,
                **held_out,
                "model_name_or_path": tiny("llava").folder,
                "budgets": [0.5, 5],
            },
        },
    }[section]
    with pytest.raises(UsageError, match="budget: expected at most the pool's 4 rows, got 5; give fewer"):
        run(chain, tmp_path / "run")
    assert not any(path.is_dir() for path in (tmp_path / "run").iterdir())


def test_held_out_rows_are_checked_first(tiny, tmp_path):
    mixed_pool(6).save_to_disk(tmp_path / "pool")
    pool([([user("which?", 1), assistant("red")], [b"x"])]).save_to_disk(tmp_path / "held_out")
    compare = {"eval_dataset_name": str(tmp_path / "held_out"), "model_name_or_path": tiny("llava").folder}
    chain = {
        "score": {"dataset_name": str(tmp_path / "pool"), "model_name_or_path": tiny("llava").folder},
        "compare": {**TRAINING, **compare, "selections": ["TopScore", "run/select"]},
    }
    with pytest.raises(RowError, match=r"1 of 1 held-out rows cannot be evaluated.*row 0 .*image_error"):
        run(chain, tmp_path / "run")
    assert not (tmp_path / "run" / "score").exists()


def test_empty_stages_can_be_corrected(tmp_path):
    def fail(folder):
        (folder / "shards").mkdir(parents=True)
        raise FileNotFoundError("no such model")

    with pytest.raises(FileNotFoundError):
        Run(tmp_path).stage("a", {"model": "typo"}, fail)
    assert (Run(tmp_path).stage("a", {"model": "right"}, note("done")) / "log").read_text() == "done"
