"""Every command of the scripts of scoring and of selection runs, at a tiny size."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = {**os.environ, "TORCHDYNAMO_DISABLE": "1"}  # compiling takes minutes

SCORE = {
    "speed": "--rows 2 --tokens 20 --per_image 2 --rounds 1",
    "signals": "--rows 2 --tokens 20 --rounds 1",
    "memory": "--tokens 20",
    "map": "--rows 2 --tokens 20 --per_image 2",
    "precision": "--rows 2 --tokens 20",
    "throughput": "--rows 2 --tokens 20 --per_image 2 --naive 1",
}
SELECT = {
    "speed": "--rows 300 --dim 32 --rounds 1",
    "exact": "--sizes 60 --dim 32",
    "memory": "--rows 300 --dim 32 --picks 20",
    "approximate": "--sizes 600 --dim 32",
    "peers": "--rows 300 --dim 32 --rounds 1",
    "large": "--rows 600 --dim 32",
}
EVERY = [("score", name) for name in SCORE] + [("select", name) for name in SELECT]


def run(script, name, *flags):
    command = [sys.executable, BENCHMARKS / f"{script}.py", name, *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=QUICK)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "name"), EVERY)
def test_every_command_runs(script, name, tmp_path):
    flags = (SCORE if script == "score" else SELECT)[name].split()
    if (script, name) in (("select", "memory"), ("select", "large")):
        flags += ["--folder", tmp_path]
    done = run(script, name, *flags)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d", done.stdout)
    assert "DIFFERENT" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", ["score", "select"])
def test_no_command_is_left_out(script):
    done = run(script, "no such command")
    assert done.returncode == 2
    names = re.search(r"choose from (.*)\)", done.stderr).group(1)
    assert re.findall(r"[\w]+", names) == list(SCORE if script == "score" else SELECT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "large"])
def test_too_many_picks_are_refused(name, tmp_path):
    done = run("select", name, "--rows", "300", "--picks", "2000", "--folder", tmp_path)
    assert done.returncode == 2
    assert "--picks: expected at most --rows, 300, got 2000; give fewer picks" in done.stderr
    assert list(tmp_path.iterdir()) == []
