"""NeighborPenalty picks what the naive loop picks, bit for bit."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from self_filter_reference import reference_picks

from hf_vitselect.rules import NeighborPenalty, TopScore
from hf_vitselect.rules.neighbors import products


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request, monkeypatch):
    """Forces products of either type, whatever the hardware prefers."""
    monkeypatch.setattr(
        "hf_vitselect.rules.neighbors.products.native_type", lambda device: getattr(torch, request.param)
    )
    return request.param


def clip_like(rows, dim, seed=0):
    """A unit image half joined with a unit text half, in clusters."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(2, rows // 40), dim))
    values = centers[rng.integers(len(centers), size=rows)] + rng.standard_normal((rows, dim))
    halves = np.split(values, 2, axis=1)
    return np.hstack([half / np.linalg.norm(half, axis=1, keepdims=True) for half in halves]).astype(
        np.float32
    )


def difficulties(rows, seed=0):
    return np.random.default_rng(seed + 1).gamma(2.0, size=rows)


def pick(rule, scores, features, budget):
    return rule(scores, features, budget, np.random.default_rng(0), {})


def assert_as_reference(scores, features, budget, **parameters):
    rows, gains = pick(NeighborPenalty(**parameters), scores, features, budget)
    expected_rows, expected_gains = reference_picks(scores, features, budget, **parameters)
    assert rows.tolist() == expected_rows
    assert gains.tolist() == expected_gains


def with_duplicates(features, copies, seed=0):
    source = np.random.default_rng(seed).integers(len(features) // copies, size=len(features))
    return features[source]


@pytest.mark.parametrize(
    ("rows", "dim", "budget", "change"),
    [
        pytest.param(2000, 96, 300, lambda s, f: (s, f), id="the-paper's-15-percent"),
        pytest.param(10_000, 64, 150, lambda s, f: (s, f), id="ten-thousand-rows"),
        pytest.param(10_000, 16, 100, lambda s, f: (1 - s, with_duplicates(f, 2)), id="ten-thousand-mixed"),
        pytest.param(600, 32, 600, lambda s, f: (s, f), id="every-row"),
        pytest.param(1500, 32, 900, lambda s, f: (s, f), id="60-percent"),
        pytest.param(800, 32, 300, lambda s, f: (-s, f), id="negative-scores"),
        pytest.param(800, 32, 480, lambda s, f: (s - 2.0, f), id="scores-of-both-signs"),
        pytest.param(800, 32, 300, lambda s, f: (np.round(s), f), id="tied-scores"),
        pytest.param(800, 32, 300, lambda s, f: (np.ones_like(s), f), id="constant-scores"),
        pytest.param(400, 32, 300, lambda s, f: (-np.ones_like(s), f), id="constant-negative-scores"),
        pytest.param(400, 32, 300, lambda s, f: (np.zeros_like(s), f), id="zero-scores"),
        pytest.param(800, 32, 480, lambda s, f: (s, with_duplicates(f, 4)), id="duplicated-rows"),
        pytest.param(
            600, 32, 200, lambda s, f: (s, with_duplicates(f, 150)), id="more-copies-than-a-list-holds"
        ),
        pytest.param(300, 8, 200, lambda s, f: (s, np.ones_like(f)), id="all-rows-equal"),
        pytest.param(300, 8, 200, lambda s, f: (s, f[:, :1]), id="one-dimension"),
        pytest.param(300, 8, 200, lambda s, f: (s, np.zeros_like(f)), id="all-rows-zero"),
        pytest.param(
            800, 32, 400, lambda s, f: (s, f * (np.arange(800) % 3 > 0)[:, None]), id="zero-vectors"
        ),
        pytest.param(
            800, 32, 300, lambda s, f: (s, f * np.geomspace(1e-3, 1e4, 800)[:, None]), id="unnormalized"
        ),
        pytest.param(
            400, 32, 200, lambda s, f: (s, f * np.geomspace(1e-40, 1e36, 400)[:, None]), id="extreme"
        ),
        pytest.param(400, 4, 200, lambda s, f: (s, np.round(f * 2)), id="many-tied-cosines"),
        pytest.param(500, 64, 300, lambda s, f: (s, 1 + f / 50), id="cosines-too-close-for-bfloat16"),
        pytest.param(400, 32, 200, lambda s, f: (s, np.asfortranarray(f)), id="column-order"),
        pytest.param(9, 8, 9, lambda s, f: (s, f), id="fewer-rows-than-neighbors"),
        pytest.param(1, 8, 1, lambda s, f: (s, f), id="one-row"),
    ],
)
def test_picks_and_gains_match_the_reference(rows, dim, budget, change, precision):
    scores, features = change(difficulties(rows), clip_like(rows, dim))
    assert_as_reference(scores, features.astype(np.float32, copy=False), budget)


@pytest.mark.parametrize("neighbors", [1, 3, 100, 399, 1000])
@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.5])
def test_parameters_match_the_reference(neighbors, gamma, precision):
    assert_as_reference(difficulties(400), clip_like(400, 16), 120, neighbors=neighbors, gamma=gamma)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("room", "chunk"), [(0, 2048), (2**30, 64)], ids=["units-made-again", "units-held"])
def test_large_pools_match_the_reference(sign, room, chunk, precision, monkeypatch):
    monkeypatch.setattr("hf_vitselect.rules.neighbors.products._CHUNK_ROWS", {"cpu": chunk, "cuda": chunk})
    monkeypatch.setitem(products._CHUNK_VALUES, "cpu", 512)
    monkeypatch.setattr("hf_vitselect.rules.neighbors.products._max_unit_bytes", lambda device: room)
    monkeypatch.setattr("hf_vitselect.rules.neighbors.remaining.CHUNK_VALUES", 512)
    monkeypatch.setattr("hf_vitselect.rules.neighbors.remaining._LIST_ENTRIES", 4096)
    assert_as_reference(sign * difficulties(700), with_duplicates(clip_like(700, 16), 3), 400)


pools = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 120),
        "dim": st.integers(1, 12),
        "seed": st.integers(0, 2**32 - 1),
        "levels": st.sampled_from([1, 2, 8, None]),
        "offset": st.sampled_from([-3.0, -1.0, 0.0, 1.0]),
        "grid": st.sampled_from([1.0, 4.0, None]),
        "copies": st.integers(1, 30),
        "share": st.floats(0.01, 1.0),
    }
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pool=pools, neighbors=st.integers(1, 130), gamma=st.sampled_from([0.0, 0.5, 1.0]))
def test_any_pool_matches_the_reference(pool, neighbors, gamma, precision):
    rng = np.random.default_rng(pool["seed"])
    rows = pool["rows"]
    scores = rng.standard_normal(rows) + pool["offset"]
    if pool["levels"]:
        scores = np.round(scores * pool["levels"]) / pool["levels"]
    features = rng.standard_normal((rows, pool["dim"]))
    if pool["grid"]:
        features = np.round(features * pool["grid"])
    features = features[rng.integers(-(-rows // pool["copies"]), size=rows)].astype(np.float32)
    assert_as_reference(scores, features, max(1, int(pool["share"] * rows)), neighbors=neighbors, gamma=gamma)


def test_zero_gamma_equals_top_score():
    scores, features = np.round(difficulties(300), 1), clip_like(300, 8)
    for got, expected in zip(
        pick(NeighborPenalty(gamma=0), scores, features, 100),
        pick(TopScore(), scores, features, 100),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


def test_minmax_rescales_scores_first():
    scores, features = difficulties(300) - 5.0, clip_like(300, 8)
    rows, gains = pick(NeighborPenalty(rescale="minmax"), scores, features, 50)
    scaled = (scores - scores.min()) / (scores.max() - scores.min())
    assert (rows.tolist(), gains.tolist()) == reference_picks(scaled, features, 50)
    assert gains[0] == 1.0


def test_minmax_of_constant_scores_is_zero():
    rows, gains = pick(NeighborPenalty(rescale="minmax"), np.full(20, 7.0), clip_like(20, 8), 5)
    assert (rows.tolist(), gains.tolist()) == ([0, 1, 2, 3, 4], [0.0] * 5)


def test_memory_mapped_inputs_match_the_reference(tmp_path):
    scores, features = difficulties(500), clip_like(500, 16)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    scores.setflags(write=False)
    assert_as_reference(scores, mapped, 100)


def test_inputs_are_not_modified():
    scores, features = difficulties(200), clip_like(200, 8)
    before = scores.copy(), features.copy()
    pick(NeighborPenalty(), scores, features, 50)
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(features, before[1])


def test_threads_do_not_change_picks(precision):
    scores, features = difficulties(1500), with_duplicates(clip_like(1500, 64), 2)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(pick(NeighborPenalty(), scores, features, 400))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(results[0], results[1])


def test_lowered_process_precision_is_ignored(precision):
    # Cosines so close together that products of less than float32 would order them wrongly.
    features = (1.0 + 0.02 * np.random.default_rng(0).standard_normal((600, 256))).astype(np.float32)
    scores = difficulties(600)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        lowered = torch.backends.mkldnn.matmul.fp32_precision
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_as_reference(scores, features, 200)
        assert torch.backends.mkldnn.matmul.fp32_precision == lowered != "ieee"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gamma": -1.0}, "gamma: expected .* got -1.0"),
        ({"gamma": float("nan")}, "gamma: expected .* got nan"),
        ({"gamma": float("inf")}, "gamma: expected .* got inf"),
        ({"neighbors": 0}, "neighbors: expected .* got 0"),
        ({"neighbors": 2.5}, "neighbors: expected .* got 2.5"),
        ({"rescale": "zscore"}, "rescale: expected .* got 'zscore'"),
    ],
    ids=str,
)
def test_invalid_parameters_raise_an_error(parameters, message):
    with pytest.raises(ValueError, match=message):
        NeighborPenalty(**parameters)


def test_defaults_are_the_papers():
    assert asdict(NeighborPenalty()) == {
        "approximate": False,
        "gamma": 1.0,
        "neighbors": 10,
        "rescale": None,
    }


def test_missing_features_raise_an_error():
    with pytest.raises(ValueError, match="expected features, got scores"):
        pick(NeighborPenalty(), np.ones(3), None, 1)


def test_non_finite_features_raise_an_error():
    features = clip_like(10, 4)
    features[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        pick(NeighborPenalty(), np.ones(10), features, 1)


def test_overflowing_scores_raise_an_error():
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="expected scores that stay finite"):
        pick(NeighborPenalty(gamma=1e200), -np.ones(50), clip_like(50, 4), 50)
