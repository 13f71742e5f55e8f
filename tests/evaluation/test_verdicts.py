"""A line of a comparison: its cells and its verdict."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hf_vitselect.evaluation.statistics import Difference
from hf_vitselect.evaluation.verdicts import Line, SameCost, compare_scores


def line(means, low=-math.inf, high=math.inf, matched=None, same_cost=None, uses=1):
    against = Difference(0.25, low, high, 0.95, None)
    rows = None if same_cost is None else SameCost(1200, uses)
    return Line("mine", 2, means, against, matched, same_cost, rows, None, tokens=1.0, seconds=1.0)


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


def test_same_cost_has_its_verdict():
    made = line([0.5, 0.6], 0.1, 0.4, same_cost=Difference(-0.5, -0.75, -0.25, 0.95, None))
    assert made.verdict.endswith(
        "; worse than 1,200 random rows, which cost no more, -0.500 (-0.750 to -0.250)."
    )
    thrice = line([0.5], same_cost=Difference(0.5, 0.25, 0.75, 0.95, None), uses=3).verdict
    assert "better than 1,200 random rows, which cost no more if the picks are used 3 times, +0.5" in thrice
    assert made.card_row()["less random of the same cost"] == "-0.500 (-0.750 to -0.250)"


def test_same_cost_compares_larger_rows():
    rng = np.random.default_rng(0)
    means = {("random", 10): 0.3, ("mine", 10): 0.5, ("random", 40): 0.7, ("other", 10): 0.5}
    scores = {key: rng.normal(mean, 0.01, (3, 50)) for key, mean in means.items()}
    trials = {key: [SimpleNamespace(tokens=1, seconds=1.0)] * 3 for key in means}
    lines = {
        (made.method, made.rows): made
        for made in compare_scores(trials, scores, None, {("mine", 10): SameCost(40, 1)})
    }
    assert lines["mine", 10].random.verdict == "better"
    assert lines["mine", 10].same_cost.verdict == "worse"
    assert lines["mine", 10].same_cost_rows.rows == 40
    assert lines["other", 10].same_cost is None
    assert lines["random", 40].random is None
