"""Worker processes: the same numbers, and rows that kill are found."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from lengths import Length, Unloadable, calls, words
from pools import mixed_pool, raw_images

from hf_vitselect import NecessityScorer, score
from hf_vitselect.errors import WorkerError

TEXTS = [f"word{i}" for i in range(20)]


def cells(dataset):
    return dataset.select_columns(["length", "embedding", "length_status", "length_reason"])[:]


def test_two_workers_give_equal_scores(tiny, tmp_path):
    scorer, pool = NecessityScorer(tiny("llava").folder), mixed_pool(12)
    alone = score(pool, scorer)
    together = score(pool, scorer, tmp_path / "run", shard_size=3, workers=2)
    assert together.features == alone.features
    np.testing.assert_allclose(together["necessity"][:], alone["necessity"][:], atol=1e-5, rtol=0)
    assert together["messages"][:] == pool["messages"][:]
    assert raw_images(together) == raw_images(pool)


def test_workers_run_without_output_dir(tmp_path):
    scored = score(words(*TEXTS), Length(tmp_path), shard_size=2, workers=2)
    assert scored["length"][:] == [len(f"USER: {text} ASSISTANT: yes") for text in TEXTS]
    seen = calls(tmp_path)
    assert len(seen) == 2
    assert sorted(word for rows in seen.values() for word in rows) == sorted(TEXTS)


@pytest.mark.slow
def test_killing_row_fails_alone(tmp_path):
    scored = score(words("a", "signal", "c"), Length(tmp_path), tmp_path / "run", shard_size=2, workers=2)
    expected = cells(score(words("a", "sane", "c"), Length(tmp_path)))
    reason = "the worker died each time it scored this row"
    failed = {"length": None, "embedding": None, "length_status": "worker_died", "length_reason": reason}
    for column, value in failed.items():
        expected[column][1] = value
    assert cells(scored) == expected


@pytest.mark.slow
def test_dead_worker_with_child_is_noticed(tmp_path):
    scored = score(words("a", "orphan"), Length(tmp_path), tmp_path / "run", shard_size=1, workers=1)
    assert scored["length_status"][:] == ["ok", "worker_died"]
    assert not (tmp_path / "orphan").exists()


@pytest.mark.slow
def test_row_breaking_gpu_fails_alone(tmp_path, capfd):
    scored = score(words("a", "gpu", "c"), Length(tmp_path), tmp_path / "run", workers=1)
    assert scored["length_status"][:] == ["ok", "worker_died", "ok"]
    assert "AcceleratorError: CUDA error: device-side assert" in capfd.readouterr().err


@pytest.mark.slow
def test_shard_of_dead_worker_is_retried(tmp_path):
    scored = score(words("a", "once", "b"), Length(tmp_path), tmp_path / "run", workers=1)
    assert scored["length_status"][:] == ["ok"] * 3


def test_scorer_error_ends_the_run(tmp_path):
    before = psutil.Process().children()  # of other tests
    with pytest.raises(LookupError, match="no such thing") as caught:
        score(words(*TEXTS, "raise"), Length(tmp_path), tmp_path / "run", shard_size=4, workers=2)
    assert "In a worker process" in caught.value.__notes__[0]
    assert set(psutil.Process().children()) <= set(before)


@pytest.mark.slow
def test_workers_unable_to_load_end_run(tmp_path):
    with pytest.raises(WorkerError, match="died 3 times before its models were loaded"):
        score(words("a"), Unloadable(tmp_path), tmp_path / "run", workers=1)


def test_surplus_workers_are_not_started(tmp_path):
    score(words("a", "b"), Length(tmp_path), tmp_path / "run", shard_size=1, workers=8)
    assert len(calls(tmp_path)) <= 2


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"engine": "spark"}], ids=str)
def test_unknown_engine_is_an_error(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        score(words("a"), Length(tmp_path), tmp_path / "run", **wrong)


SCRIPT = """
import os, signal, time
from datasets import Features, Value
from hf_vitselect import Scorer, score
from lengths import words

class Mine(Scorer):
    def __init__(self):
        super().__init__(column="mine")

    @property
    def values(self):
        return Features({"mine": Value("int32")})

    def score_rows(self, rows):
        print("noise from a library")
        time.sleep(seconds * len(rows))
        return [(os.getpid(),)] * len(rows)

seconds = SECONDS
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
print("started", flush=True)
scored = score(words("a", "b", "c"), Mine(), "run", shard_size=1, workers=2)
print(len(scored), os.getpid() in scored["mine"][:])
"""


def script(tmp_path, seconds):
    """A user's script: a scorer of its own, no guard."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace("SECONDS", str(seconds)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, str(path)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_script_needs_no_guard(tmp_path):
    printed, _ = script(tmp_path, 0).communicate()
    assert printed == "started\n3 False\n"


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL], ids=lambda kill: kill.name)
def test_workers_die_with_their_parent(tmp_path, kill):
    parent = script(tmp_path, 60)
    assert parent.stdout.readline() == "started\n"
    deadline = time.monotonic() + 30
    while len(workers := psutil.Process(parent.pid).children()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # in the middle of loading
    parent.send_signal(kill)
    assert parent.wait(timeout=20) != 0
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
