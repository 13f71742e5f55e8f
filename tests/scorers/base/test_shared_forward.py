"""Scorers that share a measurement: what is measured for whom, and when they may."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from datasets import Features, Value
from datasets.fingerprint import Hasher
from pools import assistant, pool, user

from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.scorers.base.shared_forward import ScorerGroup, SharedForwardScorer, group_by_forward
from hf_vitselect.scorers.base.views import whole

ROWS = pool([([user(text), assistant("x" * 10)], []) for text in ("a", "bb", "no", "bad")])


def backwards(row):
    """A view that the row "no" has not."""
    if row.turns[0].text == "no":
        raise RowError("too_long", "no such view")
    return type(row)(row.turns[::-1])


@dataclass(kw_only=True, eq=False)
class Length(SharedForwardScorer):
    """The characters of the views; the model does not like the row "bad"."""

    asked: ClassVar[list] = []
    column: str = "length"
    unit: int = 1

    @property
    def values(self):
        return Features({self.column: Value("int32")})

    def forward(self, rows):
        Length.asked.append([row if isinstance(row, RowError) else row.transcript for row in rows])
        return [self._length(row) for row in rows]

    def _length(self, row):
        if isinstance(row, RowError):
            return row
        text = row.transcript
        return RowError("bad_row", "bad") if text == "USER: bad ASSISTANT: " + "x" * 10 else len(text)

    def row_values(self, results):
        return (sum(results.values()),)


@dataclass(kw_only=True, eq=False)
class Twice(Length):
    """Both views."""

    column: str = "twice"
    views = (whole, backwards)


class Other(Length):
    """Measures in its own way."""

    def forward(self, rows):
        return [0] * len(rows)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "weights").write_text("x")
    Length.asked.clear()
    return str(tmp_path)


def texts(calls):
    return [[row.status if isinstance(row, RowError) else row for row in call] for call in calls]


def test_rows_lacking_a_view_are_skipped(model):
    scored = ROWS.map(Twice(model), batched=True)
    answer = "ASSISTANT: " + "x" * 10
    both = [[f"USER: {text} {answer}", f"{answer} USER: {text}"] for text in ("a", "bb", "bad")]
    both.insert(2, ["too_long"] * 2)
    assert texts(Length.asked) == [[view for row in both for view in row]]
    assert scored["twice_status"][:] == ["ok", "ok", "too_long", "bad_row"]
    assert scored["twice"][:] == [58, 60, None, None]


@pytest.mark.parametrize("kinds", [(Length, Twice), (Twice, Length)], ids=["as is", "turned round"])
def test_groups_run_each_view_once(model, kinds):
    alone = {kind: ROWS.map(kind(model), batched=True) for kind in kinds}
    Length.asked.clear()
    (joined,) = group_by_forward([kind(model) for kind in kinds])
    scored = ROWS.map(joined, batched=True)
    (shown,) = texts(Length.asked)  # a row's two views together
    assert "too_long" not in shown[0::2]  # Length wants it
    assert shown[1::2].index("too_long") == 2
    for kind, mapped in alone.items():
        for name in kind(model).features:
            assert scored[name][:] == mapped[name][:]
    assert scored.features == Features({**ROWS.features, **joined.features})


def test_groups_stand_at_their_first(model):
    one, other, two = Length(model), Other(model, column="other"), Twice(model)
    joined, alone = group_by_forward([one, other, two])
    assert isinstance(joined, ScorerGroup)
    assert joined.scorers == (one, two)
    assert alone is other


def test_single_scorers_stay_themselves(model):
    scorer = Length(model)
    assert group_by_forward([scorer]) == [scorer]
    assert group_by_forward([]) == []


def test_only_equal_scorers_share(model, tmp_path):
    scorer = Length(model)
    folder = tmp_path / "another"
    folder.mkdir()
    (folder / "weights").write_text("y")
    assert scorer.shares_with(Length(model, column="x"))
    assert scorer.shares_with(Twice(model))
    assert not scorer.shares_with(Length(model, unit=2))
    assert not scorer.shares_with(Length(folder))
    assert not scorer.shares_with(Other(model))
    plain = type("Plain", (Scorer,), {"values": Features(), "score_rows": len})(column="plain")
    assert not scorer.shares_with(plain)


def test_groups_hash_alike_after_calls(model):
    def make():
        return ScorerGroup([Length(model), Twice(model)])

    scorer = make()
    before = Hasher.hash(scorer)
    ROWS.map(scorer, batched=True, load_from_cache_file=False)
    assert Hasher.hash(scorer) == before == Hasher.hash(make())
    assert Hasher.hash(ScorerGroup([Twice(model), Length(model)])) != before


def test_groups_pass_on_the_rank(model):
    scorer = ScorerGroup([Length(model), Twice(model)])
    ROWS.map(scorer, batched=True, with_rank=True, load_from_cache_file=False)
    scorer(ROWS.with_format("arrow")[:], 3)
    assert scorer.scorers[0]._rank == 3
