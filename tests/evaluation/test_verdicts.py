"""A line of a comparison: its cells and its verdict."""

import math

import numpy as np
import pytest

from hf_vitselect.evaluation.statistics import Difference
from hf_vitselect.evaluation.verdicts import Line


def line(means, low=-math.inf, high=math.inf, matched=None):
    against = Difference(0.25, low, high, 0.95, None)
    return Line("mine", 2, means, against, matched, None, tokens=1.0, seconds=1.0)


@pytest.mark.parametrize(
    ("seeds", "words"), [(1, "+0.250 (one seed: no interval)"), (2, "+0.250 (no interval)")]
)
def test_missing_interval_is_said(seeds, words):
    assert line([0.5] * seeds).card_row()["less random"] == words
    assert line([0.5] * seeds).table_row()["less random"] == words


def test_card_row_of_three_seeds():
    row = line([0.5, 0.6, 0.7], 0.1, 0.4, Difference(-0.5, -0.75, -0.25, 0.95, None)).card_row()
    assert row == {
        "method": "mine",
        "rows": 2,
        "mean": pytest.approx(0.6),
        "sd": pytest.approx(np.std([0.5, 0.6, 0.7], ddof=1)),
        "seeds": 3,
        "less random": "+0.250 (+0.100 to +0.400)",
        "less matched": "-0.500 (-0.750 to -0.250)",
    }


def test_verdict_names_both_baselines():
    verdict = line([0.5, 0.6], 0.1, 0.4, Difference(-0.5, -0.75, -0.25, 0.95, None)).verdict
    assert verdict == (
        "mine, 2 rows: better than random, +0.250 (+0.100 to +0.400); "
        "worse than random rows of the same lengths, -0.500 (-0.750 to -0.250)."
    )
