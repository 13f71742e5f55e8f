"""What counts as the same text, the same answer and the same word."""

import pytest

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.text import first_answers, normalized, words
from hf_vitselect.errors import RowError


def answered(*answers):
    turns = [turn for text in answers for turn in (Turn("user", ("what?",)), Turn("assistant", (text,)))]
    return Conversation(tuple(turns))


def test_case_and_space_are_ignored():
    assert normalized("  What\n IS\tit? ") == "what is it?"


@pytest.mark.parametrize(
    ("answers", "first"),
    [
        (("Yes.", "No."), "yes"),
        (("A red  bus!",), "a red bus"),
        (("3.5",), "3.5"),
        (("-1",), "-1"),
        (("…",), "…"),
        (("?",), "?"),
        (("红色。",), "红色"),
        (("", "no"), ""),
        ((), ""),
    ],
)
def test_first_answers_lose_their_end(answers, first):
    assert first_answers([answered(*answers)]).tolist() == [first]


def test_unreadable_rows_have_no_answer():
    rows = [RowError("bad_row", "no turns"), answered("Yes"), answered("No")]
    assert first_answers(rows).tolist() == ["", "yes", "no"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What's the colour_of\nIT?", "what s the colour_of it"),
        ("Is it 3.5, or 4, cm?", "is it 0 or 0 cm"),
        ("boxes (1, 2), [3, 4] and 5", "boxes 0 and 0"),
        ("ABC123 2nd", "abc 0 nd"),
        ("图中是什么?", "图 中 是 什 么"),
        ("क्या रंग है", "क्या रंग है"),
        ("รูปนี้", "รู ป นี้"),
        ("STRASSE straße", "strasse strasse"),
        ("３ ① Ⅷ", "0 viii"),
        ("cafe\u0301 café", "café café"),
        ("👍 …", ""),
        ("", ""),
    ],
)
def test_words_of_all_scripts(text, found):
    assert " ".join(words(text)) == found


@pytest.mark.parametrize("text", ["What's in A_1? (2,3) x4y 5 6", "under_score __ 7_8 9", "\x1f\x85 a-b"])
def test_ascii_words_are_no_exception(text):
    """A text of ASCII has the words that it has next to other letters."""
    assert words(f"{text} é") == [*words(text), "é"]
