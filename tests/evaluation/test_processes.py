"""The processes that fine-tune side by side."""

import os
import subprocess
import sys
import time

import pytest

SCRIPT = """
import os, sys, time
from pathlib import Path
from hf_vitselect.evaluation.processes import running

class Endless:
    def finish(self, setup, unusable):
        Path(sys.argv[1], str(os.getpid())).touch()
        time.sleep(600)

if __name__ == "__main__":
    with running(None, {}, 2) as finish:
        finish([Endless()] * 3)
"""


def exists(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_comparison_leaves_no_process(tmp_path):
    script, started = tmp_path / "script.py", tmp_path / "started"
    script.write_text(SCRIPT)
    started.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(started)])
    wait_for(lambda: len(os.listdir(started)) == 2)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(exists(int(name)) for name in os.listdir(started)), seconds=10)
