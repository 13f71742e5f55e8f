"""A run that is killed again and again ends with what it would have ended with."""

import numpy as np
import pytest
from lengths import Length, calls, words
from processes_of_tests import start

from hf_vitselect import score

pytestmark = pytest.mark.slow

POOL = words(*(f"word{i}" for i in range(100)))
KILLS = 20


def pool(streamed):
    return POOL.to_iterable_dataset(num_shards=3) if streamed else POOL


def run(folder, streamed):
    """What is killed."""
    score(pool(streamed), Length(folder, seconds=0.03), folder / "run", shard_size=2)


@pytest.mark.parametrize("streamed", [False, True], ids=["rows", "stream"])
def test_twenty_kills_change_nothing(tmp_path, streamed):
    rng = np.random.default_rng(0)
    for _ in range(KILLS):
        process = start(run, tmp_path, streamed)
        process.join(rng.uniform(0.02, 0.25))
        process.kill()
        process.join()
        assert process.exitcode == -9
    finished = len(list((tmp_path / "run").glob("shard-*")))
    assert 0 < finished < 50

    scorer = Length(tmp_path, seconds=0.03)
    resumed = score(pool(streamed), scorer, tmp_path / "run", shard_size=2, workers=2)
    scored = [word for rows in calls(tmp_path).values() for word in rows]
    assert len(scored) <= len(POOL) + 2 * KILLS
    assert resumed[:] == score(pool(streamed), scorer, tmp_path / "whole", shard_size=2)[:]
