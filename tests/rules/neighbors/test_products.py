"""Products: the bound on their error, and rows that are removed."""

import numpy as np
import pytest
import torch

from hf_vitselect.rules.neighbors.products import Products, native_type
from hf_vitselect.rules.neighbors.remaining import row_norms

FEATURES = {
    "alike": lambda rng: rng.uniform(1, 2, (256, 512)),
    "of-any-direction": lambda rng: rng.standard_normal((256, 512)),
    "rounded-up-by-bfloat16": lambda rng: np.where(rng.random((256, 64)) < 0.5, 1.0, 1.00389),
    "of-a-few-dimensions": lambda rng: rng.standard_normal((256, 3)) ** 9,
    "equal": lambda rng: np.broadcast_to(rng.standard_normal(96), (256, 96)),
    "some-zero": lambda rng: rng.standard_normal((256, 64)) * (np.arange(256) % 3 > 0)[:, None],
}


def products_of(features, precision, monkeypatch):
    monkeypatch.setattr(
        "hf_vitselect.rules.neighbors.products.native_type", lambda device: getattr(torch, precision)
    )
    return Products(features, row_norms(features))


@pytest.mark.parametrize("make", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("asked", [1, 256])
def test_products_are_within_their_bound(make, precision, asked, monkeypatch):
    features = make(np.random.default_rng(0)).astype(np.float32)
    products = products_of(features, precision, monkeypatch)
    wide = features.astype(np.float64)
    units = wide / row_norms(features)[:, None]
    candidates, values = products.highest(np.arange(asked), 256)
    cosines = (units[:asked] @ units.T).astype(np.float32).astype(np.float64)
    assert np.abs(values - np.take_along_axis(cosines, candidates, axis=1)).max() <= products.error
    assert products.error < (1e-4 if precision == "float32" else 0.012)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_removed_rows_come_last(precision, monkeypatch):
    features = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    products = products_of(features, precision, monkeypatch)
    products.remove(np.array([3, 7]))
    candidates, values = products.highest(np.array([0, 3]), 50)
    assert (np.sort(candidates) == np.arange(50)).all()
    assert np.sort(candidates[:, -2:]).tolist() == [[3, 7]] * 2
    assert (values[:, -2:] == -np.inf).all()
    assert (np.diff(values[:, :-2]) <= 0).all()


def test_native_bfloat16_is_used(monkeypatch):
    for has, chosen in (({"amx_bf16": True}, torch.bfloat16), ({"avx512_f": True}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has, raising=False)
        assert native_type("cpu") == chosen
