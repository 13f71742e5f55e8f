"""The reason of every refusal is stored, whichever way the rows go."""

import pickle
from contextlib import nullcontext

import pytest
from datasets import Features, Value
from pools import assistant, pool, user

from hf_vitselect import Scorer, score, select_diverse
from hf_vitselect.data.refusals import LONGEST_REASON, reason_of
from hf_vitselect.errors import AllRefusedError, BudgetError, RowError
from hf_vitselect.rules import TopScore


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


class Easy(Fussy):
    """Refuses nothing."""

    def score_rows(self, rows):
        return [(0,)] * len(rows)


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
def test_every_way_writes_the_reason(way, tmp_path):
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
def test_reason_is_short_without_folders(message, reason):
    assert reason_of(RowError("bad_row", message)) == reason


def test_row_error_survives_pickle():
    error = pickle.loads(pickle.dumps(RowError("bad_row", "no", {"x": 1})))
    assert (error.status, error.message, error.known, str(error)) == (
        "bad_row",
        "no",
        {"x": 1},
        "bad_row: no",
    )


def refused(rows):
    """So many rows of ten cannot be scored."""
    return pool([([user("no" if i < rows else "a"), assistant("yes")], []) for i in range(10)])


@pytest.mark.parametrize("out", [None, "run"])
@pytest.mark.parametrize("rows", [0, 5, 6, 10])
def test_warning_if_most_rows_refused(rows, out, tmp_path, recwarn):
    why = f"{rows} too_long \\(no, thanks\\)"
    expected = pytest.raises(AllRefusedError, match=f"all 10 rows have no x: {why}")
    with expected if rows == 10 else nullcontext() as error:
        score(refused(rows), Fussy(column="x"), out and tmp_path / out)
    assert rows < 10 or error.value.scored["x_reason"][:] == ["no, thanks"] * 10
    if out is not None:  # and a run that gave nothing binds nobody
        score(refused(0), Easy(column="x"), tmp_path / ("run" if rows == 10 else "another"))
    said = [str(one.message) for one in recwarn if "too_long" in str(one.message)]
    assert len(said) == (rows == 6)
    assert all(text.startswith("6 of 10 rows (60%) have no x: 6 too_long (no, thanks)") for text in said)


def test_selection_keeps_the_reasons():
    scored = refused(6).map(Fussy(column="x"), batched=True)
    with pytest.warns(UserWarning, match=r"6 of 10 rows \(60%\) cannot be picked: 6 too_long \(no, thanks\)"):
        selection = select_diverse(scored, 2, by="x", rule=TopScore())
    assert selection.recipe.dropped_reasons == {"too_long": "no, thanks"}
    assert selection.scores["x_reason"][:] == ["no, thanks"] * 6 + [None] * 4
    with pytest.warns(match="60%"), pytest.raises(BudgetError, match=r"only 4 .*6 too_long \(no, thanks\)"):
        select_diverse(scored, 5, by="x", rule=TopScore())


def test_warning_after_the_first_shard(tmp_path):
    with pytest.warns(UserWarning, match=r"the first 2 rows have no x: 2 too_long \(no, thanks\)"):
        score(refused(3), Fussy(column="x"), tmp_path / "run", shard_size=2)


def test_scorer_without_scores_warns():
    with pytest.warns(UserWarning, match=r"10 of 10 rows \(100%\) have no x"):
        scored = score(refused(10), [Fussy(column="x"), Easy(column="y")])
    assert scored["y"][:] == [0] * 10
