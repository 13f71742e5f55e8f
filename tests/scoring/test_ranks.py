"""Processes of a launcher share a run without waiting for each other."""

import os
import subprocess
import sys

import pytest
from lengths import Length, calls, words
from processes_of_tests import start

from hf_vitselect import score
from hf_vitselect.scoring.ranks import Rank

TEXTS = [f"word{i}" for i in range(24)]


def run(folder, rank, streamed=False, seconds=0.02):
    """One of two ranks; it leaves its process id and what it got."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2")
    pool = words(*TEXTS).to_iterable_dataset() if streamed else words(*TEXTS)
    scored = score(pool, Length(folder, seconds=seconds), folder / "run", shard_size=2)
    (folder / f"rank-{rank}").write_text(f"{os.getpid()} {scored['length'][:]}")


def results(folder):
    """What each rank got, by process."""
    return dict(path.read_text().split(maxsplit=1) for path in folder.glob("rank-*"))


@pytest.mark.parametrize("streamed", [False, True], ids=["rows", "stream"])
def test_two_ranks_share_the_shards(tmp_path, streamed):
    ranks = [start(run, tmp_path, rank, streamed) for rank in (0, 1)]
    for process in ranks:
        process.join(60)
    expected = str([len(f"USER: {text} ASSISTANT: yes") for text in TEXTS])
    assert list(results(tmp_path).values()) == [expected, expected]
    assert {word for rows in calls(tmp_path).values() for word in rows} == set(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
        [
            *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
            *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        ],
    ],
    ids=["torchrun", "accelerate"],
)
def test_launcher_processes_are_ranks(tmp_path, launcher):
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, sys, torch\n"
        "from hf_vitselect import score\n"
        "from lengths import Length, words\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "torch.distributed.init_process_group('gloo')\n"
        "torch.distributed.barrier()  # so that both find work\n"
        f"scored = score(words(*{TEXTS}), Length(folder, seconds=0.02), folder / 'run', shard_size=2)\n"
        "sys.stdout.write(f\"{scored['length'][:]}\\n\")  # in one piece: the ranks share the pipe\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(script), str(tmp_path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str([len(f"USER: {text} ASSISTANT: yes") for text in TEXTS])] * 2
    assert len(calls(tmp_path)) == 2
    assert {word for rows in calls(tmp_path).values() for word in rows} == set(TEXTS)


def test_missing_rank_is_not_awaited(tmp_path):
    alone = start(run, tmp_path, 1)
    alone.join(60)
    assert len(results(tmp_path)) == 1
    (seen,) = calls(tmp_path).values()
    assert sorted(seen) == sorted(TEXTS)
    assert seen[:12] == [word for i, word in enumerate(TEXTS) if i // 2 % 2 == 1]


@pytest.mark.slow
def test_killed_rank_is_not_awaited(tmp_path):
    slow = start(run, tmp_path, 0, False, 0.02)
    slow.join(0.3)
    slow.kill()
    slow.join()
    other = start(run, tmp_path, 1)
    other.join(60)
    assert len(results(tmp_path)) == 1


def test_rank_reads_launcher_variables(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert Rank.here() == Rank(0, 1, 0, 1)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert Rank.here() == Rank(5, 8, 1, 4)


def test_ranks_help_in_different_orders():
    orders = [list(Rank(rank, 4).order(range(100))) for rank in range(4)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert [order[0] for order in orders] == [0, 1, 2, 3]
    assert len({order[30] for order in orders}) > 1
