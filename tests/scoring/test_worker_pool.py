"""What happens when workers die, with workers that only pretend to."""

import pyarrow as pa
import pytest
from lengths import Length

from hf_vitselect.errors import WorkerError
from hf_vitselect.scoring.task import Work
from hf_vitselect.scoring.worker_pool import Crew, WorkerDied


class Pretender:
    """Gives rows their number back, and dies of some."""

    def __init__(self, hired, deadly):
        self.hired, self.deadly, self.alive = hired, deadly, True
        hired.append(self)

    def score(self, table):
        assert self.alive
        rows = table["row"].to_pylist()
        if self.deadly(rows):
            raise WorkerDied("exit code 3", loaded=True)
        return pa.table({"length": rows, "length_status": ["ok"] * len(rows)})

    def stop(self):
        self.alive = False


class Columns(Work):
    """Its lost rows have the columns of `Pretender`."""

    def lost(self, rows):
        return pa.table(
            {"length": pa.array([None] * rows, pa.int64()), "length_status": ["worker_died"] * rows}
        )


def run(rows, shard, deadly, size=2):
    """The numbers of all rows in order, and the workers that were hired."""
    hired, kept = [], {}
    shards = ((i, pa.table({"row": range(i, min(i + shard, rows))})) for i in range(0, rows, shard))
    crew = Crew(Columns([Length("")]), lambda number: Pretender(hired, deadly), size)
    crew.run(shards, lambda number, table, columns: kept.update({number: columns}))
    assert not any(worker.alive for worker in hired)
    return pa.concat_tables([kept[number] for number in sorted(kept)])["length"].to_pylist(), hired


@pytest.mark.parametrize("deadly", [{0}, {7}, {3, 4}, {0, 1, 2, 19}, set(range(4, 9))], ids=str)
@pytest.mark.parametrize("shard", [1, 7, 20])
@pytest.mark.parametrize("size", [1, 3])
def test_only_killing_rows_fail(deadly, shard, size):
    found, _ = run(20, shard, lambda rows: bool(deadly & set(rows)), size)
    assert found == [None if row in deadly else row for row in range(20)]


def test_killing_row_costs_few_workers():
    _, hired = run(500, 500, lambda rows: 123 in rows)
    assert len(hired) <= 13


def test_chance_death_costs_no_row():
    deaths = iter([False, True])
    found, hired = run(20, 5, lambda rows: next(deaths, False), size=1)
    assert found == list(range(20))
    assert len(hired) == 2


def test_workers_always_dying_end_the_run():
    with pytest.raises(
        WorkerError, match=r"3[01] workers died and none has scored a row, the last so: exit code 3"
    ):
        run(1000, 100, lambda rows: True)


def test_shards_wait_for_free_workers():
    read, most = [], []

    def shards():
        for i in range(50):
            read.append(i)
            yield i, pa.table({"row": [i]})

    kept = []
    crew = Crew(Columns([Length("")]), lambda number: Pretender([], lambda rows: False), 2)
    crew.run(shards(), lambda number, *_: (kept.append(number), most.append(len(read) - len(kept))))
    assert sorted(kept) == list(range(50))
    assert max(most) <= 2
