"""An unknown layout's error shows the columns, the nearest layout, and a map that converts it."""

import pytest
from datasets import Dataset

from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import LayoutError

TURNS = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
UNKNOWN = {
    "another name of the turns": ({"dialog": TURNS, "id": 1}, "messages"),
    "nearly a known name": ({"Messages": TURNS}, "messages"),
    "a problem and its solution": ({"problem": "what?", "solution": "red"}, "question+answer"),
    "half of each": ({"instruction": "what?", "response": "red", "n": 1}, "question+answer"),
    "a prompt and a response": ({"prompt": "what?", "response": "red", "n": 3}, "question+answer"),
    "a preference": ({"prompt": "what?", "chosen": "red", "rejected": "blue"}, "question+answer"),
    "no answer's name": ({"prompt": "what?", "said": "red", "images": []}, "question+answer"),
    "names of no help": ({"x": "what?", "y": "red"}, "question+answer"),
    "names that are no identifiers": ({"the question": "what?", "the answer": "red"}, "question+answer"),
}


@pytest.mark.parametrize(("row", "nearest"), UNKNOWN.values(), ids=UNKNOWN)
def test_three_lines_convert_the_rows(row, nearest):
    dataset = Dataset.from_list([row])
    with pytest.raises(LayoutError, match=f"the nearest is {nearest.replace('+', '.')}:") as caught:
        find_layout(dataset.features)
    message, *lines = str(caught.value).split("\n")
    assert str(list(row)) in message
    assert len(lines) == 3
    names = {"dataset": dataset}
    exec("\n".join(lines), names)
    (read,) = read_rows(names["dataset"])
    assert read.transcript == "USER: what? ASSISTANT: red"


def test_lone_texts_are_captions():
    with pytest.raises(LayoutError, match=r"the nearest is caption:\n.*\n.*'caption': row\['text'\]"):
        find_layout(["image", "text"])


@pytest.mark.parametrize("columns", [[], ["image"], ["score", "id"]], ids=str)
def test_columns_without_texts_are_refused(columns):
    with pytest.raises(LayoutError, match="expected one of the conversation layouts messages, prompt"):
        find_layout(columns)


TWO = {
    "messages and a pair": (["messages", "question", "answer"], "messages and question.answer"),
    "conversations and Alpaca": (
        ["conversations", "instruction", "output"],
        "conversations and instruction.output",
    ),
    "two pairs": (["query", "response", "question", "answer"], "query.response and question.answer"),
    "choices twice": (
        ["question", "answer", "choices", "options"],
        "question.choices.answer and question.options.answer",
    ),
    "messages and choices": (
        ["messages", "question", "choices", "answer"],
        "messages and question.choices.answer",
    ),
}


@pytest.mark.parametrize(("columns", "both"), TWO.values(), ids=TWO)
def test_two_layouts_at_once_are_refused(columns, both):
    with pytest.raises(LayoutError, match=f"got {both}; drop one with dataset.remove_columns"):
        find_layout(columns)


ONE = {
    "a caption next to messages": (["messages", "caption"], ("messages",)),
    "a caption next to a question": (["question", "answer", "caption"], ("question", "answer")),
    "choices next to messages": (["messages", "choices", "options"], ("messages",)),
    "options next to a prompt": (["prompt", "completion", "options"], ("prompt", "completion")),
    "choices make a choice": (["choices", "question", "answer"], ("question", "choices", "answer")),
    "half a pair next to messages": (["messages", "question", "output", "input"], ("messages",)),
    "optional columns": (
        ["history", "output", "input", "instruction"],
        ("instruction", "output", "input", "history"),
    ),
}


@pytest.mark.parametrize(("columns", "read"), ONE.values(), ids=ONE)
def test_metadata_beside_a_layout_is_ignored(columns, read):
    assert find_layout(columns).text_columns == read


@pytest.mark.parametrize("unread", ["context", "passage", "hint", "documents"])
def test_context_of_questions_is_refused(unread):
    for pair in (["question", "answer"], ["query", "response"], ["instruction", "output", "input"]):
        with pytest.raises(LayoutError, match=f"{unread}.*remove_columns"):
            find_layout([*pair, unread])
