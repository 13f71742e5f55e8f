"""Objects as text: what is read, what is written, what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest

from hf_vitselect.call_text import fits, parse_call, read_call, type_words, write_call
from hf_vitselect.errors import UsageError
from hf_vitselect.rules import RULES, NeighborPenalty, TopScore


@dataclass(frozen=True)
class Part:
    """With one argument that may be given by its place."""

    size: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Whole:
    """With every kind of argument."""

    part: Part
    parts: list[Part] = field(default_factory=list)
    names: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    mode: Literal["fast", "slow"] | None = None
    rows: int | str = 1
    flag: bool = False

    def __post_init__(self):
        if self.rows == 0:
            raise ValueError("rows: expected 1 or more, got 0")


class Fitted:
    """Made from data."""

    def __init__(self, mean, *, speed: int = 1):
        self.mean, self.speed = mean, speed

    @classmethod
    def fit(cls, data, *, scale: float = 1.0, **options):
        return cls(scale * sum(data), **options)


NAMES = {"Part": Part, "Whole": Whole, "Fitted": Fitted}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Part", Part()),
        (" Part( ) ", Part()),
        ("Part(2)", Part(2)),
        ("Whole(part=Part(-0.5))", Whole(part=Part(-0.5))),
        ("Whole(part=Part, parts=[Part(1), Part])", Whole(part=Part(), parts=[Part(1), Part()])),
        ("Whole(part=Part, names=['a', \"b\"])", Whole(part=Part(), names=("a", "b"))),
        ("Whole(part=Part, parts=(Part,))", Whole(part=Part(), parts=[Part()])),
        ("Whole(part=Part, weights={'a': 1, 'b': -2e-3})", Whole(part=Part(), weights={"a": 1, "b": -0.002})),
        (
            "Whole(part=Part, mode='slow', rows='x', flag=True)",
            Whole(part=Part(), mode="slow", rows="x", flag=True),
        ),
        ("Whole(part=Part, mode=None)", Whole(part=Part())),
    ],
)
def test_an_object_is_read(text, made):
    assert read_call(text, NAMES) == made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Part(), "Part()"),
        (Part(0.5), "Part(size=0.5)"),
        (Part(np.float64(0.5)), "Part(size=0.5)"),
        (Part(-np.inf), "Part(size=-1e999)"),
        (Whole(part=Part(2), names=("a",)), 'Whole(part=Part(size=2), names=("a",))'),
        (Whole(part=Part(), parts=[Part()]), "Whole(part=Part(), parts=[Part()])"),
        (Whole(part=Part(), rows='a"\n\\é'), 'Whole(part=Part(), rows="a\\"\\n\\\\é")'),
        (Whole(part=Part(), weights={"a": 1}), 'Whole(part=Part(), weights={"a": 1})'),
        (Whole(part=Part(), mode="fast", flag=True), 'Whole(part=Part(), mode="fast", flag=True)'),
    ],
)
def test_text_and_object_correspond(value, text):
    assert write_call(value) == text
    assert read_call(text, NAMES) == value


def test_a_fit_waits_for_data():
    fit = read_call("Fitted(scale=2, speed=3)", NAMES)
    assert (fit([1, 2]).mean, fit([1, 2]).speed) == (6, 3)
    assert write_call(fit) == "Fitted(scale=2, speed=3)"


def test_fit_takes_constructor_options():
    with pytest.raises(
        UsageError, match=r"Fitted: expected one of the arguments \['scale', 'speed'\], got 'sped'"
    ):
        read_call("Fitted(sped=2)", NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("part", "expected one of ['Fitted', 'Part', 'Whole'], got 'part'; did you mean 'Part'?"),
        ("Part(siz=1)", "Part: expected one of the arguments ['size'], got 'siz'; did you mean 'size'?"),
        ("Part(1, 2)", "Part: too many positional arguments; by name they are ['size']"),
        ("Whole(Part)", "Whole: too many positional arguments; by name they are ['part', 'parts', "),
        ("Part(1, size=2)", "Part: multiple values for argument 'size'; by name they are ['size']"),
        ("Part(size='1')", "Part: size: expected a number, got '1'"),
        ("Part(size=True)", "Part: size: expected a number, got True"),
        ("Part(size=[1])", "Part: size: expected a number, got [1]"),
        ("Whole", "Whole: missing a required argument: 'part'; by name they are ['part', 'parts', "),
        ("Whole(part=1)", "Whole: part: expected Part, got 1"),
        ("Whole(part=Prt)", "Whole: expected a value, got Prt; did you mean 'Part'?"),
        (
            "Whole(part=Prt(1))",
            "expected one of ['Fitted', 'Part', 'Whole'], got 'Prt'; did you mean 'Part'?",
        ),
        ("Whole(part=Part(size=None))", "Whole: Part: size: expected a number, got None"),
        ("Whole(part=Part, flag=true)", "expected a value, got true; did you mean 'True'?"),
        ("Whole(part=Part, rows=source)", "expected a value, got source; quote it if it is a text"),
        ("Whole(part=Part, rows=1.5)", "rows: expected a whole number or a text, got 1.5"),
        ("Whole(part=Part, rows=0)", "Whole: rows: expected 1 or more, got 0"),
        (
            "Whole(part=Part, mode='fats')",
            "expected 'fast' or 'slow' or None, got 'fats'; did you mean 'fast'?",
        ),
        ("Whole(part=Part, names='ab')", "names: expected a list, each item a text, got 'ab'"),
        ("Whole(part=Part, weights={'a': 'b'})", "expected a dict, each key a text, each value a number"),
        ("Fitted(scale='x')", "Fitted: scale: expected a number"),
        ("Part(size=1", "such as Name(x=1), got 'Part(size=1': '(' was never closed"),
        ("", "such as Name(x=1), got ''"),
        ("Part\0", "such as Name(x=1)"),
        ("[Part]", "such as Name(x=1), got '[Part]'"),
        ("Part(size=1 + 1)", "1 + 1 is not a name, a number"),
        ("Part(size={1})", "{1} is not a name, a number"),
        ("Part(size=b'x')", "b'x' is not a name, a number"),
        ("Part(*[1])", "*[1] is not a name, a number"),
        ("Part(**{'size': 1})", "is not a name, a number"),
        ("os.system('x')", "os.system('x') is not a name, a number"),
        (
            "Part(size=__import__('os'))",
            "expected one of ['Fitted', 'Part', 'Whole'], got '__import__'",
        ),
        ("(" * 500 + ")" * 500, "such as Name(x=1)"),
        ("Part(size=1, size=2)", "'size' is given more than once"),
        ("Part({1: 2, 1: 3})", "1 is given more than once"),
        ("Part({[1]: 2})", "unhashable"),
    ],
)
def test_a_mistake_is_one_short_message(text, message):
    with pytest.raises(UsageError) as error:
        read_call(text, NAMES)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_a_huge_number_is_one_message():
    with pytest.raises(UsageError, match="NeighborPenalty: int too large"):
        read_call(f"NeighborPenalty(gamma=1{'0' * 400})", RULES)


def test_parsing_makes_nothing():
    call = parse_call("Anything(1, x=Other)")
    assert (call.name, call.arguments, call.keywords["x"].name) == ("Anything", (1,), "Other")


def test_rules_are_read_by_name():
    assert read_call("NeighborPenalty(gamma=0.5)", RULES) == NeighborPenalty(gamma=0.5)
    with pytest.raises(UsageError, match="did you mean 'TopScore'"):
        read_call("topscor", RULES)
    with pytest.raises(UsageError, match="Random: too many positional arguments; it takes no arguments"):
        read_call("Random(1)", RULES)
    assert write_call(TopScore(lowest=True)) == "TopScore(lowest=True)"


@pytest.mark.parametrize(
    ("value", "hint", "fitting"),
    [
        (1, float, True),
        (True, int, False),
        (True, bool, True),
        (1, bool, False),
        (1, Literal["a", True], False),
        (["a"], list[str], True),
        (["a", 1], list[str], False),
        ({}, dict, True),
        (None, int | None, True),
        (None, None, True),
        (1, None, False),
    ],
)
def test_types_are_compared_with_values(value, hint, fitting):
    assert fits(value, hint) is fitting


def test_a_type_is_said_in_words():
    assert type_words(list[str] | None) == "a list, each item a text or None"
