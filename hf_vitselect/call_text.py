"""Objects as text, such as `NeighborPenalty(gamma=0.5)`: written, and read without evaluating anything.

The grammar is Python's: a class's name with its arguments, each a number, a quoted text, True, False, None, a
list, a tuple, a dict, or another such call. A name alone is a call without arguments.
"""

import ast
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from hf_vitselect.errors import UsageError, nearest

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "True or False", type(None): "None"}


@dataclass(frozen=True)
class Call:
    """A call as it was written; nested calls among its arguments are `Call` too."""

    name: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def make(self, names: Mapping[str, type[Any]]) -> Any:
        """Construct the object, as `read_call` does."""
        if self.name not in names:
            near = _nearest(self.name, names)
            raise UsageError(f"expected one of {sorted(names)}, got {self.name!r}{near}")
        make = getattr(names[self.name], "fit", names[self.name])
        parameters = _parameters(make)
        if unknown := [name for name in self.keywords if name not in parameters]:
            known = f"one of the arguments {list(parameters)}" if parameters else "no arguments"
            near = _nearest(unknown[0], parameters)
            raise UsageError(f"{self.name}: expected {known}, got {unknown[0]!r}{near}")
        try:
            given = self._bind(parameters)
            for name, value in given.items():
                given[name] = _checked(name, _made(value, names), parameters[name].annotation)
            return partial(make, **given) if inspect.ismethod(make) else make(**given)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise UsageError(f"{self.name}: {error}") from error

    def _bind(self, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
        in_order = sorted(parameters.values(), key=lambda parameter: parameter.kind)
        try:
            return inspect.Signature(in_order).bind(*self.arguments, **self.keywords).arguments
        except TypeError as error:
            advice = f"by name they are {list(parameters)}" if parameters else "it takes no arguments"
            raise TypeError(f"{error}; {advice}") from error


def read_call(text: str, names: Mapping[str, type[Any]]) -> Any:
    """Read an object from its text.

    Args:
        text: such as `NeighborPenalty(gamma=0.5)`.
        names: the classes that the text may name, also in nested calls.

    Returns:
        The object; for a class with a class method `fit`, that method with all its arguments but the data.

    Raises:
        UsageError: for a wrong name, argument or value, naming the choices and the nearest one.

    Examples:
        >>> from hf_vitselect.rules import RULES
        >>> read_call("TopScore(lowest=True)", RULES)
        TopScore(lowest=True)
    """
    return parse_call(text).make(names)


def parse_call(text: str) -> Call:
    """Parse a call without making the object yet."""
    refusal = f"expected a name with arguments, such as Name(x=1), got {text!r}"
    try:
        read = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        raise UsageError(f"{refusal}: {said}") from error
    if not isinstance(read, Call):
        raise UsageError(refusal)
    return read


def write_call(value: Any, *, whole: bool = False) -> str:
    """Write an object as text that `read_call` reads.

    Args:
        value: an object whose constructor's parameters are public attributes, what `read_call` returns for a
            class with `fit`, or a plain value.
        whole: whether to write arguments that are the defaults too.

    Examples:
        >>> from hf_vitselect.rules import NeighborPenalty
        >>> write_call(NeighborPenalty(gamma=0.5))
        'NeighborPenalty(gamma=0.5)'
    """
    write = partial(write_call, whole=whole)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Call):
        written = [*map(write, value.arguments), *_written(value.keywords, write)]
        return f"{value.name}({', '.join(written)})"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # in double quotes: the shell takes the single ones
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value).replace("inf", "1e999")
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{write(key)}: {write(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        items = ", ".join(map(write, value))
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    fit: Any = value.func if isinstance(value, partial) else None
    kind, arguments = (fit.__self__, value.keywords) if fit else (type(value), _arguments(value, whole))
    return f"{kind.__name__}({', '.join(_written(arguments, write))})"


def short_call(text: str, read: Callable[[str], Any]) -> str:
    """A call without arguments that are the defaults, if `read` knows its class."""
    try:
        return write_call(read(text))
    except UsageError:
        return text


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has an annotated type: a union, literal, container or class; an int is a float."""
    hint = type(None) if hint is None else hint
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, str):  # a type that is not imported here: the constructor checks it
        return True
    if kind in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if kind is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if not isinstance(value, kind or ((int, float) if hint is float else hint)):
        return False
    if isinstance(value, Mapping):
        return not inner or all(fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items())
    if kind is not None and isinstance(value, Sequence):
        return not isinstance(value, str) and all(fits(item, inner[0]) for item in value)
    return hint is bool or not isinstance(value, bool)


def check_fields(owner: Any, kind: type[Any], **least: float) -> None:
    """Refuse wrong values among the fields that a dataclass `kind` gives to `owner`.

    Raises:
        ValueError: for a value that does not fit its annotation, or is below the field's `least` one.
    """
    for item in fields(kind):
        value = getattr(owner, item.name)
        if not fits(value, item.type):
            raise ValueError(f"{item.name}: expected {type_words(item.type)}, got {value!r}")
    for name, minimum in least.items():
        value = getattr(owner, name)
        if value is not None and value < minimum:
            raise ValueError(f"{name}: expected {minimum} or more, got {value}")


def type_words(hint: Any) -> str:
    """An annotation in words."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return " or ".join(map(repr, inner))
    if kind in (Union, UnionType):
        return " or ".join(map(type_words, inner))
    if inner and issubclass(kind, Mapping):
        return f"a dict, each key {type_words(inner[0])}, each value {type_words(inner[1])}"
    if inner and issubclass(kind, Sequence):
        return f"a list, each item {type_words(inner[0])}"
    return str(_WORDS.get(hint) or getattr(hint, "__name__", hint))


def _value(node: ast.expr) -> Any:
    """The value of a parsed expression, a call as a `Call`."""
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as constant):
            return constant
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, ast.Constant(value=int() | float() as number)):
            return -number if isinstance(sign, ast.USub) else number
        case ast.List(items) | ast.Tuple(items):
            return (list if isinstance(node, ast.List) else tuple)(map(_value, items))
        case ast.Dict(keys, values) if all(keys):
            return _once([(_value(key), _value(item)) for key, item in zip(keys, values, strict=True) if key])
        case ast.Name(name):
            return Call(name, (), {})
        case ast.Call(ast.Name(name), arguments, keywords) if all(keyword.arg for keyword in keywords):
            by_name = [(str(keyword.arg), _value(keyword.value)) for keyword in keywords]
            return Call(name, tuple(map(_value, arguments)), _once(by_name))
    raise ValueError(f"{ast.unparse(node)} is not a name, a number, a quoted text, a list, a tuple or a dict")


def _once(items: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """The items as a dict, each key once."""
    keys = [key for key, _ in items]
    if repeated := [key for key in dict(items) if keys.count(key) > 1]:
        raise ValueError(f"{repeated[0]!r} is given more than once")
    return dict(items)


def _made(value: Any, names: Mapping[str, type[Any]]) -> Any:
    """An argument with its nested calls made."""
    if isinstance(value, Call):
        if value.name not in names and not value.arguments and not value.keywords:
            near = _nearest(value.name, ["True", "False", "None", *names])
            raise UsageError(f"expected a value, got {value.name}{near or '; quote it if it is a text'}")
        return value.make(names)
    if isinstance(value, dict):
        return {_made(key, names): _made(item, names) for key, item in value.items()}
    return type(value)(_made(item, names) for item in value) if isinstance(value, list | tuple) else value


def _checked(what: str, value: Any, hint: Any) -> Any:
    """The value if it fits its annotation; a list may stand for a tuple, and a tuple for a list."""
    for same in [value, tuple(value), list(value)] if isinstance(value, list | tuple) else [value]:
        if fits(same, hint):
            return same
    literals = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal]
    near = _nearest(str(value), [str(choice) for kind in literals for choice in get_args(kind)])
    raise UsageError(f"{what}: expected {type_words(hint)}, got {value!r}{near}")


def _parameters(make: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class, or of its `fit` after the data, whose `**options` are the constructor's."""
    own = list(inspect.signature(make).parameters.values())[inspect.ismethod(make) :]
    if any(item.kind is item.VAR_KEYWORD for item in own):
        taken, options = {item.name for item in own}, inspect.signature(make.__self__).parameters.values()
        own += [item for item in options if item.default is not item.empty and item.name not in taken]
    return {item.name: item for item in own if item.kind is not item.VAR_KEYWORD}


def _written(arguments: Mapping[str, Any], write: Callable[[Any], str]) -> list[str]:
    return [f"{name}={write(item)}" for name, item in arguments.items()]


def _arguments(value: Any, whole: bool) -> dict[str, Any]:
    """The arguments of an object, or those that differ from what the constructor makes of its defaults."""
    parameters = _parameters(type(value))
    given = {name: getattr(value, name) for name in parameters}
    if whole:
        return given
    required = {name: given[name] for name, item in parameters.items() if item.default is item.empty}
    plain = type(value)(**required)
    return {name: item for name, item in given.items() if name in required or item != getattr(plain, name)}


def _nearest(name: str, names: Iterable[str]) -> str:
    """The nearest name, whatever its case."""
    spelled = {name.lower(): name for name in names}
    return nearest(name.lower(), spelled, spelled.__getitem__)
