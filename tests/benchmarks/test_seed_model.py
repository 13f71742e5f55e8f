"""The benchmark of seed models, rehearsed on pools that teach nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_models_are_measured_and_shown(tmp_path):
    results, page = tmp_path / "lines.jsonl", tmp_path / "page.md"
    page.write_text("<!-- seed_model: validation -->\n<!-- end -->\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "seed_model.py")]
    measure = ["measure", "--tiny", "--testbeds", "demo", "--folder", str(tmp_path / "run"), "--seeds", "2"]
    models = ["none", "12.5%", "12.5%, 2 of 4 layers", "second round"]
    measure += ["--models", *models]
    for _ in range(2):
        subprocess.run([*command, *measure, "--results", str(results)], check=True)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["model"] for line in lines] == models
    assert [line["cpu"]["train"] > 0 for line in lines] == [False, True, True, True]
    assert all(0 <= line["auc"]["wrong"] <= 1 and len(line["trials"]) == 2 for line in lines)
    subprocess.run([*command, "page", "--results", str(results), "--page", str(page)], check=True)
    rows = [line for line in page.read_text().splitlines() if line.startswith("| demo")]
    assert [row.split("|")[2].strip() for row in rows] == [line["model"] for line in lines]
    refused = subprocess.run([*command, "measure", "--tiny"], check=False, capture_output=True, text=True)
    assert "expected --results, too" in refused.stderr
