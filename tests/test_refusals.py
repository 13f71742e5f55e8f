"""The reason of every refusal is stored, whichever way the rows go."""

import pickle

import pytest
from datasets import Features, Value
from pools import assistant, pool, user

from hf_vitselect import Scorer, score
from hf_vitselect.errors import RowError
from hf_vitselect.refusals import LONGEST_REASON, reason_of


class Fussy(Scorer):
    """The number of characters; refuses the row "no"."""

    @property
    def values(self):
        return Features({self.column: Value("int32")})

    def score_rows(self, rows):
        return [
            row
            if isinstance(row, RowError)
            else RowError("too_long", "no, thanks")
            if row.turns[0].text == "no"
            else (len(row.transcript),)
            for row in rows
        ]


POOL = pool([([user(text), assistant("yes")], []) for text in ("a", "no", "b")])
WAYS = {
    "map": lambda rows, _: rows.map(Fussy(column="x"), batched=True),
    "map row by row": lambda rows, _: rows.map(Fussy(column="x")),
    "score": lambda rows, _: score(rows, Fussy(column="x")),
    "shards": lambda rows, out: score(rows, Fussy(column="x"), out, shard_size=2),
    "stream": lambda rows, out: score(rows.to_iterable_dataset(), Fussy(column="x"), out, shard_size=2),
    "worker": lambda rows, out: score(rows, Fussy(column="x"), out, workers=1),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_reason_stands_beside_the_status_whichever_way_the_rows_go(way, tmp_path):
    scored = way(POOL, tmp_path / "run")
    assert scored["x_status"][:] == ["ok", "too_long", "ok"]
    assert scored["x_reason"][:] == [None, "no, thanks", None]
    assert list(scored.features)[-3:] == ["x", "x_status", "x_reason"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("cannot open /home/me/pics/a.png: no", "cannot open a.png: no"),
        ("no '/home/my pics/a.png'", "no 'a.png'"),
        (r"C:\pics\a.png is gone", "a.png is gone"),
        (r"\\server\pics\a.png is gone", "a.png is gone"),
        ("file:///home/me/a.png and ~/pics/b.png", "a.png and b.png"),
        ("https://host/pics/a.png", "https://host/pics/a.png"),
        ("spells </s> and 1/2", "spells </s> and 1/2"),
        ("two\n  lines", "two lines"),
        ("cannot identify image file <_io.BytesIO object at 0x7f675310c6d0>", "cannot identify image file"),
        ("\ud800", "?"),
        ("x" * 1000, "x" * (LONGEST_REASON - 1) + "…"),
    ],
)
def test_a_reason_is_one_short_line_without_folders_of_this_machine(message, reason):
    assert reason_of(RowError("bad_row", message)) == reason


def test_a_row_s_error_travels_by_pickle():
    error = pickle.loads(pickle.dumps(RowError("bad_row", "no", {"x": 1})))
    assert (error.status, error.message, error.known, str(error)) == (
        "bad_row",
        "no",
        {"x": 1},
        "bad_row: no",
    )
