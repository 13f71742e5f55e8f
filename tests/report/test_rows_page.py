"""docs/rows.md is what the code says, and what it says is so."""

from pathlib import Path
from typing import get_args

import pytest
from pools import png

from hf_vitselect.data.layouts import LAYOUTS
from hf_vitselect.data.rows import read_row
from hf_vitselect.errors import STATUSES, RowStatus
from hf_vitselect.report.rows_page import rows_page

ROWS = Path(__file__).parents[2] / "docs" / "rows.md"


def test_page_matches_the_code():
    assert ROWS.read_text() == rows_page(), "python -m hf_vitselect.report.rows_page > docs/rows.md"


def test_every_status_is_explained_in_order():
    assert list(STATUSES) == list(get_args(RowStatus))
    assert all(when and what for status, (when, what) in STATUSES.items() if status != "ok")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "+".join(layout.text_columns))
def test_the_examples_are_one_conversation(layout):
    row = {name: png() if cell == "<the image>" else cell for name, cell in layout.example.items()}
    row = {name: [png()] if cell == ["<the image>"] else cell for name, cell in row.items()}
    read = read_row(row)
    assert [turn.parts for turn in read.turns] == [(None, "What color is it?"), ("red",)]
    assert read.images[0].data == png()
