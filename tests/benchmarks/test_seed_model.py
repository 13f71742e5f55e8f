"""The benchmark of seed models, rehearsed on pools that teach nothing."""

import subprocess
import sys

import pytest
from rehearsal import BENCHMARKS, rehearse


@pytest.mark.slow
def test_models_are_measured_and_shown(tmp_path):
    models = ["none", "12.5%", "12.5%, 2 of 4 layers", "second round"]
    flags = ["--seeds", "2", "--models", *models]
    lines, rows = rehearse("seed_model.py", tmp_path, "seed_model: validation", *flags, times=2)
    assert [line["model"] for line in lines] == models
    assert [line["cpu"]["train"] > 0 for line in lines] == [False, True, True, True]
    assert all(0 <= line["auc"]["wrong"] <= 1 and len(line["trials"]) == 2 for line in lines)
    assert [row.split("|")[2].strip() for row in rows] == [line["model"] for line in lines]
    command = [sys.executable, str(BENCHMARKS / "seed_model.py"), "measure", "--tiny"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "expected --results, too" in refused.stderr
