"""Workers that share the shards of a run. A dead worker is replaced, and its shard retried as in `retry`.

When memory runs out, the system or Ray kills the worker, which is a death like any other. When GPU memory
runs out, no worker dies: the model halves its batch, see `hf_vitselect.models.out_of_memory`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from threading import Lock
from typing import Protocol

import pyarrow as pa

from hf_vitselect.errors import WorkerError
from hf_vitselect.scoring.retry import score_with_retries
from hf_vitselect.scoring.task import Task

Shard = tuple[int, pa.Table]
"""Number and rows."""

Keep = Callable[[int, pa.Table, pa.Table], None]
"""Takes a shard's number, its rows and their new columns."""

_STARTS = 3
_DEATHS = 30

_logger = logging.getLogger(__name__)


class WorkerDied(Exception):
    """A worker is gone, with unknown progress."""


class Worker(Protocol):
    """A process or actor that its rows can kill without killing this process."""

    def score(self, table: pa.Table) -> pa.Table:
        """Return the new columns of these rows; an empty table loads the models.

        Raises WorkerDied if the worker is gone, and whatever the scorer raises.
        """

    def stop(self) -> None:
        """Kill the worker, also during `score`, which then raises in the thread that called it."""


class WorkerPool:
    """Slots for workers, each with a thread in this process that reads a shard, has it scored and keeps it.

    Args:
        task: what the workers do.
        start: starts worker number 0, 1, ... without waiting for it.
        size: number of slots; the worker of a slot is started when a shard is ready for it.
    """

    def __init__(self, task: Task, start: Callable[[int], Worker], size: int) -> None:
        self._task = task
        self._start = start
        self._size = size
        self._workers: dict[int, Worker] = {}
        self._read_lock, self._start_lock = Lock(), Lock()
        self._stopped = False
        self._deaths, self._scored = 0, False

    def run(self, shards: Iterable[Shard], keep: Keep) -> None:
        """Score all shards; every worker is stopped when it returns or raises.

        Args:
            shards: read one at a time, when a slot is free.
            keep: called for the shards in any order, from several threads.
        """
        waiting = iter(shards)
        with ThreadPoolExecutor(self._size) as threads:
            try:
                slots = [threads.submit(self._run_slot, slot, waiting, keep) for slot in range(self._size)]
                for finished in as_completed(slots):
                    finished.result()
            finally:
                self._stop()

    def _run_slot(self, slot: int, shards: Iterator[Shard], keep: Keep) -> None:
        attempt = partial(self._attempt, slot)
        while (shard := self._next(shards)) is not None:
            number, table = shard
            keep(number, table, score_with_retries(table, attempt, self._task.failed_rows))
        if slot in self._workers:
            self._workers[slot].stop()

    def _next(self, shards: Iterator[Shard]) -> Shard | None:
        with self._read_lock:
            return None if self._stopped else next(shards, None)

    def _attempt(self, slot: int, table: pa.Table) -> pa.Table | None:
        """The new columns, or None if the rows killed the worker."""
        for _ in range(_STARTS):
            loaded = slot in self._workers  # from an earlier attempt: the dead and the unloadable are removed
            try:
                worker = self._worker(slot)
                if not loaded:
                    worker.score(table.slice(0, 0))
                    loaded = True
                columns = worker.score(table)
            except WorkerDied as death:
                if self._stopped:
                    raise
                if slot in self._workers:
                    self._workers.pop(slot).stop()
                _logger.warning("Worker %d died with %d rows: %s", slot, len(table), death)
                self._deaths += 1
                if not self._scored and self._deaths >= _DEATHS:
                    raise WorkerError(
                        f"{self._deaths} workers died and none has scored a row, the last one with: {death}; "
                        "call scorer(pool[:1]) to see what happens"
                    ) from death
                if loaded:
                    return None
            else:
                self._scored = True
                return columns
        raise WorkerError(
            f"worker {slot} died {_STARTS} times before its models were loaded; "
            "look at what it printed and at the machine's memory, and start fewer workers"
        )

    def _worker(self, slot: int) -> Worker:
        with self._start_lock:
            if self._stopped:
                raise WorkerDied("the run was stopped")
            if slot not in self._workers:
                self._workers[slot] = self._start(slot)
            return self._workers[slot]

    def _stop(self) -> None:
        with self._start_lock:
            self._stopped = True
            for worker in list(self._workers.values()):
                worker.stop()
