"""Rows are encoded in threads before the caller needs them, rows of one image together."""

import threading

import pytest
from pools import png

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.prefetch import prefetch


def row(number, image=None):
    turns = (Turn("user", (str(number),)), Turn("assistant", ("a",)))
    return Conversation(turns, () if image is None else (RowImage(png(image)),))


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


def test_every_row_keeps_its_index():
    windows = list(prefetch(Encoder(), [row(i) for i in range(7)], 3))
    assert windows == [[(0, "0")], [(1, "1"), (2, "2")], [(3, "3"), (4, "4"), (5, "5")], [(6, "6")]]
    assert list(prefetch(Encoder(), [], 3)) == []


def test_rows_of_one_image_come_together():
    rows = [row(0, 5), row(1), row(2, 6), row(3, 5), RowError("bad_row", "x"), row(5, 6), row(6, 5)]
    windows = prefetch(Encoder(), rows, 10)
    assert [index for window in windows for index, _ in window] == [0, 3, 6, 1, 2, 5, 4]


def test_bad_rows_are_their_errors():
    unread = RowError("image_missing", "x")
    (first,), ((_, second), third) = prefetch(Encoder(), [unread, row("bad"), row(2)], 10)
    assert first == (0, unread)
    assert second.status == "bad_row"
    assert third == (2, "2")


def test_other_errors_stop_the_run():
    with pytest.raises(ModelError, match="worse"):
        list(prefetch(Encoder(), [row("worse")], 10))


def test_exactly_one_window_is_prefetched():
    encoder = Encoder()
    windows = prefetch(encoder, [row(i) for i in range(99)], 32)
    assert len(next(windows)) == 2
    assert len(next(windows)) == 4
    windows.close()  # waits for what was begun
    assert sorted(map(int, encoder.asked)) == list(range(2 + 4 + 8))
    assert threading.current_thread() not in encoder.threads


def test_real_processors_work_in_threads(tiny):
    from tiny_vlm import load

    for name in ("llava", "idefics3"):
        encoder = load(tiny(name)).encoder
        rows = [row(f"{'what? ' * (i % 7)}{i}", i % 5) for i in range(200)]
        rows = [
            Conversation((Turn("user", (None, *it.turns[0].parts)), it.turns[1]), it.images) for it in rows
        ]
        for window in prefetch(encoder, rows, 64):
            for index, encoded in window:
                right = encoder.encode(rows[index])
                assert encoded.prefix_digest == right.prefix_digest
                assert encoded.inputs["input_ids"].tolist() == right.inputs["input_ids"].tolist()
