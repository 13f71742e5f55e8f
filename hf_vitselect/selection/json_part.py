"""Frozen dataclasses that are read from untrusted JSON, field by field."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from hf_vitselect.call_text import fits, type_words
from hf_vitselect.errors import SelectionError


@dataclass(frozen=True, kw_only=True)
class JsonPart:
    """A JSON object with the fields of a subclass.

    A field whose default is None is not written while it is None. `field(metadata={"key": ...})` gives a
    field another name in the JSON.

    Attributes:
        more: Fields that this version does not know; they are kept.
    """

    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Reads any JSON value.

        Args:
            value: The JSON.
            name: Where it stands, for messages.

        Raises:
            SelectionError: If a field has the wrong type or is missing; the message names it.
        """
        expect(isinstance(value, Mapping), name, "an object", value)
        kinds, known = get_type_hints(cls), {}
        keys = {own.metadata.get("key", own.name): own for own in fields(cls) if own.name != "more"}
        for key, own in keys.items():
            if key in value or own.default is own.default_factory is MISSING:
                known[own.name] = read(kinds[own.name], value.get(key), f"{name}.{key}")
        return cls(**known, more={key: plain(item) for key, item in value.items() if key not in keys})

    def to_json(self) -> dict[str, Any]:
        """Writes what `from_json` reads."""
        values = {own: getattr(self, own.name) for own in fields(self) if own.name != "more"}
        written = {
            own.metadata.get("key", own.name): plain(value)
            for own, value in values.items()
            if value is not None or own.default is not None
        }
        return {**written, **plain(self.more)}


def read(kind: Any, value: Any, name: str) -> Any:
    """A JSON value as a type: a `JsonPart`, text, a number, or a tuple, mapping or option of such.

    Raises:
        SelectionError: If it is something else.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return plain(value)
    if origin in (Union, UnionType):
        return None if value is None else read(next(it for it in parts if it is not NoneType), value, name)
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
    """A copy in plain JSON."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.to_json() if hasattr(value, "to_json") else value


def expect(fulfilled: bool, name: str, expected: str, got: Any) -> None:
    """Refuses a part of a selection.

    Raises:
        SelectionError: Unless `fulfilled`.
    """
    if not fulfilled:
        raise SelectionError(
            f"{name}: expected {expected}, got {repr(got)[:200]}; the selection is damaged, or something "
            "else made it: make it again, or download it again"
        )
