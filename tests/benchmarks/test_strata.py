"""The interval of a difference over several pools."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_vitselect.evaluation import difference

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def stratified():
    sys.path.append(str(BENCHMARKS))
    yield importlib.import_module("trials.strata").stratified
    sys.path.remove(str(BENCHMARKS))


def answers(rng, level, seeds, rows=60, spread=0.15):
    """Right answers of as many models of two equal methods, to rows of different difficulty."""
    hard = rng.normal(scale=0.1, size=rows)
    skill = level + rng.normal(scale=spread, size=(2, seeds, 1))
    return (rng.random((2, seeds, rows)) < skill + hard).astype(np.float64)


def test_one_pool_gives_the_interval_of_compare(stratified):
    rng = np.random.default_rng(0)
    scores, others = answers(rng, 0.5, 4)
    found, expected = stratified([scores], [others[:3]], 4), difference(scores, others[:3], comparisons=4)
    assert found.mean == pytest.approx(expected.mean)
    assert found.level == expected.level
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_in_twenty_intervals_misses_no_difference(stratified):
    rng, misses, trials = np.random.default_rng(1), 0, 200
    for _ in range(trials):
        pools = [answers(rng, level, seeds=3) for level in (0.4, 0.5, 0.6)]  # pools may differ
        misses += stratified(*zip(*pools, strict=True)).verdict != "not distinguishable"
    assert 0.01 < misses / trials < 0.08


def test_differences_between_pools_are_not_noise(stratified):
    rng = np.random.default_rng(2)
    pools = [answers(rng, level, seeds=4, rows=2000, spread=0.0) for level in (0.2, 0.7)]
    gain = stratified([scores + 0.1 for scores, _ in pools], [others for _, others in pools])
    assert gain.mean == pytest.approx(0.1, abs=0.02)
    assert gain.high - gain.low < 0.1


def test_needs_two_seeds_of_each_method_in_each_pool(stratified):
    pool, short = np.ones((2, 5)), np.ones((1, 5))
    assert stratified([pool, pool], [pool, short]) is None
