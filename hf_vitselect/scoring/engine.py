"""Where shards are scored: in this process, in worker processes or in Ray actors, and on which GPU."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import WorkerPool
from hf_vitselect.scoring.worker_process import WorkerProcess


@dataclass(frozen=True)
class Engine:
    """Kind and number of workers.

    Attributes:
        kind: `local` for this machine, `ray` for the cluster that Ray is connected to.
        workers: number of processes or actors; None to score in this process.
        rank: of this process among those of a launcher.
    """

    kind: Literal["local", "ray"]
    workers: int | None
    rank: Rank

    @classmethod
    def choose(cls, kind: Literal["local", "ray"], workers: int | None) -> "Engine":
        """Chooses one worker per GPU unless a number is given.

        Args:
            kind: `local` or `ray`.
            workers: number of workers. None means, locally, one per visible GPU if there are several and no
                launcher has started a rank for each, else no workers; with Ray one per GPU of the cluster, at
                least one.

        Raises:
            ValueError: for an unknown kind or a number below 1.
        """
        if kind not in ("local", "ray"):
            raise ValueError(f'expected engine="local" or engine="ray", got {kind!r}')
        if workers is not None and workers < 1:
            raise ValueError(f"expected workers from 1, or None to choose, got {workers}")
        rank = Rank.here()
        if workers is None:
            workers = _workers_on_ray() if kind == "ray" else _workers_here(rank)
        return cls(kind, workers, rank)

    def run(
        self,
        task: Task,
        shards: Iterable[tuple[int, pa.Table]],
        keep: Callable[[int, pa.Table, pa.Table], None],
    ) -> None:
        """Scores all shards.

        Args:
            task: what is done with each shard.
            shards: number and rows; read when a worker is free.
            keep: called with number, rows and their new columns, in any order, from several threads.

        Raises:
            WorkerError: if workers die before any row is scored.
            Exception: what a scorer raised.
        """
        if self.workers is None:
            for shard, table in shards:
                keep(shard, table, task(table, self.rank.local))
        elif self.kind == "ray":
            from hf_vitselect.scoring.ray_actor import RayActor

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
    from hf_vitselect.scoring.ray_actor import gpus

    return max(1, gpus())
