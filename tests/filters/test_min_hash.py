"""MinHash: estimates of the similarity of texts, and bands that similar texts share."""

import numpy as np
import pytest

from hf_vitselect.filters.min_hash import bands, signature, similarities


def shingles(words):
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


@pytest.mark.parametrize("changes", [0, 1, 5, 40, 100])
def test_estimates_are_near_the_similarity(changes):
    rng = np.random.default_rng(changes)
    pairs, exact = [], []
    for _ in range(20):
        words = [f"w{number}" for number in rng.integers(1000, size=200)]
        other = list(words)
        for place in rng.integers(200, size=changes):
            other[place] = "changed"
        pairs.append((signature(words), signature(other)))
        exact.append(len(shingles(words) & shingles(other)) / len(shingles(words) | shingles(other)))
    estimated = [similarities(one[None], two[None])[0, 0] for one, two in pairs]
    assert np.max(np.abs(np.array(estimated) - exact)) < 0.15
    assert abs(np.mean(estimated) - np.mean(exact)) < 0.025


def test_similar_texts_share_a_band():
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in rng.integers(1000, size=300)]
    signed = np.array(
        [signature(words), signature([*words[:150], "new", *words[151:]]), signature(words[::-1])]
    )
    first, second, third = bands(signed, np.zeros(3, dtype=np.uint64))
    assert set(first.tolist()) & set(second.tolist())
    assert not set(first.tolist()) & set(third.tolist())
    keyed = bands(signed[[0, 0]], np.array([1, 2], dtype=np.uint64))
    assert not set(keyed[0].tolist()) & set(keyed[1].tolist())


def test_same_short_texts_are_alike():
    nothing = np.empty((2, 0), dtype=np.uint32)
    assert similarities(nothing, nothing[:1]).tolist() == [[1.0], [1.0]]
