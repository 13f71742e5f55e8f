"""The script of large pools measures every stage, and what a kill costs."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"
STAGES = ("row_ids", "score", "score again", "score a stream", "stream again", "select_diverse")


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.slow
def test_every_stage_is_measured(tmp_path):
    printed = run("grow", "--rows", "100", "200", "--share", "0.1", "--folder", tmp_path)
    assert all(f"| {stage} " in printed for stage in STAGES)


@pytest.mark.slow
def test_killed_run_is_measured(tmp_path):
    printed = run("resume", "--size", "60", "--seconds", "0.02", "--rounds", "1", "--folder", tmp_path)
    assert "left alone" in printed
    assert printed.count("%") == 1
