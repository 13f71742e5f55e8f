"""Other ways to pick a diverse subset, on the same features. Nothing here is part of the package."""

import subprocess
import tempfile
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

_APRICOT = """
import sys
import numpy as np
from apricot import FacilityLocationSelection
from scipy.sparse import csr_matrix
graph = np.load(sys.argv[1])
n = len(graph["starts"]) - 1
similarity = csr_matrix((graph["values"], graph["columns"], graph["starts"]), shape=(n, n))
import time
start = time.process_time()
fitted = FacilityLocationSelection(int(sys.argv[2]), metric="precomputed", optimizer="lazy").fit(similarity)
print(time.process_time() - start)
np.save(sys.argv[3], fitted.ranking)
"""


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def k_center(features: NDArray[np.float32], budget: int) -> NDArray[np.int64]:
    """Greedy k-center: always the row that is furthest from all picked ones; starts with the first row."""
    units = torch.from_numpy(unit_rows(features))
    nearest = torch.full((len(units),), -torch.inf)
    picks = np.empty(budget, dtype=np.int64)
    row = 0
    for turn in range(budget):
        picks[turn] = row
        torch.maximum(nearest, units @ units[row], out=nearest)
        nearest[row] = torch.inf
        row = int(nearest.argmin())
    return picks


def semdedup(features: NDArray[np.float32], budget: int, *, per_cluster: int = 500) -> NDArray[np.int64]:
    """SemDeDup (arXiv 2303.09540): k-means, then within a cluster rows with a twin nearer to the center go.

    The threshold is the one that leaves ``budget`` rows.
    """
    units = unit_rows(features)
    clusters = max(1, len(units) // per_cluster)
    means = faiss.Kmeans(units.shape[1], clusters, niter=20, spherical=True, seed=0)
    means.train(units)
    similarity, cluster = (column[:, 0] for column in means.index.search(units, 1))
    twin = np.full(len(units), -1.0, dtype=np.float32)
    for which in range(clusters):
        rows = np.flatnonzero(cluster == which)
        rows = rows[np.argsort(-similarity[rows], kind="stable")]
        cosines = np.tril(units[rows] @ units[rows].T, -1) - np.triu(
            np.ones((len(rows), len(rows)), np.float32)
        )
        twin[rows] = cosines.max(axis=1, initial=-1.0)
    return np.sort(np.argsort(twin, kind="stable")[:budget])


def facility_location(
    features: NDArray[np.float32], budget: int, python: str, *, neighbors: int = 64
) -> tuple[NDArray[np.int64], float]:
    """apricot's facility location on the graph of nearest neighbors, run by another Python.

    Args:
        features: float32 ``[n, d]``.
        budget: Rows to pick.
        python: An interpreter whose environment has apricot-select, numba and scikit-learn.
        neighbors: Edges of a row in the graph.

    Returns:
        The picks, and the CPU seconds of apricot alone; the graph is built here.
    """
    units = torch.from_numpy(unit_rows(features))
    best = [(units[i : i + 256] @ units.T).topk(neighbors) for i in range(0, len(units), 256)]
    with tempfile.TemporaryDirectory() as folder:
        graph, picks = Path(folder, "graph.npz"), Path(folder, "picks.npy")
        np.savez(
            graph,
            values=torch.cat([b.values for b in best]).double().reshape(-1).numpy(),
            columns=torch.cat([b.indices for b in best]).reshape(-1).numpy(),
            starts=np.arange(0, len(units) * neighbors + 1, neighbors),
        )
        command = [python, "-c", _APRICOT, str(graph), str(budget), str(picks)]
        seconds = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return np.load(picks).astype(np.int64), float(seconds.split()[-1])
