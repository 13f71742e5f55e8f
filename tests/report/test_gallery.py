"""Rows to look at: the right ones, with what is known of them."""

import base64
import io

import numpy as np
import pytest
from datasets import Dataset, Value
from PIL import Image
from pools import assistant, png, pool, user

from hf_vitselect.filters import NearDuplicates
from hf_vitselect.report.gallery import Gallery, spread
from hf_vitselect.report.outcomes import outcomes
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse


def made_pool(rows: int = 60) -> Dataset:
    """Every fifth row repeats the one before it; row 7 has a broken image, row 8 none."""
    images = [[png(i - (i % 5 == 4))] for i in range(rows)]
    images[7], images[8] = [b"x"], []
    texts = [f"what color is {i - (i % 5 == 4)}?" for i in range(rows)]
    turns = [
        [user(text, len(image)), assistant(f"red {i // 5}")]
        for i, (text, image) in enumerate(zip(texts, images, strict=True))
    ]
    turns[20] += [user("and?"), assistant("blue")]
    made = pool(list(zip(turns, images, strict=True)))
    made = made.add_column("necessity", [float(i) for i in range(rows)], feature=Value("float32"))
    return made.add_column("topic", [f"topic {i % 3}" for i in range(rows)])


METHOD = Method(rule=TopScore(), filters=(NearDuplicates(),), kinds="topic")


def test_picks_come_by_kind() -> None:
    rows = made_pool()
    selection = select_diverse(rows, 30, method=METHOD)
    groups = Gallery(selection).picks()
    assert sorted(group.name for group in groups) == ["topic 0", "topic 1", "topic 2"]
    assert sum(group.rows for group in groups) == 30
    assert sum(len(group.cards) for group in groups) == 30
    questions = selection.dataset["messages"][:]
    for group in groups:
        for card in group.cards:
            rank = int(card.title.removeprefix("pick ")) - 1
            row = int(selection.indices[rank])
            assert card.question == questions[rank][0]["content"][-1]["text"]
            assert rows[row]["topic"] == group.name
            assert ("necessity", f"{row}") in card.scores
            kind = next(share for share in selection.recipe.shares if share.name == group.name)
            assert card.reason == f"{group.rows} of {kind.rows} rows of its kind are picked"


def test_dropped_rows_show_what_they_repeat() -> None:
    rows = made_pool()
    selection = select_diverse(rows, 20, method=METHOD)
    dropped = next(each for each in outcomes(selection) if each.group == "dropped")
    cards = Gallery(selection, rows).others([dropped])[0].cards
    assert len(cards) == 11  # of twelve copies row 9, without image, repeats nothing
    for card in cards:
        assert card.repeats is not None
        assert card.question == card.repeats.question
        assert card.thumbnail == card.repeats.thumbnail
        assert int(card.title.split()[1]) == int(card.repeats.title.split()[1]) + 1
        assert card.reason == "the same text, images whose hashes differ in 0 of 384 bits"


def test_card_of_an_odd_row() -> None:
    rows = made_pool()
    selection = select_diverse(rows, 60, rule=TopScore(), by="necessity")
    cards = {card.title: card for card in Gallery(selection, most=100).picks()[0].cards}
    broken, bare, long = cards["pick 53"], cards["pick 52"], cards["pick 40"]
    assert (broken.thumbnail, broken.images) == (None, 1)
    assert str(broken.problem).startswith("image_error")
    assert (bare.thumbnail, bare.images, bare.problem) == (None, 0, None)
    assert (long.turns, long.answer) == (1, "red 4")
    assert Image.open(io.BytesIO(base64.b64decode(str(long.thumbnail)))).format == "JPEG"


def test_many_small_kinds_fill_the_gallery() -> None:
    rows = made_pool().remove_columns("topic").add_column("topic", [f"{i}" for i in range(60)])
    groups = Gallery(select_diverse(rows, 60, method=Method(rule=TopScore(), kinds="topic"))).picks()
    assert len(groups) == 24
    assert all(len(group.cards) == 1 for group in groups)


@pytest.mark.parametrize(
    ("rows", "most", "chosen"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (0, 3, []), (9, 0, [])]
)
def test_spread_keeps_both_ends(rows: int, most: int, chosen: list[int]) -> None:
    assert spread(np.arange(rows), most).tolist() == chosen


def test_every_row_has_a_reason() -> None:
    rows = made_pool()
    selection = select_diverse(rows, 20, method=METHOD)
    gallery = Gallery(selection, rows)
    [left] = gallery.others(each for each in outcomes(selection) if each.group == "left")
    assert left.cards
    assert all(card.reason.startswith("not picked: ") for card in left.cards)
    broken = rows.remove_columns("necessity")
    broken = broken.add_column("necessity", [None] * 5 + [1.0] * (len(rows) - 5), feature=Value("float32"))
    selection = select_diverse(broken, 20, rule=TopScore())
    gallery = Gallery(selection, broken)
    [unusable] = gallery.others(each for each in outcomes(selection) if each.group == "unusable")
    assert [card.reason for card in unusable.cards] == ["no usable value in necessity or embedding"] * 5
    assert {card.reason for group in gallery.picks() for card in group.cards} == {None}
    selection = select_diverse(rows, 20, rule=TopScore(), exclude=selection)
    excluded = next(each for each in outcomes(selection) if each.name == "excluded")
    assert {card.reason for card in Gallery(selection, rows).others([excluded])[0].cards} == {"excluded"}
