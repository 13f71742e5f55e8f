"""One contestant on given vectors, in a process of its own: seconds, memory and picks.

Run by either interpreter: ours has `hf_vitselect`, the peers' has their packages. Nothing is imported that
the contestant does not need, and imports are not counted: those that import or compile at the first call get
a first call on a few rows. COINCIDE and deita are not on PyPI: their
loops are run from clones of their repositories, in the folder that the variable CLONES names.
"""

import importlib.util
import json
import os
import resource
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Pick = Callable[[], np.ndarray]


def our_facility_location(units: np.ndarray, count: int) -> Pick:
    from hf_vitselect.rules import FacilityLocation

    def call(units: np.ndarray = units, count: int = count) -> np.ndarray:
        return FacilityLocation()(None, units, count, np.random.default_rng(0), {})[0]

    call(units[:300], 10)
    return call


def apricot(units: np.ndarray, count: int) -> Pick:
    """The graph of 64 nearest neighbors by scikit-learn, cosines as values; compiled before."""
    from apricot import FacilityLocationSelection
    from sklearn.neighbors import kneighbors_graph

    def call(units: np.ndarray = units, count: int = count) -> np.ndarray:
        graph = kneighbors_graph(units, 64, mode="distance", metric="cosine", include_self=True)
        graph.data = np.maximum(1 - graph.data, 0)
        graph.eliminate_zeros()
        model = FacilityLocationSelection(count, metric="precomputed", optimizer="lazy")
        return np.array(model.fit(graph.T.tocsr()).ranking)

    call(units[:300], 10)
    return call


def submodlib(units: np.ndarray, count: int) -> Pick:
    """Its sparse mode, with 64 neighbors."""
    from submodlib import FacilityLocationFunction

    def call() -> np.ndarray:
        function = FacilityLocationFunction(
            n=len(units), mode="sparse", data=units, metric="cosine", num_neighbors=64
        )
        return np.array([row for row, _ in function.maximize(budget=count, optimizer="LazyGreedy")])

    return call


def our_kmeans(units: np.ndarray, count: int) -> Pick:
    from hf_vitselect.rules import kmeans

    def call(units: np.ndarray = units) -> np.ndarray:
        return kmeans(units, count, np.random.default_rng(0))[0]

    call(units[:300])
    return call


def sklearn_kmeans(units: np.ndarray, count: int) -> Pick:
    """One start from random rows, 20 iterations, as ours."""
    from sklearn.cluster import KMeans

    def call(units: np.ndarray = units) -> np.ndarray:
        return KMeans(count, init="random", n_init=1, max_iter=20, random_state=0).fit(units).labels_

    call(units[:300])
    return call


def our_duplicates(units: np.ndarray, count: int) -> Pick:
    """Rows with the same text, so that only vectors decide."""
    from datasets import Dataset, Features, Image, List, Value

    from hf_vitselect.filters import NearDuplicates, Rows

    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "yes"}]
    texts = List({"role": Value("string"), "content": Value("string")})
    row = {"messages": turns, "images": [{"bytes": b"", "path": None}]}
    pool = Dataset.from_list([row] * len(units), Features({"messages": texts, "images": List(Image())}))

    def call(count: int = len(units)) -> np.ndarray:
        rows = Rows.of(np.zeros(count), image_features=units[:count], pool=pool.select(range(count)))
        return NearDuplicates(cosine=0.95).find(rows).rows

    call(300)
    return call


def semhash(units: np.ndarray, count: int) -> Pick:
    from semhash import SemHash

    class Encoder:
        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return units[[int(text) for text in texts]]

    names = [str(row) for row in range(len(units))]

    def call() -> np.ndarray:
        result = SemHash.from_embeddings(units, names, model=Encoder()).self_deduplicate(threshold=0.95)
        return np.array([int(row.record) for row in result.filtered], dtype=np.int64)

    return call


def deita(units: np.ndarray, count: int) -> Pick:
    """Its loop over rows in the order of their scores, here that of the rows; on the CPU."""
    spec = importlib.util.spec_from_file_location(
        "deita_filter", _clone("deita/src/deita/selection/filter/base.py")
    )
    base = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(base)
    import pandas

    class InOrder(base.IterativeFilter):
        def _sort(self, df: pandas.DataFrame) -> pandas.DataFrame:
            return df

    rows = pandas.DataFrame({"embedding": list(units)})
    loop = InOrder(threshold=0.95, data_size=-1, chunk_size=100_000, device="cpu")
    return lambda: np.setdiff1d(np.arange(len(units)), loop.filter(rows).index.to_numpy())


def our_coincide(units: np.ndarray, count: int) -> Pick:
    from hf_vitselect.rules import Coincide

    def call(units: np.ndarray = units, count: int = count) -> np.ndarray:
        return Coincide()(None, units, count, np.random.default_rng(0), {})[0]

    call(units[:300], 10)
    return call


def coincide(units: np.ndarray, count: int) -> Pick:
    """k-means by faiss, the mean cosine of a centroid to the others, then its script, on the CPU."""
    import faiss
    import torch

    script = _clone("COINCIDE_code/COINCIDE_cluster/tinyllava/eval/score/coincide/cluster_wise_prune.py")
    torch.Tensor.cuda = lambda tensor: tensor

    def call() -> np.ndarray:
        model = faiss.Kmeans(units.shape[1], len(units) // 66, niter=20, seed=0, spherical=True)
        model.train(units)
        cosines = model.centroids @ model.centroids.T
        values = {
            "embedding": units,
            "cluster": model.index.search(units, 1)[1][:, 0],
            "transfer": (cosines.sum(axis=1) - 1) / (len(cosines) - 1),
        }
        with tempfile.TemporaryDirectory() as folder:
            options = ["--fraction", str(count / len(units)), "--gamma", "0.70710678", "--temp", "0.1"]
            for name, value in values.items():
                np.save(Path(folder, name), value)
                options += [f"--{name}_path", str(Path(folder, f"{name}.npy"))]
            sys.argv = [script, *options, "--output_indices_path", str(Path(folder, "picks.npy"))]
            runpy.run_path(script, run_name="__main__")
            return np.load(Path(folder, "picks.npy"))

    return call


def _clone(path: str) -> str:
    return str(Path(os.environ["CLONES"], path))


CONTESTANTS = {
    "facility location": {
        "hf_vitselect": our_facility_location,
        "apricot-select": apricot,
        "submodlib-py": submodlib,
    },
    "k-means": {"hf_vitselect": our_kmeans, "scikit-learn": sklearn_kmeans},
    "duplicates": {"hf_vitselect": our_duplicates, "semhash": semhash, "deita": deita},
    "clusters": {"hf_vitselect": our_coincide, "COINCIDE": coincide},
}


def main(task: str, name: str, vectors: str, count: str, out: str) -> None:
    """Print the figures as JSON, and write the picks, labels or duplicates."""
    units = np.load(vectors)
    call = CONTESTANTS[task][name](units, int(count))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    outcome = call()
    seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    np.save(Path(out), outcome)
    print(json.dumps({**seconds, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
