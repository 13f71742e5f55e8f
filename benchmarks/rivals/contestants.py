"""One contestant on given vectors, in a process of its own: seconds, memory and picks.

Run by either interpreter: ours has `hf_vitselect`, the peers' has their packages. Nothing is imported that
the contestant does not need, and imports are not counted.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Pick = Callable[[], np.ndarray]


def our_facility_location(units: np.ndarray, count: int) -> Pick:
    from hf_vitselect.rules import FacilityLocation

    return lambda: FacilityLocation()(None, units, count, np.random.default_rng(0), {})[0]


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

    return lambda: kmeans(units, count, np.random.default_rng(0))[0]


def sklearn_kmeans(units: np.ndarray, count: int) -> Pick:
    """One start from random rows, 20 iterations, as ours."""
    from sklearn.cluster import KMeans

    model = KMeans(count, init="random", n_init=1, max_iter=20, random_state=0)
    return lambda: model.fit(units).labels_


def our_duplicates(units: np.ndarray, count: int) -> Pick:
    """Rows with the same text, so that only vectors decide."""
    from hf_vitselect.data import Conversation, RowImage, Turn
    from hf_vitselect.filters import NearDuplicates, Rows

    row = Conversation((Turn("user", (None, "?")), Turn("assistant", ("yes",))), (RowImage(),))
    rows = Rows.of(np.zeros(len(units)), image_features=units, conversations=lambda: iter([row] * len(units)))
    return lambda: NearDuplicates(cosine=0.95).find(rows).rows


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


CONTESTANTS = {
    "facility location": {
        "hf_vitselect": our_facility_location,
        "apricot-select": apricot,
        "submodlib-py": submodlib,
    },
    "k-means": {"hf_vitselect": our_kmeans, "scikit-learn": sklearn_kmeans},
    "duplicates": {"hf_vitselect": our_duplicates, "semhash": semhash},
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
