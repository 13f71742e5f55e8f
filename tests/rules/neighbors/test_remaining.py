"""RemainingNeighbors: the nearest rows as rows leave, and when products are refined."""

import numpy as np
import torch

from hf_vitselect.rules.neighbors.products import Products
from hf_vitselect.rules.neighbors.remaining import RemainingNeighbors, row_norms


def test_refines_when_bfloat16_is_too_coarse(monkeypatch):
    monkeypatch.setattr("hf_vitselect.rules.neighbors.products.native_type", lambda device: torch.bfloat16)
    features = (1 + np.random.default_rng(0).standard_normal((400, 64)) / 50).astype(np.float32)
    norms, products = row_norms(features), Products(features, row_norms(features))
    coarse = products.error
    remaining = RemainingNeighbors(features, norms, products, 5, pops=100)
    remaining.pop(0, np.zeros(400))
    assert products.error < coarse / 50
    assert not products.refine()


def test_pop_returns_nearest_remaining_rows():
    features = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1]], dtype=np.float32)
    norms = row_norms(features)
    remaining = RemainingNeighbors(features, norms, Products(features, norms), 2, pops=4)
    priority = np.zeros(4)
    assert [remaining.pop(row, priority)[0].tolist() for row in (1, 0, 3, 2)] == [[2, 0], [2, 3], [2], []]
