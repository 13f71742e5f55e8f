"""Heights and widths of bars."""

import numpy as np
import pytest
from datasets import Dataset

from hf_vitselect.report.charts import bars, histograms, short
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse


def test_histogram_counts_every_scored_row() -> None:
    scores = [*np.linspace(0, 10, 400).tolist(), 1000.0, None]
    texts = {"question": [f"q{i}" for i in range(402)], "answer": ["yes"] * 402}
    selection = select_diverse(Dataset.from_dict({**texts, "x": scores}), 101, rule=TopScore(), by="x")
    drawn = histograms(selection)[0]
    assert (drawn.name, drawn.counts) == ("x", (401, 101))
    assert (drawn.ends[0], drawn.ends[1][0]) == ("0.0501", "≥") or drawn.ends[0][0] == "≤"
    pool, subset = (np.array(part) for part in (drawn.pool, drawn.subset))
    assert max(pool.max(), subset.max()) == 100
    ratio = pool.sum() / subset.sum()
    assert ratio == pytest.approx(1, abs=0.01)  # both are shares of their own rows
    assert (subset[:29] == 0).all()
    assert drawn.positions[1] > drawn.positions[0]


def test_bars_are_shares_of_rows() -> None:
    large, small = bars({"a": (30, 10), "b": (10, 0)})
    assert (large.pool, large.subset, small.pool, small.subset) == (75, 100, 25, 0)
    assert (large.subset_width, large.pool_width, small.subset_width) == (100, 75, 0)
    assert bars({}) == []
    assert bars({"a": (0, 0)})[0].pool_width == 0


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (0.01234, "0.0123"), (-2e6, "-2,000,000")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
