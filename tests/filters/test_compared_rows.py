"""How the rows of a group are compared and divided."""

import numpy as np
import pytest
from large_groups import divide_above

from hf_vitselect.filters.compared_rows import ComparedRows

NONE = np.empty((300, 0), dtype=np.uint32)


@pytest.mark.parametrize("hashed", [False, True])
def test_parts_have_each_row_once(monkeypatch, hashed):
    divide_above(monkeypatch, 100, 20)
    images = np.random.default_rng(0).standard_normal((300, 2, 8)).astype(np.float32)
    rows = ComparedRows(np.sign(images) if hashed else images, NONE, hashed)
    parts = rows.divide()
    assert len(parts) > 1
    assert sorted(np.concatenate(parts).tolist()) == [*range(300)]


def test_rows_without_images_stay_together(monkeypatch):
    divide_above(monkeypatch, 100, 20)
    rows = ComparedRows(np.empty((300, 0, 384), dtype=np.float32), NONE, True)
    (part,) = rows.divide()
    assert part.tolist() == [*range(300)]
    texts, images = rows.compare(np.arange(2), np.arange(3))
    assert texts.tolist() == images.tolist() == [[1, 1, 1]] * 2


def test_the_least_similar_image_counts():
    images = np.array([[[1, 0], [1, 0]], [[1, 0], [0, 1]]], dtype=np.float32)
    rows = ComparedRows(images, NONE[:2], False)
    assert rows.compare(np.array([0]), np.array([0, 1]))[1].tolist() == [[1, 0]]
    assert rows.compare_pairs(np.array([0]), np.array([1]))[1].tolist() == [0]
