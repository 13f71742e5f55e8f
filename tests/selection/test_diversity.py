"""The figures of diversity, compared with a slow loop over all rows."""

import numpy as np
import pytest

from hf_vitselect.selection.diversity import diversity


def test_figures_match_the_whole_matrix() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    picked = np.array([7, 3, 50, 21])
    cosines = _cosines(vectors)
    inside = cosines[np.ix_(picked, picked)] - 3 * np.eye(4)
    figures = diversity(vectors, picked, seed=0)
    assert figures["mean_nearest_cosine"] == pytest.approx(inside.max(1).mean(), abs=1e-5)
    assert figures["coverage_radius"] == pytest.approx(1 - cosines[:, picked].max(1).min(), abs=1e-5)
    assert figures.keys() > {"mean_nearest_cosine_random", "coverage_radius_random"}


def test_single_row_has_no_neighbor() -> None:
    figures = diversity(np.eye(3, dtype=np.float32), np.array([1]), seed=0)
    assert figures["mean_nearest_cosine"] == 0
    assert figures["coverage_radius"] == 1


def test_subset_of_several_blocks() -> None:
    vectors = np.random.default_rng(0).normal(size=(4500, 3)).astype(np.float32)
    figures = diversity(vectors, np.arange(4500), seed=0)
    assert figures["coverage_radius"] == pytest.approx(0, abs=1e-5)
    assert 0.99 < figures["mean_nearest_cosine"] < 1


def _cosines(vectors: np.ndarray) -> np.ndarray:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units @ units.T
