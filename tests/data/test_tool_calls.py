"""Tool calls in every form that pools hold, and the forms that are refused."""

import json

import pytest
from datasets import Dataset
from stored_rows import read, table_rows

from hf_vitselect.data.conversation import ToolCall, Turn
from hf_vitselect.data.row_ids import content_hash
from hf_vitselect.data.tool_calls import read_calls
from hf_vitselect.errors import RowError

ZOOM = {"name": "zoom", "arguments": {"times": 2}}
TEXT = {"name": "zoom", "arguments": '{"times": 2}'}
CALL, ASKED = ToolCall("zoom", '{"times": 2}'), {"role": "user", "content": "what?"}


def called(**cells):
    return {"messages": [ASKED, {"role": "assistant", **cells}]}


FORMS = {
    "OpenAI": called(content=None, tool_calls=[{"type": "function", "function": TEXT}]),
    "OpenAI without content": called(tool_calls=[{"type": "function", "function": TEXT}]),
    "a record of arguments": called(content="", tool_calls=[{"function": ZOOM}]),
    "calls as JSON": called(content="", tool_calls=json.dumps([{"function": ZOOM}])),
    "the older key": called(content=None, function_call=TEXT),
    "ShareGPT": {
        "conversations": [
            {"from": "human", "value": "what?"},
            {"from": "function_call", "value": json.dumps(ZOOM)},
        ]
    },
    "ms-swift": {"messages": [ASKED, {"role": "tool_call", "content": json.dumps(ZOOM)}]},
    "a list in a message": {"messages": [ASKED, {"role": "Function_Call ", "content": json.dumps([TEXT])}]},
    "nulls of other rows": called(
        content=None,
        function_call=None,
        tool_calls=[{"id": None, "function": {"name": "zoom", "arguments": {"times": 2, "by": None}}}],
    ),
}


WITH_NULL = '{"times": 2, "by": null}'
NULLS = {
    "a call": {"role": "function_call", "content": f'{{"name": "zoom", "arguments": {WITH_NULL}}}'},
    "arguments": {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "zoom", "arguments": WITH_NULL}}],
    },
    "a function": {
        "role": "assistant",
        "tool_calls": [{"function": f'{{"name": "zoom", "arguments": {WITH_NULL}}}'}],
    },
}


@pytest.mark.parametrize("message", NULLS.values(), ids=NULLS)
def test_nulls_in_json_are_arguments(message):
    for messages in ([ASKED, message], json.dumps([ASKED, message])):
        assert read({"messages": messages}).turns[1].calls == (ToolCall("zoom", WITH_NULL),)


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_every_form_is_the_same_call(row):
    assert read(row).turns == (Turn("user", ("what?",)), Turn("assistant", read(row).turns[1].parts, (CALL,)))
    assert read(row).turns[1].text == '{"name": "zoom", "arguments": {"times": 2}}'


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_stored_calls_equal_plain_ones(row):
    assert table_rows(Dataset.from_list([row, row])) == [read(row)] * 2


def test_results_keep_ids_and_names():
    turns = [ASKED, {"role": "assistant", "tool_calls": [{"id": "c1", "function": ZOOM}]}]
    result = {"role": "tool", "tool_call_id": "c1", "name": "zoom", "content": "a dot"}
    row = read({"messages": [*turns, result, {"role": "assistant", "content": "red"}]})
    assert row.turns[1].calls == (ToolCall("zoom", '{"times": 2}', "c1"),)
    assert row.turns[2] == Turn("tool", ("a dot",), (), "c1", "zoom")
    for role in ("observation", "tool_response", "function"):
        assert read({"messages": [*turns, result | {"role": role}]}).turns[2] == row.turns[2]


def test_consecutive_calls_are_one_turn():
    calls = [{"role": "tool_call", "content": json.dumps({"name": name, "arguments": {}})} for name in "ab"]
    row = read({"messages": [ASKED, *calls, {"role": "tool_response", "content": "1"}]})
    assert [turn.role for turn in row.turns] == ["user", "assistant", "tool"]
    assert [call.name for call in row.turns[1].calls] == ["a", "b"]


def test_texts_and_calls_are_kept():
    row = read(called(content="Let me look.", tool_calls=[{"function": ZOOM}, {"function": ZOOM}]))
    assert row.turns[1] == Turn("assistant", ("Let me look.",), (CALL, CALL))
    assert row.transcript.startswith('USER: what? ASSISTANT: Let me look.\n{"name": "zoom"')


def test_calls_are_part_of_ids():
    rows = [
        called(content=None, tool_calls=[{"function": call}]) for call in (ZOOM, ZOOM | {"name": "other"})
    ]
    rows += [called(content=read(rows[0]).turns[1].text), called(content="")]
    assert len({content_hash(read(row)) for row in rows}) == 4


REFUSED = {
    "a user who calls": {"messages": [{"role": "user", "content": "a", "tool_calls": [{"function": ZOOM}]}]},
    "calls twice": called(content=None, tool_calls=[{"function": ZOOM}], function_call=ZOOM),
    "another kind of call": called(tool_calls=[{"type": "web_search", "function": ZOOM}]),
    "no name": called(tool_calls=[{"function": {"arguments": "{}"}}]),
    "arguments that are no record": called(tool_calls=[{"function": {"name": "a", "arguments": "[1]"}}]),
    "arguments that are no JSON": called(tool_calls=[{"function": {"name": "a", "arguments": "times 2"}}]),
    "more than a call": called(tool_calls=[{"function": ZOOM, "result": "red"}]),
    "text for a call": {"messages": [{"role": "function_call", "content": "zoom in"}]},
    "null for a call": {"messages": [{"role": "function_call", "content": None}]},
    "text where calls belong": called(content="a", tool_calls="zoom"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_other_calls_are_bad_rows(row):
    found = read(row)
    assert isinstance(found, RowError)
    assert found.status == "bad_row"


def test_no_arguments_are_an_empty_record():
    assert read_calls({"name": "stop", "arguments": ""}) == read_calls('[{"name": "stop"}]')
