"""The right choice is named by its index, letter or text; an answer that may mean two is refused."""

import pytest

from hf_vitselect.data.choices import letter_of, lettered
from hf_vitselect.data.rows import read_row
from hf_vitselect.errors import RowError

COLORS = ["red", "blue", "green"]
NAMED = {
    "an index": (1, COLORS, "B"),
    "the first": (0, COLORS, "A"),
    "an index as text": ("2", COLORS, "C"),
    "an index among nulls": (2.0, COLORS, "C"),
    "an index among nulls of a CSV": ("2.0", COLORS, "C"),
    "a letter": ("B", COLORS, "B"),
    "a small letter": ("c", COLORS, "C"),
    "a letter in brackets": ("(A)", COLORS, "A"),
    "a text": (" blue", COLORS, "B"),
    "a number's text": (40, ["10", "40"], "B"),
    "an index that is its own text": (1, ["0", "1"], "B"),
}


@pytest.mark.parametrize(("answer", "choices", "letter"), NAMED.values(), ids=NAMED)
def test_answers_name_their_choice(answer, choices, letter):
    assert letter_of(answer, choices) == letter


@pytest.mark.parametrize("choices", [["A. red", "B. blue"], ["(A) red", "(B) blue"], ["A) red", "B) blue"]])
def test_letters_are_not_written_twice(choices):
    assert lettered(choices) == choices
    assert lettered(["A. red", "blue"]) == ["A. A. red", "B. blue"]


REFUSED = {
    "too high": (3, COLORS, "none"),
    "negative": (-1, COLORS, "none"),
    "a letter too high": ("D", COLORS, "none"),
    "another text": ("pink", COLORS, "none"),
    "an index or a text": (1, ["1", "2", "3"], "several"),
    "a letter or a text": ("A", ["B", "A"], "several"),
    "one text twice": ("red", ["red", "red"], "several"),
    "half": (0.5, COLORS, "none"),
    "null": (None, COLORS, "null"),
    "a boolean": (True, COLORS, "boolean"),
}


@pytest.mark.parametrize(("answer", "choices", "reason"), REFUSED.values(), ids=REFUSED)
def test_unclear_answers_are_refused(answer, choices, reason):
    with pytest.raises(ValueError, match=reason):
        letter_of(answer, choices)
    with pytest.raises(RowError, match=f"bad_row: .*{reason}"):
        read_row({"question": "what?", "choices": choices, "answer": answer})


@pytest.mark.parametrize("choices", [["a", None], 7, {"text": ["a"]}, "red or blue"], ids=str)
def test_other_choices_are_bad_rows(choices):
    with pytest.raises(RowError, match="bad_row"):
        read_row({"question": "what?", "choices": choices, "answer": 0})


@pytest.mark.parametrize("choices", [None, [], "[]"], ids=str)
def test_open_questions_have_no_choices(choices):
    row = read_row({"question": "how many?", "options": choices, "answer": 2})
    assert row.transcript == "USER: how many? ASSISTANT: 2"


def test_images_stand_in_choices():
    cells = {"image_1": b"one", "image_2": b"two"}
    row = read_row({"question": "which?", "options": "['<image 2>', '<image 1>']", "answer": "A"} | cells)
    assert row.turns[0].parts == ("which?", "\nA. ", None, "\nB. ", None)
    assert [image.data for image in row.images] == [b"two", b"one"]


def test_letters_end_at_z():
    with pytest.raises(ValueError, match="at most 26 choices, got 27"):
        lettered(["a"] * 27)
