"""Commands from flags and YAML sections."""

import pytest

from hf_vitselect.cli.parse import parse_flags, parse_section
from hf_vitselect.cli.score import Score
from hf_vitselect.errors import UsageError


def test_lists_may_hold_numbers():
    section = {"dataset_name": "x", "eval_dataset_name": "y", "model_name_or_path": "m", "use_cpu": True}
    flags = parse_section("compare", {**section, "budgets": [4, 0.5], "evaluations": "token_f1"})
    assert (flags.budgets, flags.evaluations) == (["4", "0.5"], ["token_f1"])


def test_flags_override_the_file(tmp_path):
    (tmp_path / "score.yaml").write_text("dataset_name: x\nshard_size: 5\nmodel_revision: v1\n")
    command = parse_flags("score", [f"--config={tmp_path / 'score.yaml'}", "--shard_size", "6"])
    assert isinstance(command, Score)
    assert (command.dataset_name, command.shard_size) == ("x", 6)
    assert command.model_flags.model_revision == "v1"


def test_wrong_choices_in_files_are_refused():
    with pytest.raises(UsageError, match="section push: publish: expected 'rows' or 'indices', got 'all'"):
        parse_section("push", {"selection": "x", "repo_id": "a/b", "publish": "all"})
