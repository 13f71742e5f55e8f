"""Where a run's shards are scored: in this process, in worker processes, or in Ray actors."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from hf_vitselect.scoring.ranks import Rank
from hf_vitselect.scoring.task import Work
from hf_vitselect.scoring.worker_pool import Crew
from hf_vitselect.scoring.worker_process import Process


@dataclass(frozen=True)
class Engine:
    """How many workers of which kind.

    Attributes:
        kind: `local` for this machine, `ray` for the cluster that Ray is connected to.
        workers: processes or actors; None for none, the shards are then scored here.
        rank: of this process among those of a launcher.
    """

    kind: Literal["local", "ray"]
    workers: int | None
    rank: Rank

    @classmethod
    def choose(cls, kind: Literal["local", "ray"], workers: int | None) -> "Engine":
        """The engine with one worker per GPU, if no number is given.

        Args:
            kind: `local` or `ray`.
            workers: how many; by default, locally, one per visible GPU where there are several and a launcher
                has not started a rank for each, else none; with Ray one per GPU of the cluster, at least one.

        Raises:
            ValueError: if there is no such engine or number.
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
        work: Work,
        shards: Iterable[tuple[int, pa.Table]],
        keep: Callable[[int, pa.Table, pa.Table], None],
    ) -> None:
        """Scores all shards.

        Args:
            work: what is to be done with each.
            shards: number and rows; read when somebody is free to score them.
            keep: called with number, rows and their new columns, in any order.

        Raises:
            WorkerError: if workers die before they score anything.
            Exception: what a scorer raised.
        """
        if self.workers is None:
            for shard, table in shards:
                keep(shard, table, work(table, self.rank.local))
        elif self.kind == "ray":
            from hf_vitselect.scoring.ray_actor import RayActor

            Crew(work, lambda number: RayActor(work), self.workers).run(shards, keep)
        else:
            first = self.rank.local * self.workers
            threads = max(1, (os.cpu_count() or 1) // (self.rank.local_world * self.workers))
            Crew(work, lambda number: Process(work, first + number, threads), self.workers).run(shards, keep)


def _workers_here(rank: Rank) -> int | None:
    import torch

    gpus = torch.cuda.device_count()
    return gpus if gpus > 1 and rank.local_world == 1 else None


def _workers_on_ray() -> int:
    from hf_vitselect.scoring.ray_actor import gpus

    return max(1, gpus())
