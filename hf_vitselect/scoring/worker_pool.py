"""Workers that share the shards of one run, and what happens when one of them dies."""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import Protocol

import pyarrow as pa

from hf_vitselect.errors import WorkerError
from hf_vitselect.scoring.task import Work

_STARTS = 3
_DEATHS = 30

_logger = logging.getLogger(__name__)


class WorkerDied(Exception):
    """A worker is gone; nobody knows how far it came.

    Attributes:
        loaded: whether it had loaded its models, so that it died of its rows.
    """

    def __init__(self, message: str, *, loaded: bool) -> None:
        super().__init__(message)
        self.loaded = loaded


class Worker(Protocol):
    """Something that can be killed by the rows it scores, without killing this process."""

    def score(self, table: pa.Table) -> pa.Table:
        """The new columns of these rows.

        Raises:
            WorkerDied: if it is gone.
            Exception: what the scorer raised.
        """

    def stop(self) -> None:
        """Ends it, also in the middle of its work; `score` then raises in the thread that called it."""


class Crew:
    """Workers, each with a thread here that reads a shard, has it scored and keeps it.

    A worker that dies is replaced. Its shard is tried once more; if that kills too, the shard is halved
    until the rows that kill stand alone. Those are tried twice and then lost.

    Args:
        work: what the workers do.
        hire: starts worker number 0, 1, ... and does not wait for it.
        size: how many workers there are at most; none is started before there is a shard for it.
    """

    def __init__(self, work: Work, hire: Callable[[int], Worker], size: int) -> None:
        self._work = work
        self._hire = hire
        self._size = size
        self._workers: dict[int, Worker] = {}
        self._reading, self._hiring = Lock(), Lock()
        self._stopped = False
        self._deaths, self._scored = 0, False

    def run(
        self, shards: Iterable[tuple[int, pa.Table]], keep: Callable[[int, pa.Table, pa.Table], None]
    ) -> None:
        """Scores all shards; returns, or raises, when no worker is left.

        Args:
            shards: number and rows; read one at a time, when a worker is free.
            keep: called with number, rows and their new columns, in any order, from several threads.

        Raises:
            WorkerError: if workers die before they score anything.
            Exception: what a scorer raised.
        """
        waiting = iter(shards)
        with ThreadPoolExecutor(self._size) as threads:
            try:
                seats = [threads.submit(self._sit, number, waiting, keep) for number in range(self._size)]
                for seat in as_completed(seats):
                    seat.result()
            finally:
                self._stop()

    def _sit(
        self,
        number: int,
        shards: Iterator[tuple[int, pa.Table]],
        keep: Callable[[int, pa.Table, pa.Table], None],
    ) -> None:
        while (task := self._next(shards)) is not None:
            shard, table = task
            keep(shard, table, self._score(number, table, tries=2))
        if number in self._workers:
            self._workers[number].stop()

    def _next(self, shards: Iterator[tuple[int, pa.Table]]) -> tuple[int, pa.Table] | None:
        with self._reading:
            return None if self._stopped else next(shards, None)

    def _score(self, number: int, table: pa.Table, tries: int) -> pa.Table:
        for _ in range(tries):
            columns = self._try(number, table)
            if columns is not None:
                return columns
        if len(table) == 1:
            return self._work.lost(1)
        middle = len(table) // 2
        halves = (table.slice(0, middle), table.slice(middle))
        return pa.concat_tables([self._score(number, half, 2 if len(half) == 1 else 1) for half in halves])

    def _try(self, number: int, table: pa.Table) -> pa.Table | None:
        """The columns, or None if a worker died of the rows."""
        for _ in range(_STARTS):
            try:
                columns = self._worker(number).score(table)
            except WorkerDied as death:
                if self._stopped:
                    raise
                if number in self._workers:
                    self._workers.pop(number).stop()
                _logger.warning("Worker %d died with %d rows: %s", number, len(table), death)
                self._deaths += 1
                if not self._scored and self._deaths >= _DEATHS:
                    raise WorkerError(
                        f"{self._deaths} workers died and none has scored a row, the last so: {death}; "
                        "call scorer(pool[:1]) to see what happens"
                    ) from death
                if death.loaded:
                    return None
            else:
                self._scored = True
                return columns
        raise WorkerError(
            f"worker {number} died {_STARTS} times before its models were loaded; "
            "look at what it printed, at the machine's memory, and start fewer workers"
        )

    def _worker(self, number: int) -> Worker:
        with self._hiring:
            if self._stopped:
                raise WorkerDied("the run was stopped", loaded=False)
            if number not in self._workers:
                self._workers[number] = self._hire(number)
            return self._workers[number]

    def _stop(self) -> None:
        with self._hiring:
            self._stopped = True
            for worker in list(self._workers.values()):
                worker.stop()
