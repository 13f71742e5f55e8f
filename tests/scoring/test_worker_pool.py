"""Deaths of workers, with fake workers."""

import pyarrow as pa
import pytest
from lengths import Length

from hf_vitselect.errors import WorkerError
from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import WorkerDied, WorkerPool


class FakeWorker:
    """Returns the number of each row, and dies of some."""

    def __init__(self, started, deadly):
        self.deadly, self.alive = deadly, True
        started.append(self)

    def score(self, table):
        assert self.alive
        rows = table["row"].to_pylist()
        if rows and self.deadly(rows):
            raise WorkerDied("exit code 3")
        return pa.table({"length": rows, "length_status": ["ok"] * len(rows)})

    def stop(self):
        self.alive = False


class Columns(Task):
    """Its failed rows have the columns of `FakeWorker`."""

    def failed_rows(self, rows):
        return pa.table(
            {"length": pa.array([None] * rows, pa.int64()), "length_status": ["worker_died"] * rows}
        )


def run(rows, shard, deadly, size=2):
    """The numbers of all rows in order, and the workers that were started."""
    started, kept = [], {}
    shards = ((i, pa.table({"row": range(i, min(i + shard, rows))})) for i in range(0, rows, shard))
    workers = WorkerPool(Columns([Length("")]), lambda number: FakeWorker(started, deadly), size)
    workers.run(shards, lambda number, table, columns: kept.update({number: columns}))
    assert not any(worker.alive for worker in started)
    return pa.concat_tables([kept[number] for number in sorted(kept)])["length"].to_pylist(), started


@pytest.mark.parametrize("deadly", [{0}, {7}, {3, 4}, {0, 1, 2, 19}, set(range(4, 9))], ids=str)
@pytest.mark.parametrize("shard", [1, 7, 20])
@pytest.mark.parametrize("size", [1, 3])
def test_only_killing_rows_fail(deadly, shard, size):
    result, _ = run(20, shard, lambda rows: bool(deadly & set(rows)), size)
    assert result == [None if row in deadly else row for row in range(20)]


def test_killing_row_costs_few_workers():
    _, started = run(500, 500, lambda rows: 123 in rows)
    assert len(started) <= 13


def test_chance_death_costs_no_row():
    deaths = iter([False, True])
    result, started = run(20, 5, lambda rows: next(deaths, False), size=1)
    assert result == list(range(20))
    assert len(started) == 2


def test_workers_always_dying_end_the_run():
    with pytest.raises(
        WorkerError, match=r"3[01] workers died and none has scored a row, the last one with: exit code 3"
    ):
        run(1000, 100, lambda rows: True)


def test_shards_wait_for_free_workers():
    read, most = [], []

    def shards():
        for i in range(50):
            read.append(i)
            yield i, pa.table({"row": [i]})

    kept = []
    workers = WorkerPool(Columns([Length("")]), lambda number: FakeWorker([], lambda rows: False), 2)
    workers.run(shards(), lambda number, *_: (kept.append(number), most.append(len(read) - len(kept))))
    assert sorted(kept) == list(range(50))
    assert max(most) <= 2
