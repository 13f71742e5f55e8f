"""Every command of the scripts of scoring and of selection runs, at a tiny size."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = {
    "score": {
        "speed": "--model 'tiny llava' --rows 2 --tokens 20 --per_image 2 --rounds 1",
        "signals": "--model 'tiny llava' --rows 2 --tokens 20 --rounds 1",
        "memory": "--model 'tiny llava' --tokens 20",
        "vision": "--model 'tiny llava' --rows 2 --tokens 20",
        "views": "--model 'tiny llava' --rows 4 --tokens 20 --rounds 1",
        "map": "--model 'tiny llava' --rows 2 --tokens 20 --per_image 2",
        "precision": "--model 'tiny llava' --rows 2 --tokens 20",
        "throughput": "--model 'tiny llava' --rows 2 --tokens 20 --per_image 2 --naive 1",
    },
    "select": {
        "speed": "--rows 300 --dim 32 --rounds 1",
        "exact": "--sizes 60 --dim 32",
        "memory": "--rows 300 --dim 32 --picks 20 --folder {folder}",
        "approximate": "--sizes 600 --dim 32",
        "peers": "--rows 300 --dim 32 --rounds 1",
        "large": "--rows 600 --dim 32 --folder {folder}",
    },
}
# All of a script's commands in one process: importing torch takes longer than most of them.
RUN = """
import os, runpy, shlex, sys
path, *commands = sys.argv[1:]
sys.path.append(os.path.dirname(path))
for command in commands:
    sys.argv = [path, *shlex.split(command)]
    print("==", command, flush=True)
    runpy.run_path(path, run_name="__main__")
"""


def run(script, *commands):
    command = [sys.executable, "-c", RUN, BENCHMARKS / f"{script}.py", *commands]
    quick = {**os.environ, "TORCHDYNAMO_DISABLE": "1"}  # compiling takes minutes
    return subprocess.run(command, capture_output=True, text=True, check=False, env=quick)


@pytest.mark.slow
@pytest.mark.parametrize("script", TINY)
def test_every_command_runs(script, tmp_path):
    commands = [f"{name} {flags.format(folder=tmp_path)}" for name, flags in TINY[script].items()]
    done = run(script, *commands)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split("== ")[1:]
    assert len(printed) == len(commands)
    assert all(re.search(r"\d", text.partition("\n")[2]) for text in printed)
    assert "DIFFERENT" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", TINY)
def test_no_command_is_left_out(script):
    done = run(script, "unknown")
    assert done.returncode == 2
    names = re.search(r"choose from (.*)\)", done.stderr).group(1)
    assert re.findall(r"\w+", names) == list(TINY[script])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "large"])
def test_too_many_picks_are_refused(name, tmp_path):
    done = run("select", f"{name} --rows 300 --picks 2000 --folder {tmp_path}")
    assert done.returncode == 2
    assert "--picks: expected at most --rows, 300, got 2000; give fewer picks" in done.stderr
    assert list(tmp_path.iterdir()) == []
