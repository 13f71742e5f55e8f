"""Every command by its flags, on local paths; the push is in test_hub_publish."""

import pytest
from datasets import load_from_disk
from pools import mixed_pool

from hf_vitselect.cli import main
from hf_vitselect.selection import Selection

CPU = [
    *("--use_cpu", "true", "--bf16", "false", "--gradient_checkpointing", "false"),
    *("--report_to", "none", "--max_steps", "1"),
]


def test_score_select_train(tiny, tmp_path, capsys):
    model = tiny("llava").folder
    pool, scored, chosen = (str(tmp_path / name) for name in ("pool", "scored", "chosen"))
    mixed_pool(9).save_to_disk(pool)
    assert main(["score", "--dataset_name", pool, "--model_name_or_path", model, "--output_dir", scored]) == 0
    assert "necessity" in load_from_disk(f"{scored}/scored").column_names

    flags = ["--dataset_name", f"{scored}/scored", "--budget", "3", "--rule", "TopScore"]
    assert main(["select", *flags, "--output_dir", chosen]) == 0
    assert len(Selection.load_from_disk(chosen)) == 3

    flags = ["--selection", chosen, "--model_name_or_path", model, "--output_dir", str(tmp_path / "out")]
    assert main(["train", *flags, *CPU]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert "vitselect" in (tmp_path / "out" / "README.md").read_text()


def test_score_a_stream_in_a_worker_process(tiny, tmp_path):
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
        f"dataset_name: {tmp_path / 'scored'}\nbudget: 0.25\ngamma: 0.5\noutput_dir: {tmp_path / 'out'}\n"
    )
    assert main(["select", "--config", str(tmp_path / "select.yaml")]) == 0
    recipe = Selection.load_from_disk(tmp_path / "out").recipe
    assert recipe["selected"] == 10
    assert recipe["rule"]["gamma"] == 0.5


def test_compare(tiny, scored_pool, tmp_path, capsys):
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


def test_compare_refuses_what_is_no_rule(tmp_path, scored_pool, capsys):
    scored_pool.save_to_disk(tmp_path / "scored")
    data = ["--dataset_name", str(tmp_path / "scored"), "--eval_dataset_name", str(tmp_path / "scored")]
    out = ["--model_name_or_path", "x", "--output_dir", str(tmp_path / "out")]
    assert main(["compare", *data, "--selections", "Best", *out, *CPU]) == 2
    assert "expected a rule such as TopScore" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--budget", "0"], "expected at least 1 row, got 0"),
        (["--budget", "many"], "budget: expected rows (1200) or a share (0.15, 15%), got 'many'"),
        (["--by", "nope"], "expected a column 'nope'"),
        (["--rule", "TopScore", "--gamma", "1"], "TopScore has no"),
    ],
    ids=["budget", "no-number", "column", "rule"],
)
def test_wrong_flags_end_with_a_message_and_status_2(flags, message, scored_pool, tmp_path, capsys):
    scored_pool.save_to_disk(tmp_path / "scored")
    command = ["select", "--dataset_name", str(tmp_path / "scored"), "--output_dir", str(tmp_path / "out")]
    assert main([*command, *flags]) == 2
    assert message in capsys.readouterr().err


def test_unknown_yaml_key_is_an_error(tmp_path, capsys):
    (tmp_path / "select.yaml").write_text("dataset_name: x\nbudgte: 0.25\n")
    assert main(["select", "--config", str(tmp_path / "select.yaml")]) == 2
    assert "budgte" in capsys.readouterr().err


def test_a_pool_that_is_nowhere_is_an_error(capsys):
    assert main(["select", "--dataset_name", "nowhere/at/all"]) == 2
    assert "nowhere/at/all" in capsys.readouterr().err
