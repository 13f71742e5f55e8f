"""Maps of embeddings."""

import numpy as np
import pytest

from hf_vitselect.explorer.projection import neighbors, project


def clusters() -> np.ndarray:
    """Three clusters of 30 vectors each, far from each other."""
    rng = np.random.default_rng(0)
    return (np.repeat(8 * np.eye(3, 16), 30, axis=0) + rng.normal(size=(90, 16))).astype(np.float32)


@pytest.mark.parametrize("projection", ["pca", pytest.param("umap", marks=pytest.mark.slow)])
def test_map_keeps_clusters_apart(projection: str) -> None:
    if projection == "umap":
        pytest.importorskip("umap", reason="the extra explore is not installed")
    places = project(clusters(), projection)  # type: ignore[arg-type]
    assert places.shape == (90, 2)
    np.testing.assert_array_equal(places, project(clusters(), projection))  # type: ignore[arg-type]
    centers = places.reshape(3, 30, 2).mean(axis=1)
    spread = places.reshape(3, 30, 2).std(axis=1).max()
    gaps = np.linalg.norm(centers[:, None] - centers, axis=2)[np.triu_indices(3, 1)]
    assert gaps.min() > 2 * spread


@pytest.mark.parametrize("shape", [(2, 5), (3, 1), (5, 2)])
def test_few_rows_have_a_map(shape: tuple[int, int]) -> None:
    assert np.isfinite(project(np.random.default_rng(0).normal(size=shape).astype(np.float32), "umap")).all()


def test_neighbors_are_the_nearest() -> None:
    near = neighbors(clusters())
    for row, found in enumerate(near):
        assert len(found["ids"]) == 10
        assert row not in found["ids"]
        assert {other // 30 for other in found["ids"]} == {row // 30}
        assert found["distances"] == sorted(found["distances"])
    assert neighbors(clusters()[:1]) == [{"ids": [], "distances": []}]
