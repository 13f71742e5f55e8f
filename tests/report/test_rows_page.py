"""docs/guides/rows.md is what the code says, and what it says is so."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from hf_vitselect.data.layouts import LAYOUTS, TOOL_EXAMPLES
from hf_vitselect.data.rows import read_row
from hf_vitselect.errors import STATUSES, RowStatus
from hf_vitselect.report.rows_page import rows_page

ROWS = Path(__file__).parents[2] / "docs" / "guides" / "rows.md"


def test_page_matches_the_code():
    assert ROWS.read_text() == rows_page(), "python -m hf_vitselect.report.rows_page > docs/guides/rows.md"


def test_every_status_is_explained_in_order():
    assert list(STATUSES) == list(get_args(RowStatus))
    assert all(when and what for status, (when, what) in STATUSES.items() if status != "ok")


ASKED, RED = "user: <image>What color is it?", "assistant: red"
CHOICES = f"{ASKED}\nA. blue\nB. red\nassistant: B"
CALLED = [ASKED, 'assistant: {"name": "zoom", "arguments": {"times": 2}}', "tool: a red dot", RED]
MEANINGS = {
    "messages": f"{ASKED}\n{RED}",
    "prompt and completion": f"{ASKED}\n{RED}",
    "conversations": f"{ASKED}\n{RED}",
    "texts": f"{ASKED}\n{RED}",
    "instruction and output": "user: <image>Hello\nassistant: Hi\n"
    f"user: Answer in one word.\nWhat color is it?\n{RED}",
    "query and response": f"user: Hello\nassistant: Hi\n{ASKED}\n{RED}",
    "question and answer": f"{ASKED}\n{RED}",
    "question, choices and answer": CHOICES,
    "question, options and answer": CHOICES,
    "caption": "user: <image>\nassistant: a red dot",
    "calls of OpenAI": "\n".join(CALLED),
    "calls of ShareGPT": "\n".join(CALLED),
}
BLOCKS = re.findall(r"```json\n(.+)\n```\n\n```text\n([^`]+)\n```", ROWS.read_text())


def test_the_page_shows_every_layout():
    assert len(BLOCKS) == len(MEANINGS) == len(LAYOUTS) + len(TOOL_EXAMPLES)


@pytest.mark.parametrize(
    ("block", "meaning"), list(zip(BLOCKS, MEANINGS.values(), strict=True)), ids=MEANINGS
)
def test_examples_are_read_as_shown(block, meaning):
    row, shown = block
    read = read_row(json.loads(row))
    turns = "\n".join(
        f"{turn.role}: {''.join('<image>' if part is None else part for part in turn.parts)}"
        + "".join(map(str, turn.calls))
        for turn in read.turns
    )
    assert turns == shown == meaning
    assert [image.path for image in read.images] == ["<the image>"]
