"""MIWVScorer: the nearest row stands before the question, and only the row's own answer counts."""

import pickle

import numpy as np
import pytest
from datasets import List, Value
from pools import assistant, png, pool, user
from slow_losses import slow_means, talks

from hf_vitselect import MIWVScorer
from hf_vitselect.data.rows import read_table, undecoded
from hf_vitselect.errors import ColumnError

# Row 0 is nearest to 1 and 1 to 0; row 2 to 1; row 3 was not embedded.
VECTORS = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], None]
ROWS = [
    ([user("what is red?", 1), assistant("the circle")], [png(0)]),
    ([user("what is green?", 1), assistant("the square")], [png(1)]),
    ([user("how many?"), assistant("two")], []),
    ([user("and now?"), assistant("three")], []),
]


def embedded(rows=ROWS, vectors=VECTORS):
    return pool(rows).add_column("embedding", vectors, feature=List(Value("float32"), length=2))


def as_rows(conversations):
    """Conversations as a data set again."""
    return pool(
        [
            (
                [{"role": turn.role, "content": [_part(part) for part in turn.parts]} for turn in row.turns],
                [picture.encoded() for picture in row.images],
            )
            for row in conversations
        ]
    )


def _part(part):
    return {"type": "image"} if part is None else {"type": "text", "text": part}


def test_examples_come_with_their_images(tiny):
    scorer = MIWVScorer.fit(embedded(), tiny("llava").folder)
    row = read_table(next(iter(undecoded(pool(ROWS)))))[0]
    _, after = scorer.views
    shown = after(row)
    assert [picture.encoded() for picture in shown.images] == [png(1), png(0)]
    text = shown.turns[0].text
    assert text == (
        "Here is an example.\nUSER: what is green?\nASSISTANT: the square\nNow answer this.\nwhat is red?"
    )
    assert shown.turns[1:] == row.turns[1:]


def test_miwv_equals_a_slow_loop(tiny):
    model, dataset = tiny("llava"), embedded()
    scorer = MIWVScorer.fit(dataset, model.folder)
    scored = dataset.map(scorer, batched=True)
    rows = read_table(next(iter(undecoded(dataset))))
    shown = [scorer.views[1](row) for row in rows[:3]]
    with_example = slow_means(model, as_rows(shown))
    alone = slow_means(model, pool(ROWS))
    assert [tokens for _, tokens in with_example] == [tokens for _, tokens in alone[:3]]
    right = [one - other for (one, _), (other, _) in zip(with_example, alone[:3], strict=True)]
    np.testing.assert_allclose(scored["miwv"][:3], right, atol=1e-5, rtol=0)
    assert scored["miwv"][3] is None
    assert scored["miwv_status"][3] == "bad_row"


def test_unseen_rows_have_no_neighbor(tiny):
    scorer = MIWVScorer.fit(embedded(), tiny("llava").folder)
    other = pool([([user("new?"), assistant("yes")], [])])
    assert other.map(scorer, batched=True)["miwv_status"][:] == ["bad_row"]


def test_miwv_can_be_pickled(tiny):
    scorer = MIWVScorer.fit(embedded(), tiny("llava").folder)
    again = pickle.loads(pickle.dumps(scorer))
    assert embedded().map(again, batched=True)["miwv"][:] == embedded().map(scorer, batched=True)["miwv"][:]


def test_pools_without_vectors_are_errors():
    with pytest.raises(ColumnError, match="expected the column 'embedding'"):
        MIWVScorer.fit(talks(), "any")
