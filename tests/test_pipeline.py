"""A run goes on where it stopped, and refuses what other settings made."""

import json
from pathlib import Path

import pytest
import yaml
from pools import mixed_pool
from tiny_embedders import save_clip

from hf_vitselect.arguments import SelectArguments, parse_section
from hf_vitselect.errors import StaleRunError
from hf_vitselect.pipeline import _wire, load_pool, make_rule, parse_budget, run
from hf_vitselect.rules import GroupedSampling, NeighborPenalty, TopScore
from hf_vitselect.runs import Run
from hf_vitselect.selection import Selection

CONFIGS = Path(__file__).parents[1] / "examples" / "configs"
SECTIONS = {
    "run.yaml": ["seed", "score", "select", "push", "train"],
    "self_filter.yaml": ["score", "score_net", "select", "push", "train"],
}
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


def test_a_finished_stage_is_not_repeated(tmp_path):
    for _ in range(2):
        folder = Run(tmp_path).stage("a", {"x": 1}, note("once "))
    assert (folder / "log").read_text() == "once "


def test_a_failed_stage_is_done_again(tmp_path):
    def fail(folder):
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        Run(tmp_path).stage("a", {"x": 1}, fail)
    assert (Run(tmp_path).stage("a", {"x": 1}, note("done")) / "log").read_text() == "done"


@pytest.mark.parametrize("unfinished", [False, True], ids=["finished", "unfinished"])
def test_a_stage_of_other_settings_is_refused_by_name(unfinished, tmp_path):
    Run(tmp_path).stage("a", {"x": 1, "y": 2}, note("done"))
    if unfinished:
        state = json.loads((tmp_path / "a.json").read_text())
        (tmp_path / "a.json").write_text(json.dumps({"settings": state["settings"]}))
    with pytest.raises(StaleRunError, match=r"x: 1 then, 3 now"):
        Run(tmp_path).stage("a", {"x": 3, "y": 2}, note("again"))


def test_a_change_upstream_makes_later_stages_stale(tmp_path):
    first = Run(tmp_path)
    first.stage("a", {"x": 1}, note("a"))
    first.stage("b", {}, note("b"))
    (tmp_path / "a.json").unlink()
    second = Run(tmp_path)
    second.stage("a", {"x": 2}, note("a"))
    with pytest.raises(StaleRunError, match="stages_before"):
        second.stage("b", {}, note("b"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sleect": {}}, "unknown sections .*sleect"),
        ({"score": {"dataset_name": "x", "modle": "y"}}, "section score: unknown keys .*modle"),
        ({"select": {"budget": 0.1}, "push": {}}, "section select: missing .*dataset_name"),
        ({"train": {"hub_token": "hf_secret"}}, r"section train: expected no hub_token; log in"),
    ],
    ids=["section", "key", "missing", "token"],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(config, message, tmp_path):
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
    run(config, tmp_path / "run")
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text()) == config
    card = (tmp_path / "run" / "report" / "README.md").read_text()
    assert "## What it cost" in card
    assert str(tmp_path) not in card + (tmp_path / "run" / "report" / "run.yaml").read_text()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    assert {path.parent.name for path in made} >= {"seed", "train"}
    selection = Selection.load_from_disk(tmp_path / "run" / "select")
    assert len(selection) == 8
    assert selection.recipe["scorers"][0]["identity"]["model"] == str(tmp_path / "run" / "seed")

    run(config, tmp_path / "run")
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())


def test_chain_with_a_score_net(tiny, tmp_path):
    mixed_pool(12).save_to_disk(tmp_path / "pool")
    training = {"model_name_or_path": tiny("llava").folder, **TRAINING}
    clip = save_clip(tmp_path / "clip")
    config = {
        "score": {"dataset_name": str(tmp_path / "pool"), "clip_name_or_path": clip, "clip_score": True},
        "score_net": {"columns": ["embedding"], **training},
        "select": {"budget": 0.5, "rescale": "minmax"},
    }
    for _ in range(2):
        run(config, tmp_path / "run")
    recipe = Selection.load_from_disk(tmp_path / "run" / "select").recipe
    assert recipe["by"] == "score_net"
    assert [scorer["column"] for scorer in recipe["scorers"]] == ["embedding", "clip_score", "score_net"]


def test_load_pool_reads_saved_splits(tmp_path):
    from datasets import DatasetDict

    DatasetDict({"train": mixed_pool(3), "test": mixed_pool(2)}).save_to_disk(tmp_path)
    assert len(load_pool(SelectArguments(str(tmp_path), dataset_train_split="test"))) == 2
    with pytest.raises(ValueError, match="expected a split 'nope'"):
        load_pool(SelectArguments(str(tmp_path), dataset_train_split="nope"))


@pytest.mark.parametrize(
    ("text", "budget"), [("12", 12), ("0.15", 0.15), ("1.0", 1.0), (3, 3), (0.5, 0.5), ("-1", -1)]
)
def test_budget_from_a_flag(text, budget):
    parsed = parse_budget(text)
    assert (parsed, type(parsed)) == (budget, type(budget))


def test_rule_from_flags():
    assert make_rule(SelectArguments("x", gamma=0.5)) == NeighborPenalty(gamma=0.5)
    assert make_rule(SelectArguments("x", rule="TopScore", lowest=True)) == TopScore(lowest=True)
    assert make_rule(SelectArguments("x", rule="GroupedSampling", groups="5")) == GroupedSampling(groups=5)
    by_source = SelectArguments("x", rule="GroupedSampling", groups="source", quota="uniform")
    assert make_rule(by_source) == GroupedSampling(groups="source", quota="uniform")
    with pytest.raises(ValueError, match=r"TopScore has no \['gamma'\]"):
        make_rule(SelectArguments("x", rule="TopScore", gamma=0.5))
    with pytest.raises(ValueError, match="expected a rule among"):
        make_rule(SelectArguments("x", rule="Best"))


def test_a_stage_that_left_nothing_can_be_corrected(tmp_path):
    def fail(folder):
        raise FileNotFoundError("no such model")

    with pytest.raises(FileNotFoundError):
        Run(tmp_path).stage("a", {"model": "typo"}, fail)
    assert (Run(tmp_path).stage("a", {"model": "right"}, note("done")) / "log").read_text() == "done"


def test_load_pool_reads_a_single_file(tmp_path):
    mixed_pool(3).to_parquet(tmp_path / "pool.parquet")
    pool = load_pool(SelectArguments(str(tmp_path / "pool.parquet")))
    assert len(pool) == 3
    assert pool.features == mixed_pool(3).features


@pytest.mark.parametrize(
    ("file", "section"), [(file, section) for file, sections in SECTIONS.items() for section in sections]
)
def test_the_example_configurations_have_known_keys_only(file, section, tmp_path):
    config = yaml.safe_load((CONFIGS / file).read_text())
    assert list(config) == SECTIONS[file]
    given = _wire(config, tmp_path)[section]
    if section in ("seed", "score_net", "train"):  # the example is for a GPU
        given |= {"use_cpu": True, "bf16": False}
    parse_section(section, given)
    with pytest.raises(ValueError, match="unknown keys"):
        parse_section(section, {**given, "typo": 1})
