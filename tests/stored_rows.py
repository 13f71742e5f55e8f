"""One row in every stored layout."""

from pools import png

from hf_vitselect.data.conversation import Turn
from hf_vitselect.data.rows import read_mapping, read_table, undecoded

CELL = {"bytes": png(), "path": None}


TWO = [CELL, {"bytes": png(1), "path": None}]


ASKED = Turn("user", (None, "what?"))


ANSWERED = Turn("assistant", ("red",))


PART = {"type": "text", "text": "red"}


LAYOUTS = {
    "messages of strings": {
        "messages": [{"role": "user", "content": "<image>\nwhat?"}, {"role": "assistant", "content": "red"}],
        "images": [CELL],
    },
    "messages of parts": {
        "messages": [
            {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "what?"}]},
            {"role": "assistant", "content": [PART]},
        ],
        "images": [CELL],
    },
    "one image column": {
        "messages": [{"role": "user", "content": "<image>what?"}, {"role": "assistant", "content": "red"}],
        "image": CELL,
    },
    "pictures without placeholders": {
        "messages": [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}],
        "images": [CELL],
    },
    "plain prompt": {"prompt": "what?", "completion": "red", "image": CELL},
    "conversational prompt": {
        "prompt": [{"role": "user", "content": "<image>what?"}],
        "completion": [{"role": "assistant", "content": [PART]}],
        "images": [CELL],
    },
    "llava": {
        "conversations": [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "red"}],
        "image": CELL,
    },
    "cauldron": {"texts": [{"user": "what?", "assistant": "red", "source": "x"}], "images": [CELL]},
}


def read(row):
    (found,), batched = read_mapping(row)
    assert not batched
    return found


def table_rows(dataset):
    return [row for table in undecoded(dataset) for row in read_table(table)]
