"""The stages that a run's configuration means."""

from pathlib import Path

import pytest
import yaml

from hf_vitselect.cli.parse import parse_section
from hf_vitselect.cli.plan import plan
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.method import CleanBalanced, SelfFilter

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
RUNS = sorted(file.name for file in CONFIGS.glob("*.yaml") if file.name != "select.yaml")


def by_name(config):
    return {stage.name: stage for stage in plan(config, Path("run"))}


@pytest.mark.parametrize("file", RUNS)
def test_example_configurations_are_valid(file):
    stages = plan(yaml.safe_load((CONFIGS / file).read_text()), Path("run"))
    assert {stage.command for stage in stages} >= {"score", "select"}
    for stage in stages:
        # The examples are for a GPU.
        on_cpu = {"use_cpu": True, "bf16": False} if stage.command in ("seed", "score_net", "train") else {}
        parse_section(stage.command, {**stage.flags, **on_cpu})
        with pytest.raises(ValueError, match="unknown keys"):
            parse_section(stage.command, {**stage.flags, **on_cpu, "typo": 1})


CHAIN = {
    "train": {"model_name_or_path": "base"},
    "push": {"repo_id": "me/subset"},
    "select": {"budget": 90},
    "score": {"clip_name_or_path": "clip", "batch_size": 4},
    "seed": {"dataset_name": "pool", "model_name_or_path": "base"},
}

ON_CPU = {"use_cpu": True, "bf16": False}
COMPARE = {
    "eval_dataset_name": "held_out",
    "model_name_or_path": "base",
    "selections": ["TopScore(by='perplexity')", "run/select", "easy=EasyFirst(by='el2n')"],
    "use_cpu": True,
    "bf16": False,
}


@pytest.mark.parametrize(
    ("sections", "folder"),
    [
        ({"score": {"dataset_name": "pool", "clip_name_or_path": "clip"}}, "run"),
        ({}, None),
        ({"score": {"dataset_name": "pool", "clip_name_or_path": "clip"}, "run_dir": "other"}, "other"),
    ],
    ids=["scored here", "scored elsewhere", "named"],
)
def test_comparisons_count_the_scores(sections, folder):
    compare = {**COMPARE, "dataset_name": "scored"}
    compare |= {name: sections.pop(name) for name in ("run_dir",) if name in sections}
    assert by_name({**sections, "compare": compare})["compare"].flags.get("run_dir") == folder


def test_stages_feed_later_stages():
    stages = by_name(CHAIN)
    assert list(stages) == ["seed", "score", "select", "push", "train"]
    assert stages["score"].flags["model_name_or_path"] == "run/seed"
    assert stages["score"].flags["dataset_name"] == "pool"
    assert stages["select"].flags["dataset_name"] == "run/score/scored"
    assert stages["push"].flags["selection"] == stages["train"].flags["selection"] == "run/select"
    assert stages["train"].settings == CHAIN["train"]


def test_difficulty_is_the_score_column():
    stages = by_name({name: {} for name in ("score", "score_net", "select")})
    assert stages["score_net"].flags["dataset_name"] == "run/score/scored"
    assert stages["select"].flags["dataset_name"] == "run/score_net/scored"
    assert stages["select"].parsed.chosen_method == SelfFilter()
    for section in ({"rule": "TopScore"}, {"method": 'HardFirst(by="score_net")'}):
        named = by_name({"score": {}, "score_net": {}, "select": section})["select"].parsed.chosen_method
        assert (named.by, named.rule) == ("score_net", TopScore())


SIGNALS = {
    "default": ({}, ["necessity", "image_gain"]),
    "rule": ({"select": {"rule": "TopScore", "by": "upd"}}, ["upd"]),
    "method": ({"select": {"method": 'EasyFirst(by="el2n")'}}, ["el2n"]),
    "compared": ({"select": {"rule": "KCenter"}, "compare": COMPARE}, ["el2n", "perplexity"]),
    "given": ({"score": {"signals": ["necessity"]}}, ["necessity"]),
    "none needed": ({"select": {"rule": "Random"}}, None),
    "own scorer": ({"score": {"scorers": ['ImageGain(model="other")']}}, ["necessity"]),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_methods_say_what_is_scored(name):
    sections, signals = SIGNALS[name]
    stage = by_name(CHAIN | {"select": {}} | sections)["score"]
    assert stage.flags.get("signals") == stage.settings.get("signals") == signals


def test_later_rounds_score_anew():
    stages = by_name(CHAIN | {"rounds": 2, "select": {"method": "CleanBalanced(need=1.0)"}})
    assert stages["score"].flags["signals"] == ["necessity", "image_gain"]
    assert stages["score_2"].flags["signals"] == ["necessity"]
    method = stages["select_2"].parsed.chosen_method
    assert (method.by, method.need) == ("necessity_2", 1.0)


def test_seed_rows_in_or_out():
    config = CHAIN | {"select": {"budget": 90, "exclude": "seed", "include": "my/selection"}}
    select = by_name(config)["select"]
    assert select.flags["exclude"] == "run/seed"
    assert select.flags["include"] == "my/selection"
    assert select.settings == config["select"]


def test_rounds_score_with_last_model():
    stages = by_name(CHAIN | {"rounds": 3})
    assert list(stages) == [
        *("seed", "score", "select", "train"),
        *("score_2", "select_2", "train_2"),
        *("score_3", "select_3", "push", "train_3"),
    ]
    assert [stages[name].flags["budget"] for name in ("select", "select_2", "select_3")] == [30, 60, 90]
    second = stages["score_2"].flags
    assert second["model_name_or_path"] == "run/train"
    assert second["dataset_name"] == "run/score/scored"
    assert "clip_name_or_path" not in second
    assert second["batch_size"] == 4
    third = stages["select_3"].flags
    assert (third["by"], third["include"]) == ("necessity_3", "run/select_2")
    assert third["dataset_name"] == "run/score_3/scored"
    pushed = by_name(CHAIN | {"rounds": 2, "train": {"model_name_or_path": "base", "push_to_hub": True}})
    assert [pushed[name].flags.get("push_to_hub") for name in ("train", "train_2")] == [None, True]
    assert stages["push"].flags["selection"] == stages["train_3"].flags["selection"] == "run/select_3"


def test_rounds_split_a_share():
    stages = by_name(CHAIN | {"select": {"budget": 0.15}, "rounds": 2})
    assert stages["select"].flags["budget"] == 0.075
    assert stages["select_2"].flags["budget"] == 0.15


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sleect": {}}, "unknown sections .*sleect"),
        ({"score": {"output_dir": "elsewhere"}}, "expected no output_dir in the sections .*score"),
        ({"score": "abc"}, "expected flags and their values in the sections .*'abc'"),
        ({"select": {"exclude": "seed"}}, "expected a stage before or a folder, got 'seed'"),
        ({"select": {"include": ["a"]}}, "expected a stage before or a folder"),
        (CHAIN | {"rounds": 2, "select": {"by": "clip_score"}}, "by= among the signals"),
        (CHAIN | {"rounds": 3, "select": {"budget": 2}}, "at least one row a round, got 2"),
        (CHAIN | {"rounds": True}, "rounds: expected an int"),
        (
            {"seed": {"use_peft": True}, "train": {"model_name_or_path": "seed", "use_peft": True}},
            "section train: use_peft: expected none, as the seed model is an adapter",
        ),
        (
            {"seed": {"layers": 12}, "train": {"model_name_or_path": "seed"}},
            "section train: .* got one without some of its layers; leave layers out",
        ),
        (CHAIN | {"rounds": 0}, "rounds: expected an int of 1 or more, got 0"),
        (CHAIN | {"rounds": 2, "score_net": {}}, "no score_net"),
        ({"score": {}, "select": {}, "rounds": 2}, "expected the sections .*'train'"),
    ],
)
def test_impossible_plans_are_errors(config, message):
    with pytest.raises(ValueError, match=message):
        plan(config, Path("run"))


LAZY = {
    "score": {"dataset_name": "pool", "model_name_or_path": "seed"},
    "select": {"budget": "15%", "seed": 2},
}


def test_scores_are_of_the_rows_drawn():
    score = by_name(LAZY)["score"]
    assert score.part == {"select": LAZY["select"]}
    assert (score.parsed.budget, score.parsed.seed) == ("15%", 2)
    assert score.parsed.chosen_method == CleanBalanced()
    assert "budget" not in score.settings
    assert by_name({**CHAIN, "report": None})["score"].part is not None


def test_seed_rows_are_left_out():
    config = CHAIN | {"select": {"exclude": "seed"}}
    score = by_name(config)["score"]
    assert score.parsed.exclude == "run/seed"
    assert score.part == {"select": config["select"]}
    assert by_name(CHAIN)["score"].parsed.exclude is None


@pytest.mark.parametrize("command", ["train", "compare"])
def test_training_starts_from_seed_model(command):
    section = COMPARE if command == "compare" else {}
    named = {command: section | {"model_name_or_path": "seed"}}
    stage = by_name(CHAIN | named)[command]
    assert stage.flags["model_name_or_path"] == "run/seed"
    assert stage.settings["model_name_or_path"] == "seed"
    assert by_name(LAZY | named)[command].flags["model_name_or_path"] == "seed"


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("score", {"budget": "all"}),
        ("score", {"signals": ["necessity", "perplexity"]}),
        ("score", {"clip_name_or_path": "clip", "clip_score": True}),
        ("score", {"text_name_or_path": "text"}),
        ("score", {"scorers": ["GraNdScorer(model='seed')"]}),
        ("score", {"suffix": "_2"}),
        ("score", {"dataset_streaming": True}),
        ("select", {"rule": "TopScore"}),
        ("select", {"by": "quality"}),
        ("select", {"method": "CleanBalanced(kinds='necessity_status')"}),
        ("select", {"exclude": "selection"}),
        ("select", {"include": "selection"}),
        ("select", {"dataset_name": "scored"}),
        ("compare", COMPARE),
        (
            "score_net",
            {"columns": ["necessity"], "model_name_or_path": "base", "use_cpu": True, "bf16": False},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_all_rows_are_scored_where_needed(command, flags):
    config = {**LAZY, command: {**LAZY.get(command, {}), **flags}}
    assert by_name(config)["score"].part is None


@pytest.mark.parametrize(
    ("folder", "selections", "flags"),
    [
        ("run", ["select"], ["run/select"]),
        ("run", ["mine=select", "run/select"], ["mine=run/select", "run/select"]),
        ("run", ["select", "other/folder"], ["run/select", "other/folder"]),
        (".", ["select"], ["./select"]),
    ],
)
def test_comparing_the_subset_needs_no_scores(folder, selections, flags):
    config = {**LAZY, "compare": COMPARE | {"selections": selections, "same_cost": True}}
    stages = {stage.name: stage for stage in plan(config, Path(folder))}
    assert stages["compare"].flags["selections"] == flags
    assert stages["compare"].settings["selections"] == selections
    assert stages["score"].part == {"select": LAZY["select"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"selections": ["select", "CleanBalanced"]},
        {"selections": ["top=TopScore(by='a/b')"]},
        {"selections": ["select"], "dataset_name": "scored"},
    ],
)
def test_other_comparisons_need_all_scores(changes):
    assert by_name({**LAZY, "compare": COMPARE | changes})["score"].part is None
