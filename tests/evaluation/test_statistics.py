"""An interval that seeds and rows make, and that calls noise noise."""

import numpy as np
import pytest
from scipy import stats

from hf_vitselect.evaluation.statistics import bootstrap, difference, pooled_difference

SEEDS, ROWS = 3, 60


def models(rng, spread, rows=ROWS, shift=0.0, hard=None):
    """Scores of models that differ by chance alone: of seeds, of rows, and of rows in each model."""
    hard = np.zeros(rows) if hard is None else hard
    noise = 0.2 * rng.standard_normal((SEEDS, rows))
    return shift + hard + spread * rng.standard_normal((SEEDS, 1)) + noise


def false_positives(draw, trials):
    result = [difference(*draw(), replicates=200, seed=i).verdict for i in range(trials)]
    return 1 - result.count("not distinguishable") / trials


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.3], ids=["rows", "both", "seeds"])
def test_noise_is_rarely_a_difference(spread):
    rng = np.random.default_rng(0)

    def draw():
        hard = 0.4 * rng.standard_normal(ROWS)
        return models(rng, spread, hard=hard), models(rng, spread, hard=hard)

    # 5 of 100 are allowed: more than 27 of 300 would happen once in a thousand such tests.
    assert false_positives(draw, 300) < 0.09


@pytest.mark.parametrize("times", [1, 5], ids=["even", "uneven"])
def test_single_score_noise_is_rarely_different(times):
    rng = np.random.default_rng(0)
    result = false_positives(lambda: (times * rng.standard_normal(3), rng.standard_normal(3)), 600)
    assert result < 0.08


def test_many_comparisons_rarely_find_noise():
    rng = np.random.default_rng(0)
    tables, six = 0, {"comparisons": 6, "replicates": 200}
    for _ in range(200):
        random = rng.standard_normal(3)
        result = {difference(rng.standard_normal(3), random, **six).verdict for _ in range(6)}
        tables += result != {"not distinguishable"}
    assert tables / 200 < 0.09


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-0.5, "worse"), (0.5, "better"), (0.0, "not distinguishable")]
)
def test_large_difference_is_found(shift, verdict):
    rng = np.random.default_rng(1)
    assert difference(models(rng, 0.03, shift=shift), models(rng, 0.03)).verdict == verdict


def test_single_scores_give_welch_interval():
    one, other = np.array([0.52, 0.55, 0.53, 0.58]), np.array([0.50, 0.49, 0.53])
    result = difference(one, other)
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([result.low, result.high], [welch.low, welch.high], atol=0.002)
    assert result.rows_p is None


def test_bootstrap_covers_seeds_and_rows():
    rng = np.random.default_rng(2)
    one, other = rng.random((4, 200)), rng.random((3, 200))
    seeds = one.mean(1).var(ddof=1) / 4 + other.mean(1).var(ddof=1) / 3
    rows = (one.mean(0) - other.mean(0)).var(ddof=1) / 200
    result = bootstrap(one, other, rng, replicates=4000).var(ddof=1)
    # Each model's rows are drawn too, which the seeds' variance has in it once more.
    assert seeds + 0.8 * rows < result < 1.3 * (seeds + 2 * rows)


def test_paired_test_finds_small_gain():
    rng = np.random.default_rng(3)
    hard = rng.standard_normal(500)
    noise = 0.02 * rng.standard_normal((2, 3, 500))
    result = difference(hard + 0.01 + noise[0], hard + noise[1])
    assert result.rows_p < 1e-6
    assert result.verdict == "better"


def test_more_comparisons_widen_interval():
    rng = np.random.default_rng(4)
    one, other = models(rng, 0.05), models(rng, 0.05)
    alone, among = difference(one, other), difference(one, other, comparisons=10)
    assert among.low < alone.low < alone.high < among.high
    assert among.level == pytest.approx(0.995)


@pytest.mark.parametrize(
    ("one", "other"),
    [(np.ones((1, 9)), np.zeros((3, 9))), (np.full(3, 0.6), np.full(3, 0.5))],
    ids=["one-seed", "equal-single-scores"],
)
def test_unknown_noise_gives_no_verdict(one, other):
    result = difference(one, other)
    assert result.verdict == "not distinguishable"
    assert np.isinf([result.low, result.high]).all()


def test_equal_scores_are_not_different():
    result = difference(np.ones((3, 9)), np.ones((3, 9)))
    assert (result.mean, result.low, result.high, result.rows_p) == (0, 0, 0, 1)


def test_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"of the same rows, got \(3, 9\) and \(3, 8\)"):
        difference(np.ones((3, 9)), np.ones((3, 8)))


def pools_of(rng, seeds, rows=60, spread=0.15, levels=(0.4, 0.5, 0.6)):
    """Right answers of models of two equal methods on pools that differ."""
    pools = []
    for level in levels:
        skill = level + spread * rng.standard_normal((2, seeds, 1)) + 0.1 * rng.standard_normal(rows)
        pools.append((rng.random((2, seeds, rows)) < skill).astype(np.float64))
    return zip(*pools, strict=True)


def test_one_pool_is_a_plain_difference():
    (scores,), (others,) = pools_of(np.random.default_rng(0), 4, levels=[0.5])
    found = pooled_difference([scores], [others[:3]], comparisons=4)
    expected = difference(scores, others[:3], comparisons=4)
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))


def test_noise_in_pools_is_rarely_different():
    rng = np.random.default_rng(1)
    found = [pooled_difference(*pools_of(rng, 3), replicates=200).verdict for _ in range(400)]
    assert 0.01 < 1 - found.count("not distinguishable") / 400 < 0.08


def test_differences_of_pools_are_no_noise():
    scores, others = pools_of(np.random.default_rng(2), 4, rows=2000, spread=0.0, levels=(0.2, 0.7))
    gain = pooled_difference([pool + 0.1 for pool in scores], others)
    assert gain.mean == pytest.approx(0.1, abs=0.02)
    assert gain.high - gain.low < 0.1


def test_every_pool_needs_two_seeds():
    pool = np.ones((2, 5))
    assert pooled_difference([pool, pool], [pool, pool[:1]]) is None
    assert pooled_difference([pool, pool], [pool, pool]).verdict == "not distinguishable"
