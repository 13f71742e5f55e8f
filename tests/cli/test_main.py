"""Every command by its flags, on local paths."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_from_disk
from pools import assistant, mixed_pool, png, pool, user
from tiny_embedders import save_clip

from hf_vitselect import __version__
from hf_vitselect.cli.command import COMMANDS
from hf_vitselect.cli.main import main
from hf_vitselect.cli.parse import parse_flags
from hf_vitselect.errors import PoolError
from hf_vitselect.selection.selection import Selection

CPU = [
    *("--use_cpu", "true", "--bf16", "false", "--gradient_checkpointing", "false"),
    *("--report_to", "none", "--max_steps", "1"),
]


def test_score_select_train(tiny, tmp_path, capsys):
    model = tiny("llava").folder
    rows, scored, chosen = (str(tmp_path / name) for name in ("pool", "scored", "chosen"))
    mixed_pool(9).save_to_disk(rows)
    assert main(["score", "--dataset_name", rows, "--model_name_or_path", model, "--output_dir", scored]) == 0
    assert "necessity" in load_from_disk(f"{scored}/scored").column_names

    flags = ["--dataset_name", f"{scored}/scored", "--budget", "3", "--rule", "TopScore"]
    assert main(["select", *flags, "--output_dir", chosen]) == 0
    assert len(Selection.load_from_disk(chosen)) == 3

    flags = ["--selection", chosen, "--model_name_or_path", model, "--output_dir", str(tmp_path / "out")]
    assert main(["train", *flags, *CPU]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert "vitselect" in (tmp_path / "out" / "README.md").read_text()


def test_score_a_stream_in_workers(tiny, tmp_path):
    mixed_pool(9).to_parquet(tmp_path / "pool.parquet")
    flags = ["--dataset_name", str(tmp_path / "pool.parquet"), "--model_name_or_path", tiny("llava").folder]
    out = ["--output_dir", str(tmp_path / "out")]
    assert main(["score", *flags, *out, "--dataset_streaming", "true", "--workers", "1"]) == 0
    assert load_from_disk(tmp_path / "out" / "scored")["necessity_status"][:] == ["ok"] * 9


def test_lora_by_trl_flags(tiny, scored_pool, tmp_path):
    model = tiny("llava").folder
    scored_pool.save_to_disk(tmp_path / "scored")
    flags = ["--dataset_name", str(tmp_path / "scored"), "--budget", "4", "--rule", "Random"]
    assert main(["select", *flags, "--output_dir", str(tmp_path / "chosen")]) == 0
    flags = ["--selection", str(tmp_path / "chosen"), "--model_name_or_path", model]
    lora = ["--use_peft", "--lora_target_modules", r".*language_model.*\.q_proj"]
    assert main(["train", *flags, *lora, *CPU, "--output_dir", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_flags_from_yaml(scored_pool, tmp_path):
    scored_pool.save_to_disk(tmp_path / "scored")
    (tmp_path / "select.yaml").write_text(
        f"dataset_name: {tmp_path / 'scored'}\nbudget: 25%\nrule: NeighborPenalty(gamma=0.5)\n"
        f"output_dir: {tmp_path / 'out'}\n"
    )
    assert main(["select", "--config", str(tmp_path / "select.yaml")]) == 0
    recipe = Selection.load_from_disk(tmp_path / "out").recipe
    assert recipe.selected == 10
    assert recipe.rule_call.keywords["gamma"] == 0.5


def test_compare_writes_its_table(tiny, scored_pool, tmp_path, capsys, monkeypatch):
    scored_pool.save_to_disk(tmp_path / "scored")
    mixed_pool(4, seed=900).save_to_disk(tmp_path / "held_out")
    data = ["--dataset_name", str(tmp_path / "scored"), "--eval_dataset_name", str(tmp_path / "held_out")]
    options = ["--selections", "easy=TopScore(lowest=True)", "--seeds", "1", "--seed", "7"]
    scores = ["--evaluations", "log_likelihood", "exact_match", "--budgets", "4", "--columns", "kind"]
    out = ["--model_name_or_path", tiny("llava").folder, "--output_dir", str(tmp_path / "out")]
    assert main(["compare", *data, *options, *scores, *out, *CPU]) == 0
    printed = capsys.readouterr().out
    assert "- easy, 4 rows: not distinguishable from random with 1 seed" in printed
    assert "## exact_match" in printed
    assert (tmp_path / "out" / "trials" / "easy" / "4_rows" / "seed_7" / "model").is_dir()
    monkeypatch.chdir(tmp_path)
    assert "rows      40 in the pool, 4 held out" in printed
    assert main(shlex.split(printed.rpartition("next")[2])[1:]) == 0
    assert Selection.load_from_disk("selection").recipe.rule_call.keywords == {"lowest": True}


def test_compare_refuses_unknown_rules(tmp_path, scored_pool, capsys):
    scored_pool.save_to_disk(tmp_path / "scored")
    data = ["--dataset_name", str(tmp_path / "scored"), "--eval_dataset_name", str(tmp_path / "scored")]
    out = ["--model_name_or_path", "x", "--output_dir", str(tmp_path / "out")]
    assert main(["compare", *data, "--selections", "Best", *out, *CPU]) == 2
    assert "expected a method such as CleanBalanced" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--budget", "0"], "expected at least 1 row, got 0"),
        (["--budget", "many"], "budget: expected rows (1200) or a share (0.15, 15%), got 'many'"),
        (["--by", "nope"], "the score is the column 'nope'"),
        (
            ["--rule", "TopScore(gamma=1)"],
            "rule: TopScore: expected one of the arguments ['lowest']",
        ),
    ],
    ids=["budget", "no-number", "column", "rule"],
)
def test_wrong_flags_end_with_status_2(flags, message, scored_pool, tmp_path, capsys):
    scored_pool.save_to_disk(tmp_path / "scored")
    command = ["select", "--dataset_name", str(tmp_path / "scored"), "--output_dir", str(tmp_path / "out")]
    assert main([*command, *flags]) == 2
    assert message in capsys.readouterr().err


def test_unknown_yaml_keys_are_errors(tmp_path, capsys):
    (tmp_path / "select.yaml").write_text("dataset_name: x\nbudgte: 0.25\n")
    assert main(["select", "--config", str(tmp_path / "select.yaml")]) == 2
    assert "budgte" in capsys.readouterr().err


def test_missing_pools_are_errors(capsys):
    assert main(["select", "--dataset_name", "nowhere/at/all"]) == 2
    assert "nowhere/at/all" in capsys.readouterr().err


def printed(capsys):
    """What the last command said, by name."""
    return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)


def test_commands_name_the_next_command(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [([user(f"which? {i}", 1), assistant("red" * (i > 0))], [png(i)]) for i in range(8)]
    pool(rows).save_to_disk("my pool")
    models = [
        "--model_name_or_path",
        tiny("llava").folder,
        "--clip_name_or_path",
        save_clip(tmp_path / "clip"),
    ]
    assert main(["score", "--dataset_name", "my pool", *models, "--output_dir", "my scores"]) == 0
    said = printed(capsys)
    assert said["rows"] == "8"
    assert said["necessity"] == "7 scored, 1 refused: 1 no_response (no assistant turn with any text)"
    assert said["saved"].split(maxsplit=1) == ["to", "my scores/scored"]
    program, *command = shlex.split(said["next"])
    assert (program, command[0]) == ("hf-vitselect", "select")
    assert main(command) == 0
    said = printed(capsys)
    assert said["picked"] == "1 (budget 0.15)"
    assert said["refused"] == "1: 1 no_response (no assistant turn with any text)"
    assert main(shlex.split(said["next"])[1:]) == 0
    said = printed(capsys)
    assert (said["page"], float(said["seconds"]) > 0) == ("report/index.html", True)
    assert "1 `no_response` (no assistant turn with any text)" in Path("report/README.md").read_text()
    assert shlex.split(said["next"])[:2] == ["hf-vitselect", "push"]


def test_unusable_pools_say_why(tiny, tmp_path, capsys):
    pool([([user("q"), assistant("")], [])] * 3).save_to_disk(tmp_path / "pool")
    out = ["--model_name_or_path", tiny("llava").folder, "--output_dir", str(tmp_path / "out")]
    why = "all 3 rows have no necessity: 3 no_response (no assistant turn with any text)"
    for _ in range(2):
        assert main(["score", "--dataset_name", str(tmp_path / "pool"), *out]) == 2
        assert why in capsys.readouterr().err
    flags = ["--dataset_name", str(tmp_path / "out"), "--rule", "TopScore", "--budget", "1"]
    assert main(["select", *flags, "--output_dir", str(tmp_path / "chosen")]) == 2
    assert "all 3 rows cannot be picked: 3 no_response (no assistant turn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("score --datset_name x", "unknown flags ['--datset_name']; did you mean '--dataset_name'?"),
        ("score", "missing ['dataset_name']"),
        ("score --dataset_name", "--dataset_name"),
        ("score --dataset_name x y --model_name_or_path m", "got ['y'] as well"),
        ("score --dataset_name x --batch_size 8x", "invalid int value: '8x'"),
        ("score --dataset_name x --engine spark", "invalid choice: 'spark'"),
        ("score --dataset_name x --dtype float17", "did you mean 'float16'?"),
        ("score --dataset_name x --model_name_or_path m --signals necesity", "did you mean 'necessity'?"),
        (
            "score --dataset_name x --text_name_or_path m --clip_score true",
            "expected clip_name_or_path with it",
        ),
        (
            "score --dataset_name x --text_name_or_path m --max_length 9",
            "expected model_name_or_path with it",
        ),
        ("score --dataset_name nofile.json --text_name_or_path m", "'nofile.json', which does not exist"),
        ("select --dataset_name x --rule TopScore(", "rule: expected a name with arguments, such as"),
        ("select --dataset_name x --rule NeighborPenalty(gamma='x')", "gamma: expected a number, got 'x'"),
        (
            "select --dataset_name x --rule NeighborPenalty(neighbors=1.5)",
            "neighbors: expected a whole number, got 1.5",
        ),
        ("select --dataset_name x --rule NeighborPenalty(neighbors=0)", "neighbors: expected"),
        ("select --dataset_name x --rule TopScore(lowst=True)", "got 'lowst'; did you mean 'lowest'?"),
        ("score --dataset_name x --scorers Necessity", "did you mean 'NecessityScorer'?"),
        ("score --dataset_name x --scorers NecessityScorer", "missing a required argument: 'model'"),
        ("score --dataset_name x --scorers UPDScorer('m',dtpe='x')", "did you mean 'dtype'?"),
        (
            "score --dataset_name x --scorers UPDScorer('m') --model_name_or_path m --signals upd",
            "expected one scorer for the column 'upd'",
        ),
        ("score --dataset_name x", "nothing to score: give model_name_or_path"),
        ("score --dataset_name x --dataset_streaming --scorers Blend({'a':1.0})", "needs no fit to the pool"),
        ("select --dataset_name x --balance_quota uniform", "expected balance with it"),
        ("select --dataset_name x --budget 12k", "budget: expected rows (1200) or a share"),
        (
            "train --selection nowhere --model_name_or_path m --output_dir o --use_cpu true",
            "Selection.save_to_disk wrote",
        ),
        (
            "push --selection nowhere --repo_id a/b",
            "expected a folder that select or Selection.save_to_disk wrote, got 'nowhere'",
        ),
        ("score x m", "missing ['dataset_name'], got ['x', 'm'] instead"),
        (
            "score --dataset_name x --model_name_or_path m --signals upd upd",
            "expected one scorer for the column 'upd'",
        ),
        (
            "score --dataset_name x --clip_name_or_path m --text_name_or_path m",
            "expected one scorer for the column 'embedding'",
        ),
        ("score --dataset_name x --text_name_or_path m --output_dir one.yaml/o", "but 'one.yaml' is a file"),
        ("select --dataset_name x --rule topscor", "did you mean 'TopScore'?"),
        ("select --dataset_name x --output_dir .", "is not empty and holds no selection"),
        ("select --dataset_name none/dataset --output_dir none", "got 'none': it would be replaced"),
        ("select --config env.yaml", "env: expected names and their values, got ['A']"),
        ("train --selection x --use_cpu true", "missing ['model_name_or_path']"),
        (
            "seed --dataset_name x --model_name_or_path m --use_cpu true --lora_r 4",
            "expected use_peft with it",
        ),
        (
            "seed --dataset_name x --model_name_or_path m --use_cpu true --use_peft true --layers 8",
            "layers: expected no use_peft with it; leave out either",
        ),
        (
            "seed --dataset_name x --model_name_or_path m --use_cpu true --layers 0",
            "layers: expected 1 or more, got 0",
        ),
        ("seed --dataset_name x --model_name_or_path m --use_cpu true --bf16 true --fp16 true", "not both"),
        ("select --config none.yaml", "got 'none.yaml', which does not exist; did you mean 'one.yaml'?"),
        ("select --config", "--config: expected a YAML file"),
        ("select --config one.yaml", "one.yaml, line 2 is not valid YAML"),
        ("run --config one.yaml --output_dir r", "indent with spaces, not tabs"),
        ("select --config list.yaml", "expected flags and their values in list.yaml, got list"),
        ("select --config typed.yaml", "seed: expected a whole number, got [1]"),
        ("run --config typed_run.yaml --output_dir r", "section score: --batch_size"),
        ("run --config near.yaml --output_dir r", "unknown keys ['budgte']; did you mean 'budget'?"),
    ],
)
def test_wrong_usage_is_one_message(command, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        "one.yaml": "select:\n\tbudget: 1\n",
        "list.yaml": "- 1\n",
        "env.yaml": "env: [A]\ndataset_name: x\n",
        "typed.yaml": "dataset_name: x\nseed: [1]\n",
        "typed_run.yaml": "score:\n  dataset_name: x\n  model_name_or_path: m\n  batch_size: 8x\n",
        "near.yaml": "select:\n  dataset_name: x\n  budgte: 1\n",
    }
    for name, content in files.items():
        Path(name).write_text(content)
    assert main(command.split()) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert said.startswith(f"hf-vitselect {command.split()[0]}: ")
    assert len(said.splitlines()) <= 3


def help_of(command, capsys):
    assert main([command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_purpose_and_example(command, capsys):
    text = help_of(command, capsys)
    assert text.startswith(f"{COMMANDS[command]}\n\nusage: hf-vitselect {command} ")
    heading, example = text.rstrip().splitlines()[-2:]
    assert heading == "Example, next to the demo's folder:"
    program, name, *flags = shlex.split(example)
    assert (program, name) == ("hf-vitselect", command)
    assert parse_flags(name, flags)
    assert "(default: None)" not in text


def test_the_door_lists_commands(capsys):
    for flag in ("-h", "--help"):
        assert main([flag]) == 0
        assert all(
            f"  {name} " in line
            for name, line in zip(COMMANDS, capsys.readouterr().out.splitlines()[4:], strict=False)
        )
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert main(["slect"]) == main([]) == 2
    assert "did you mean 'select'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["score", "seed"])
def test_misspelt_model_folders_are_named(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "my_seed").mkdir()
    mixed_pool(3).save_to_disk(tmp_path / "pool")
    flags = ["--dataset_name", str(tmp_path / "pool"), "--model_name_or_path", str(tmp_path / "my_sed")]
    training = ["--use_cpu", "true", "--report_to", "none"] if command == "seed" else []
    assert main([command, *flags, *training, "--output_dir", str(tmp_path / "out")]) == 2
    assert f"did you mean '{tmp_path / 'my_seed'}'?" in capsys.readouterr().err


def test_debug_shows_the_traceback():
    for command in (
        ["select", "--dataset_name", "no.json", "--debug"],
        ["--debug", "select", "--dataset_name", "no.json"],
    ):
        with pytest.raises(PoolError):
            main(command)


def test_runs_summarize_each_stage(scored_pool, tmp_path, capsys):
    scored_pool.save_to_disk(tmp_path / "scored")
    (tmp_path / "run.yaml").write_text(
        f"select:\n  dataset_name: {tmp_path / 'scored'}\n  budget: 4\n  rule: Random\nreport:\n"
    )
    for again in (False, True):
        assert (
            main(["run", "--config", str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path / "run")]) == 0
        )
        said = capsys.readouterr().out
        assert ("== select ==\ndone in an earlier call" in said) == again
        assert ("4 (budget 4)" in said) != again
        assert f"saved to  {tmp_path / 'run'}" in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["--help", "run --help", "run --config {run} --output_dir {out}"])
def test_closed_pipes_end_quietly(command, unbuffered, scored_pool, tmp_path):
    scored_pool.save_to_disk(tmp_path / "scored")
    (tmp_path / "run.yaml").write_text(
        f"select:\n  dataset_name: {tmp_path / 'scored'}\n  budget: 4\n  rule: Random\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [
            *(sys.executable, "-c", "import sys; from hf_vitselect.cli.main import main; sys.exit(main())"),
            *command.format(run=tmp_path / "run.yaml", out=tmp_path / "out").split(),
        ],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_other_broken_pipes_are_errors(monkeypatch, capsys):
    def fail(self):
        raise BrokenPipeError("worker")

    monkeypatch.setattr("hf_vitselect.cli.select.Select.check", fail)
    assert main(["select", "--dataset_name", "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "worker" in err


def test_output_may_be_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--version"]) == 0
