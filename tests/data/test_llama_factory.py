"""LLaMA-Factory's data folders are read as its dataset_info.json says: columns, tags, sources."""

import json
import logging

import pytest

from hf_vitselect import load_pool
from hf_vitselect.data.pools import load_stream
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import ColumnError, PoolError, RowError

TURNS = [{"from": "human", "value": "what?"}, {"from": "gpt", "value": "red"}]
SPOKEN = [{"speaker": "A", "says": "what?"}, {"speaker": "B", "says": "red"}]
CROSSED = [{"from": "gpt", "value": "what?"}, {"from": "human", "value": "red"}]
CALL = {"name": "zoom", "arguments": {"times": 2}}
TAGGED = {"role_tag": "speaker", "content_tag": "says", "user_tag": "A", "assistant_tag": "B"}
WHAT = "USER: what? ASSISTANT: red"
# An entry, its row, and what it is read as.
ENTRIES = {
    "alpaca by default": ({}, {"instruction": "what?", "input": "", "output": "red"}, WHAT),
    "alpaca with columns": (
        {"columns": {"prompt": "q", "query": "more", "response": "a", "system": "s", "history": "h"}},
        {"q": "what?", "more": "now", "a": "red", "s": "be brief", "h": [["hi", "ho"]]},
        "SYSTEM: be brief USER: hi ASSISTANT: ho USER: what?\nnow ASSISTANT: red",
    ),
    "a column that is not mapped": (
        {"columns": {"prompt": "instruction", "response": "output"}},
        {"instruction": "what?", "output": "red", "system": "be long", "history": [["a", "b"]]},
        WHAT,
    ),
    "names that change places": (
        {"columns": {"prompt": "output", "response": "instruction"}},
        {"output": "what?", "instruction": "red"},
        WHAT,
    ),
    "a query alone": ({"columns": {"query": "q", "response": "a"}}, {"q": "what?", "a": "red"}, WHAT),
    "sharegpt by default": ({"formatting": "sharegpt"}, {"conversations": TURNS}, WHAT),
    "sharegpt with tags": (
        {"formatting": "sharegpt", "columns": {"messages": "talk"}, "tags": TAGGED},
        {"talk": SPOKEN},
        WHAT,
    ),
    "tags that are crossed": (
        {"formatting": "sharegpt", "tags": {"user_tag": "gpt", "assistant_tag": "human"}},
        {"conversations": CROSSED},
        WHAT,
    ),
    "openai": (
        {
            "formatting": "openai",
            "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user"},
        },
        {"messages": [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]},
        WHAT,
    ),
    "calls": (
        {"formatting": "sharegpt", "tags": TAGGED | {"function_tag": "F", "observation_tag": "O"}},
        {
            "conversations": [
                {"speaker": "A", "says": "what?"},
                {"speaker": "F", "says": json.dumps(CALL)},
                {"speaker": "O", "says": "a dot"},
                {"speaker": "B", "says": "red"},
            ]
        },
        f"USER: what? ASSISTANT: {json.dumps(CALL)} TOOL: a dot ASSISTANT: red",
    ),
}


def write(folder, entry, *rows, others=()):
    (folder / "rows.json").write_text(json.dumps(rows))
    entries = {"mine": {"file_name": "rows.json"} | entry, **dict(others)}
    (folder / "dataset_info.json").write_text(json.dumps(entries))


@pytest.mark.parametrize("load", [load_pool, load_stream])
@pytest.mark.parametrize(("entry", "row", "meaning"), ENTRIES.values(), ids=ENTRIES)
def test_entries_are_read_as_they_say(entry, row, meaning, load, tmp_path):
    write(tmp_path, entry, row | {"id": 7})
    for place in (tmp_path, tmp_path / "dataset_info.json"):
        rows = load(place, config="mine")
        assert [read.transcript for read in read_rows(rows)] == [meaning]
        assert [kept["id"] for kept in rows] == [7]


def test_the_only_entry_needs_no_name(tmp_path):
    write(tmp_path, {}, {"instruction": "what?", "input": "", "output": "red"})
    assert len(load_pool(tmp_path)) == 1
    assert len(load_pool(tmp_path, split="train[:1]")) == 1


def test_images_are_mapped_too(tmp_path):
    entry = {"columns": {"prompt": "q", "response": "a", "images": "pictures"}}
    write(tmp_path, entry, {"q": "<image>what?", "a": "red", "pictures": ["a.png"]})
    (row,) = read_rows(load_pool(tmp_path))
    assert row.turns[0].parts == (None, "what?")
    assert row.images[0].path == "a.png"


def test_dropped_columns_are_logged(tmp_path, caplog):
    write(tmp_path, *ENTRIES["a column that is not mapped"][:2])
    with caplog.at_level(logging.WARNING):
        load_pool(tmp_path)
    assert "does not map the columns ['system', 'history']" in caplog.text


@pytest.mark.parametrize(
    "wrong", [None, 7, "A: what?", [3], [None], {"speaker": "A"}, [{"speaker": ["A"]}]], ids=repr
)
def test_wrong_messages_are_bad_rows(wrong, tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"conversations": cell}) + "\n" for cell in (SPOKEN, wrong))
    )
    info = {"mine": {"file_name": "rows.jsonl", "formatting": "sharegpt", "tags": TAGGED}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    good, bad = read_rows(load_pool(tmp_path))
    assert good.transcript == WHAT
    assert isinstance(bad, RowError)
    assert bad.status == "bad_row"


REFUSED = {
    "another name": ({}, "min", r"expected one of the entries \['mine', 'other'\].*did you mean 'mine'"),
    "no name": ({}, None, "give its name as dataset_config"),
    "preferences": ({"ranking": True}, "mine", "got preferences"),
    "ratings": ({"columns": {"prompt": "a", "response": "b", "kto_tag": "c"}}, "mine", "got preferences"),
    "another formatting": ({"formatting": "chatml"}, "mine", "got 'chatml'"),
    "texts for pretraining": ({"columns": {"prompt": "text"}}, "mine", r"got none for \['response'\]"),
    "an unknown column": ({"columns": {"prompt": "a", "response": "b", "mood": "c"}}, "mine", "mood"),
    "a folder on the Hub": ({"hf_hub_url": "a/b", "folder": "x"}, "mine", "'x'"),
    "a script": ({"script_url": "x.py"}, "other", "expected file_name or hf_hub_url"),
    "no file": ({"file_name": "none.json"}, "mine", "does not exist"),
}


@pytest.mark.parametrize(("entry", "name", "words"), REFUSED.values(), ids=REFUSED)
def test_entries_not_followed_are_refused(entry, name, words, tmp_path):
    write(tmp_path, entry, {"instruction": "a"}, others=[("other", {"script_url": "x.py"})])
    with pytest.raises(PoolError, match=words):
        load_pool(tmp_path, config=name)


def test_mapped_columns_must_exist(tmp_path):
    write(tmp_path, {"columns": {"prompt": "ask", "response": "output"}}, {"asks": "a", "output": "b"})
    with pytest.raises(ColumnError, match=r"mine: expected the columns of the entry, not 'ask'.*'asks'"):
        load_pool(tmp_path)


def test_other_info_files_are_data(tmp_path):
    (tmp_path / "dataset_info.json").write_text('[{"prompt": "what?", "completion": "red"}]')
    assert len(load_pool(tmp_path / "dataset_info.json")) == 1
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(PoolError, match="cannot be read"):
        load_pool(tmp_path)
