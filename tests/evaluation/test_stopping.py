"""Levels of the looks, and when a comparison needs no more seeds."""

import numpy as np
import pytest
from scipy import stats

from hf_vitselect.evaluation.statistics import Difference, difference
from hf_vitselect.evaluation.stopping import decide, look_levels


@pytest.mark.parametrize(("seeds", "alpha"), [(6, 0.05), (6, 0.05 / 6), (10, 0.05)])
def test_looks_together_keep_the_level(seeds, alpha):
    sums = np.random.default_rng(0).standard_normal((400_000, seeds)).cumsum(axis=1)
    crossed = np.zeros(len(sums), dtype=bool)
    for look, level in look_levels(seeds, alpha).items():
        crossed |= np.abs(sums[:, look - 1]) / np.sqrt(look) > stats.norm.isf((1 - level) / 2)
    assert crossed.mean() == pytest.approx(alpha, abs=4 * np.sqrt(alpha / len(sums)))


def test_early_looks_ask_for_more():
    bounds = [stats.norm.isf((1 - level) / 2) for level in look_levels(6, 0.05).values()]
    # What the spending function leaves for the first look, halfway: 1.96 / sqrt(0.5).
    assert bounds[0] == pytest.approx(2.772, abs=2e-3)
    assert bounds == sorted(bounds, reverse=True)
    assert 1.96 < bounds[-1] < 2.1


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_have_one_look(seeds):
    assert look_levels(seeds, 0.05) == {seeds: pytest.approx(0.95, abs=1e-4)}


def decided(mean, low, high, z, seeds=4):
    return decide(Difference(mean, low, high, 0.95, None, z), seeds, look_levels(6, 0.05))


def test_decisions_follow_the_interval():
    assert decided(0.3, 0.1, 0.5, 3.0) == decided(-0.3, -0.5, -0.1, -3.0) == "verdict"
    assert decided(0.01, -0.2, 0.2, 0.1) == decided(-0.01, -0.2, 0.2, -0.1) == "hopeless"
    assert decided(0.15, -0.05, 0.35, 1.9) == "more seeds"
    assert decided(0.0, -np.inf, np.inf, None) == "more seeds"


def test_last_look_is_never_hopeless():
    assert decided(0.01, -0.2, 0.2, 0.1, seeds=6) == "more seeds"


@pytest.mark.parametrize("shape", [(4,), (4, 30)], ids=["scores", "rows"])
def test_interval_at_its_p_touches_zero(shape):
    rng = np.random.default_rng(1)
    pair = rng.normal(0.4, 1, shape), rng.normal(0, 1, shape)
    p = 2 * stats.norm.sf(abs(difference(*pair).z))
    edge = difference(*pair, level=1 - p)
    assert min(abs(edge.low), abs(edge.high)) < 1e-9
