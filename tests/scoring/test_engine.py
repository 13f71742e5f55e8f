"""Default number of workers, and which GPU they use."""

import pytest
import torch
from lengths import Length, words

from hf_vitselect import score
from hf_vitselect.errors import StaleRunError
from hf_vitselect.scoring.engine import Engine
from hf_vitselect.scoring.task import Task


@pytest.mark.parametrize(
    ("gpus", "ranks_here", "expected"),
    [(0, 1, None), (1, 1, None), (4, 1, 4), (4, 4, None)],
    ids=["no GPU", "one", "four", "four, each a rank's"],
)
def test_one_worker_per_gpu(monkeypatch, gpus, ranks_here, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks_here))
    assert Engine.choose("local", None).workers == expected
    assert Engine.choose("local", 3).workers == 3


def test_local_rank_picks_the_gpu(monkeypatch, tmp_path):
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    scorer = Length(tmp_path)
    shards = [(0, words("a").with_format("arrow")[:])]
    Engine.choose("local", None).run(Task([scorer]), shards, lambda *_: None)
    assert scorer._rank == 1


class Retrained(Length):
    """As if its folder's files changed after the first shard."""

    def recipe(self):
        return super().recipe() | {"call": self._rank}


def test_changed_model_ends_the_run(tmp_path):
    with pytest.raises(StaleRunError, match="not those that the run began with"):
        Task([Retrained(tmp_path)])(words("a").with_format("arrow")[:], 1)


def test_broken_gpu_raises_without_workers(tmp_path):
    with pytest.raises(torch.AcceleratorError, match="device-side assert"):
        score(words("a", "gpu"), Length(tmp_path), tmp_path / "run")
