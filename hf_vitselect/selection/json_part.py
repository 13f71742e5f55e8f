"""Frozen dataclasses that are read from untrusted JSON, field by field."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from hf_vitselect.call_text import fits, type_words
from hf_vitselect.errors import SelectionError

_ADVICE = "the selection is damaged, or something else made it: make it again, or download it again"


@dataclass(frozen=True, kw_only=True)
class JsonPart:
    """A JSON object with the fields of a subclass.

    A field whose default is None is written only if it is set. Unknown fields are kept in `more`.
    """

    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Read any JSON value; `name` says where it stands. A SelectionError names the field at fault."""
        try:
            return cls._from_json(value, name)
        except RecursionError:
            raise _too_deep(name.partition(".")[0]) from None  # the whole name may be as deep

    @classmethod
    def _from_json(cls, value: Any, name: str) -> Self:
        expect(isinstance(value, Mapping), name, "an object", value)
        kinds, own = get_type_hints(cls), {each.name: each for each in fields(cls) if each.name != "more"}
        known = {
            key: read(kinds[key], value.get(key), f"{name}.{key}")
            for key, each in own.items()
            if key in value or each.default is each.default_factory is MISSING
        }
        return cls(**known, more={key: plain(item) for key, item in value.items() if key not in own})

    def to_json(self) -> dict[str, Any]:
        """Write what `from_json` reads."""
        written = {
            each.name: plain(getattr(self, each.name))
            for each in fields(self)
            if each.name != "more" and (each.default is not None or getattr(self, each.name) is not None)
        }
        return {**written, **plain(self.more)}


def read(kind: Any, value: Any, name: str) -> Any:
    """Read a JSON value as a plain type, a `JsonPart`, or `X | None`, a tuple or a mapping of such."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return plain(value)
    if origin is UnionType:
        return None if value is None else read(parts[0], value, name)
    if origin is tuple:
        expect(isinstance(value, list), name, "a list", value)
        return tuple(read(parts[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        expect(isinstance(value, Mapping), name, "an object", value)
        return {key: read(parts[1], item, f"{name}.{key}") for key, item in value.items()}
    if hasattr(kind, "from_json"):
        return kind.from_json(value, name)
    expect(fits(value, kind), name, type_words(kind), value)
    return value


def plain(value: Any) -> Any:
    """Copy a value as plain JSON."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.to_json() if hasattr(value, "to_json") else value


def parse_json(text: bytes, name: str) -> Any:
    """Parse an untrusted file, or raise a SelectionError that names it."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise SelectionError(f"{name}: expected JSON, got {error}; {_ADVICE}") from error
    except RecursionError:
        raise _too_deep(name) from None


def _too_deep(name: str) -> SelectionError:
    return SelectionError(f"{name}: expected a few levels of values, got too many to read; {_ADVICE}")


def expect(fulfilled: bool, name: str, expected: str, got: Any) -> None:
    """Raise a SelectionError about the part of a selection with this name unless `fulfilled`."""
    if not fulfilled:
        raise SelectionError(f"{name}: expected {expected}, got {repr(got)[:200]}; {_ADVICE}")
