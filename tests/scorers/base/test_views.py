"""What views leave out, and that they leave the answers alone."""

import pytest

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.views import whole, without_images, without_questions

IMAGES = (RowImage(data=b"one"), RowImage(data=b"two"))
ROW = Conversation(
    (
        Turn("system", ("be brief",)),
        Turn("user", (None, "left, ", None, " right?")),
        Turn("assistant", ("red",)),
        Turn("tool", ("42",)),
        Turn("user", ("and?",)),
        Turn("assistant", ("blue",)),
    ),
    IMAGES,
)


def test_the_whole_row_is_the_row():
    assert whole(ROW) is ROW


def test_without_images_all_text_stays():
    row = without_images(ROW)
    assert row.images == ()
    assert row.turns == (ROW.turns[0], Turn("user", ("left, ", " right?")), *ROW.turns[2:])
    assert row.transcript == ROW.transcript


def test_texts_have_no_imageless_view():
    with pytest.raises(RowError) as caught:
        without_images(without_images(ROW))
    assert caught.value.status == "image_missing"


def test_without_questions_other_texts_stay():
    row = without_questions(ROW)
    assert row.images == IMAGES
    assert row.turns == (
        ROW.turns[0],
        Turn("user", (None, None)),
        *ROW.turns[2:4],
        Turn("user", ()),
        ROW.turns[5],
    )
    assert without_questions(row) == row
