"""Random: uniform, by the seed."""

import numpy as np

from hf_vitselect.rules import Random

COLUMNS = {"row": np.arange(300)}


def pick(seed):
    return Random()(None, None, 30, np.random.default_rng(seed), COLUMNS)[0]


def test_seeds_change_random_picks():
    assert pick(0).tolist() != pick(1).tolist()


def test_random_picks_rows_equally_often():
    counts = np.bincount(np.concatenate([pick(seed) for seed in range(500)]), minlength=300)
    assert counts.min() > 20
    assert counts.max() < 90
