"""Rows are prepared in threads, ahead of the caller, and each picture's rows side by side."""

import threading

import pytest
from pools import png

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.prefetch import encoded_ahead


def row(number, picture=None):
    turns = (Turn("user", (str(number),)), Turn("assistant", ("a",)))
    return Conversation(turns, () if picture is None else (RowImage(png(picture)),))


class Encoder:
    """Gives back the row's question, and remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.threads = set()

    def encode(self, row):
        self.asked.append(row.turns[0].text)
        self.threads.add(threading.current_thread())
        if row.turns[0].text == "bad":
            raise RowError("bad_row", "bad")
        if row.turns[0].text == "worse":
            raise ModelError("worse")
        return row.turns[0].text


def test_every_row_has_its_place():
    windows = list(encoded_ahead(Encoder(), [row(i) for i in range(7)], 3))
    assert windows == [[(0, "0")], [(1, "1"), (2, "2")], [(3, "3"), (4, "4"), (5, "5")], [(6, "6")]]
    assert list(encoded_ahead(Encoder(), [], 3)) == []


def test_rows_of_one_picture_come_together():
    rows = [row(0, 5), row(1), row(2, 6), row(3, 5), RowError("bad_row", "x"), row(5, 6), row(6, 5)]
    windows = encoded_ahead(Encoder(), rows, 10)
    assert [place for window in windows for place, _ in window] == [0, 3, 6, 1, 2, 5, 4]


def test_bad_rows_are_their_errors():
    unread = RowError("image_missing", "x")
    (first,), ((_, second), third) = encoded_ahead(Encoder(), [unread, row("bad"), row(2)], 10)
    assert first == (0, unread)
    assert second.status == "bad_row"
    assert third == (2, "2")


def test_an_error_that_is_no_row_s_stops():
    with pytest.raises(ModelError, match="worse"):
        list(encoded_ahead(Encoder(), [row("worse")], 10))


def test_one_window_is_prepared_ahead_and_no_more():
    encoder = Encoder()
    windows = encoded_ahead(encoder, [row(i) for i in range(99)], 32)
    assert len(next(windows)) == 2
    assert len(next(windows)) == 4
    windows.close()  # waits for what was begun
    assert sorted(map(int, encoder.asked)) == list(range(2 + 4 + 8))
    assert threading.current_thread() not in encoder.threads


def test_a_real_processor_in_many_threads_says_the_same(tiny):
    from tiny_vlm import load

    for name in ("llava", "idefics3"):
        encoder = load(tiny(name)).encoder
        rows = [row(f"{'what? ' * (i % 7)}{i}", i % 5) for i in range(200)]
        rows = [
            Conversation((Turn("user", (None, *it.turns[0].parts)), it.turns[1]), it.images) for it in rows
        ]
        for window in encoded_ahead(encoder, rows, 64):
            for place, found in window:
                right = encoder.encode(rows[place])
                assert found.opening == right.opening
                assert found.inputs["input_ids"].tolist() == right.inputs["input_ids"].tolist()
