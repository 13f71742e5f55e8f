"""Columns as arrays: values, statuses, and what large columns cost in memory."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, List, Value, concatenate_datasets, load_from_disk

from hf_vitselect import columns
from hf_vitselect.columns import keep_rows, read_features

WIDTH = 4
VECTORS = np.random.default_rng(0).standard_normal((3000, WIDTH)).astype(np.float32)


def dataset_of(vectors, length=WIDTH):
    features = Features({"embedding": List(Value("float32"), length=length)})
    return Dataset.from_dict({"embedding": vectors}, features=features)


@pytest.fixture(params=["in-memory", "in-a-file"])
def room(request, monkeypatch):
    """Small vectors held as large ones are, too."""
    if request.param == "in-a-file":
        monkeypatch.setattr(columns, "_IN_MEMORY", 0)
    return request.param


def in_one_piece(tmp_path):
    return dataset_of(VECTORS)


def in_many_pieces(tmp_path):
    return concatenate_datasets([dataset_of(part) for part in np.array_split(VECTORS, 7)])


def on_disk(tmp_path):
    in_many_pieces(tmp_path).save_to_disk(tmp_path / "pool", num_shards=3)
    return load_from_disk(tmp_path / "pool")


def in_another_order(tmp_path):
    backwards = np.arange(len(VECTORS))[::-1]
    return dataset_of(VECTORS[backwards]).select(backwards)


def of_variable_length(tmp_path):
    return dataset_of(VECTORS, length=-1)


LAYOUTS = [in_one_piece, in_many_pieces, on_disk, in_another_order, of_variable_length]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_vectors_are_the_same_however_they_lie(layout, room, tmp_path):
    features, statuses = read_features(layout(tmp_path), "embedding")
    assert (features.dtype, features.shape) == (np.float32, VECTORS.shape)
    np.testing.assert_array_equal(features, VECTORS)
    assert set(statuses) == {"ok"}


def test_unusable_vectors_are_found_in_any_batch(room):
    vectors = VECTORS.tolist()
    vectors[5] = vectors[2500] = None
    vectors[7][1], vectors[2999][0] = float("nan"), float("inf")
    features, statuses = read_features(dataset_of(vectors), "embedding")
    assert {int(row): statuses[row] for row in np.flatnonzero(statuses != "ok")} == {
        5: "bad_row",
        7: "non_finite",
        2500: "bad_row",
        2999: "non_finite",
    }
    assert (features[[5, 2500]] == 0).all()
    usable = np.flatnonzero(statuses == "ok")
    np.testing.assert_array_equal(keep_rows(features, usable), VECTORS[usable])


def test_large_vectors_in_one_piece_are_not_copied(monkeypatch):
    monkeypatch.setattr(columns, "_IN_MEMORY", 0)
    dataset = dataset_of(VECTORS)
    one, two = (read_features(dataset, "embedding")[0] for _ in range(2))
    assert np.shares_memory(one, two)
    assert keep_rows(one, np.arange(len(one))) is one


@pytest.mark.parametrize("rows", [0, 1], ids=["no-row", "only-a-null"])
def test_a_column_without_a_vector_has_no_dimension(rows, room):
    features, statuses = read_features(dataset_of([None] * rows), "embedding")
    assert (features.shape, statuses.tolist()) == ((rows, 0), ["bad_row"] * rows)


GROWTH = """
import sys, threading, time
import numpy as np
import torch
from datasets import load_from_disk
from hf_vitselect import select_diverse
from hf_vitselect.rules import NeighborPenalty, products

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.001)

kind, path, units, wide = sys.argv[1:]
torch.set_num_threads(1)
if units == "made-again":
    products._room = lambda device: 0
products.native_type = lambda device: getattr(torch, wide)
peak = [0]
threading.Thread(target=watch, daemon=True).start()
# The libraries' own buffers come first.
small = np.random.default_rng(0).standard_normal((600, 512), dtype=np.float32)
NeighborPenalty()(np.ones(600), small, 50, None, {})
if kind == "array":
    features = np.load(path + "/features.npy", mmap_mode="r")
    peak[0] = before = anonymous()
    NeighborPenalty()(np.arange(len(features), dtype=float), features, 100, None, {})
else:
    dataset = load_from_disk(path + "/pool")
    select_diverse(dataset.select(range(500)), 50)
    peak[0] = before = anonymous()
    select_diverse(dataset, 100)
print(peak[0] - before)
"""


FREED_AT_ONCE = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Of an allocator that gives back what is freed: else the process holds more or less of it by chance."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Features of 160 MiB on disk: as an array, and as a scored pool of many record batches."""
    folder = tmp_path_factory.mktemp("large")
    features = np.random.default_rng(0).standard_normal((20_480, 2048), dtype=np.float32)
    np.save(folder / "features.npy", features)
    batches = []
    for start in range(0, len(features), 1024):
        rows = range(start, start + 1024)
        turns = [
            [{"role": "user", "content": str(row)}, {"role": "assistant", "content": "yes"}] for row in rows
        ]
        vectors = pa.FixedSizeListArray.from_arrays(features[start : start + 1024].reshape(-1), 2048)
        scores = pa.array([row % 97 for row in rows], pa.float32())
        batches.append(pa.table({"messages": pa.array(turns), "necessity": scores, "embedding": vectors}))
    Dataset(pa.concat_tables(batches)).save_to_disk(folder / "pool")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["array", "pool"])
@pytest.mark.parametrize(
    ("units", "wide", "share"),
    [
        ("held", "bfloat16", 0.5),
        ("held", "float32", 1.0),
        ("made-again", "bfloat16", 0.0),
        ("made-again", "float32", 0.0),
    ],
)
def test_memory_mapped_features_stay_on_disk(kind, units, wide, share, large):
    command = [sys.executable, "-c", GROWTH, kind, str(large), units, wide]
    environment = os.environ | FREED_AT_ONCE
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    features = (large / "features.npy").stat().st_size
    # Unit rows, where they are held, and the buffers that Products states.
    assert int(done.stdout) <= share * features + 100 * 2**20
