"""docs/methods.md is what the code says."""

from pathlib import Path

import pytest

from hf_vitselect import scorers
from hf_vitselect.filters import FILTERS
from hf_vitselect.report.methods_page import methods_page
from hf_vitselect.rules import RULES
from hf_vitselect.selection.method import NAMED

METHODS = Path(__file__).parents[2] / "docs" / "methods.md"


def test_page_matches_the_code():
    assert METHODS.read_text() == methods_page(), (
        "python -m hf_vitselect.report.methods_page > docs/methods.md"
    )


@pytest.mark.parametrize("name", [*NAMED, *FILTERS, *scorers.__all__, *RULES])
def test_every_method_has_full_cells(name):
    line = next(line for line in methods_page().splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells.count("") <= 1 + (name == "Method")  # not every method has a paper
    assert all(cells[:2])
    assert cells[-1]
