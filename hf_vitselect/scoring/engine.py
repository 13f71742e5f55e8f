"""Where shards are scored: in this process, in worker processes or in Ray actors, and on which GPU."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import Keep, Shard, WorkerPool
from hf_vitselect.scoring.worker_process import WorkerProcess


@dataclass(frozen=True)
class Engine:
    """Kind and number of workers, None to score in this process; and the rank of this process."""

    kind: Literal["local", "ray"]
    workers: int | None
    rank: Rank

    @classmethod
    def choose(cls, kind: Literal["local", "ray"], workers: int | None) -> "Engine":
        """Choose the number of workers if it is None.

        Locally that is one per visible GPU if there are several and no launcher has started a rank for each,
        else no workers; with Ray one per GPU of the cluster, at least one. Raises ValueError for an unknown
        kind or a number below 1.
        """
        if kind not in ("local", "ray"):
            raise ValueError(f'expected engine="local" or engine="ray", got {kind!r}')
        if workers is not None and workers < 1:
            raise ValueError(f"expected workers from 1, or None to choose, got {workers}")
        rank = Rank.here()
        if workers is None:
            workers = _workers_on_ray() if kind == "ray" else _workers_here(rank)
        return cls(kind, workers, rank)

    def run(self, task: Task, shards: Iterable[Shard], keep: Keep) -> None:
        """Run the task on all shards; arguments are those of `WorkerPool.run`."""
        if self.workers is None:
            for shard, table in shards:
                keep(shard, table, task(table, self.rank.local))
        elif self.kind == "ray":
            from hf_vitselect.scoring.ray_actor import RayActor, connect

            connect()  # In this thread: the processes that Ray starts end with the thread that starts them.
            WorkerPool(task, lambda number: RayActor(task), self.workers).run(shards, keep)
        else:
            first = self.rank.local * self.workers
            threads = max(1, (os.cpu_count() or 1) // (self.rank.local_world * self.workers))
            pool = WorkerPool(task, lambda number: WorkerProcess(task, first + number, threads), self.workers)
            pool.run(shards, keep)


def _workers_here(rank: Rank) -> int | None:
    import torch

    gpus = torch.cuda.device_count()
    return gpus if gpus > 1 and rank.local_world == 1 else None


def _workers_on_ray() -> int:
    from hf_vitselect.scoring.ray_actor import connect, gpus

    connect()
    return max(1, gpus())
