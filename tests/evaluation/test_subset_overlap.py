"""Overlap and composition of subsets, computed by hand."""

import numpy as np

from hf_vitselect.evaluation.subset_overlap import jaccard, overlap


def test_jaccard_computed_by_hand():
    assert jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 0.25


def test_overlap_averages_over_seeds():
    subsets = {"a": [np.array([0, 1]), np.array([1, 2])], "b": [np.array([0, 1]), np.array([3, 4])]}
    rows = overlap(subsets)
    assert rows[0] == {"overlap": "a", "a": 1 / 3, "b": 0.5}
    assert rows[1]["b"] == 0


def test_single_subset_overlaps_itself():
    assert overlap({"a": [np.array([0, 1])]}) == [{"overlap": "a", "a": 1.0}]
