"""The tool calls of a message, in the forms of OpenAI, ShareGPT and ms-swift."""

import json
from collections.abc import Mapping
from typing import Any

from hf_vitselect.data.conversation import ToolCall
from hf_vitselect.data.stored import from_text, is_empty, records, short

CALL_ROLES = ("function_call", "tool_call")
"""Roles of an assistant turn whose content is the JSON of its calls."""

CALL_KEYS = ("tool_calls", "function_call")
"""Keys of an assistant message that hold its calls."""

_SCHEMAS = ("function", "parameters", "input_schema", "properties", "items")
_KEYS = {"type", "id", "index", "function", "name", "arguments"}


def read_calls(cell: Any, in_text: bool = False) -> tuple[ToolCall, ...]:
    """Read one call or a list of them.

    Args:
        cell: The calls.
        in_text: Whether they come from JSON text, in which a null is one.

    Raises:
        ValueError: if one is not a name and its arguments.
    """
    in_text, calls = in_text or isinstance(cell, str), records(cell)
    return tuple(_call(call, in_text) for call in (calls if isinstance(calls, list) else [calls]))


def _call(cell: Any, in_text: bool) -> ToolCall:
    call = from_text(cell) if isinstance(cell, str) else cell
    if not isinstance(call, Mapping) or call.get("type") not in (None, "", "function"):
        raise ValueError(f"expected the call of a function, got {short(call)}")
    held = call.get("function")
    in_text = in_text or isinstance(cell, str) or isinstance(held, str)
    function = call if is_empty(held) else from_text(held)
    others = [
        key
        for record in (call, function)
        for key, value in record.items()
        if key not in _KEYS and not is_empty(value)
    ]
    name = function.get("name")
    if others or not isinstance(name, str) or not name:
        raise ValueError(f"expected a tool call with a name and its arguments, got {short(call)}")
    return ToolCall(name, _arguments(function.get("arguments"), in_text), _id(call.get("id")))


def _arguments(cell: Any, in_text: bool) -> str:
    """The arguments as JSON. Arrow adds a null for each key of other rows; in JSON text a null is a value."""
    if isinstance(cell, str) and cell.strip():
        arguments = from_text(cell)
    else:
        arguments = {} if cell in (None, "") else cell if in_text else without_nulls(cell)
    if not isinstance(arguments, Mapping):
        raise ValueError(f"expected a tool call whose arguments are a record, got {short(cell)}")
    return json.dumps(arguments, ensure_ascii=False)


def _id(cell: Any) -> str | None:
    return None if is_empty(cell) else str(cell)


def read_tool(cell: Any) -> Any:
    """Read the description of a tool. Its schemas may be JSON text, as `datasets` stores mixed ones."""
    return without_nulls(_schema(from_text(cell)))


def _schema(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_schema, value))
    if not isinstance(value, Mapping):
        return value
    read = {}
    for key, inner in value.items():
        inner = _record(inner) if key in _SCHEMAS else inner
        if key == "properties" and isinstance(inner, Mapping):
            inner = {name: _record(schema) for name, schema in inner.items()}
        read[key] = _schema(inner)
    return read


def _record(value: Any) -> Any:
    return from_text(value) if isinstance(value, str) and value.lstrip()[:1] == "{" else value


def without_nulls(value: Any) -> Any:
    """Drop the keys that Arrow has added because another row's record has them."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
