"""Columns as arrays: values, statuses, and what large columns cost in memory."""

import os
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, List, Value, concatenate_datasets, load_from_disk

from hf_vitselect.data import columns
from hf_vitselect.data.columns import (
    keep_rows,
    read_features,
    read_scores,
    read_values,
    refuse_missing,
    refuse_no_ids,
)
from hf_vitselect.errors import ColumnError

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
def test_every_storage_gives_equal_vectors(layout, room, tmp_path):
    features, statuses = read_features(layout(tmp_path), "embedding")
    assert (features.dtype, features.shape) == (np.float32, VECTORS.shape)
    np.testing.assert_array_equal(features, VECTORS)
    assert set(statuses) == {"ok"}


def test_unusable_vectors_in_any_batch(room):
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


def test_large_contiguous_vectors_are_views(monkeypatch):
    monkeypatch.setattr(columns, "_IN_MEMORY", 0)
    dataset = dataset_of(VECTORS)
    one, two = (read_features(dataset, "embedding")[0] for _ in range(2))
    assert np.shares_memory(one, two)
    assert keep_rows(one, np.arange(len(one))) is one


@pytest.mark.parametrize("rows", [0, 1], ids=["no-row", "only-a-null"])
def test_column_without_vectors_has_no_dimensions(rows, room):
    features, statuses = read_features(dataset_of([None] * rows), "embedding")
    assert (features.shape, statuses.tolist()) == ((rows, 0), ["bad_row"] * rows)


VECTOR_TYPES = {
    "float16": pa.list_(pa.float16()),
    "float64": pa.list_(pa.float64()),
    "large float32": pa.large_list(pa.float32()),
    "large float64": pa.large_list(pa.float64()),
    "fixed float16": pa.list_(pa.float16(), 2),
    "fixed float64": pa.list_(pa.float64(), 2),
    "int8": pa.list_(pa.int8()),
    "fixed uint64": pa.list_(pa.uint64(), 2),
    "decimal": pa.list_(pa.decimal128(30, 2)),
    "large decimal": pa.large_list(pa.decimal256(40, 2)),
}


def as_type(values, kind):
    return pa.array(values, pa.list_(pa.int64())).cast(kind)


@pytest.mark.parametrize("kind", VECTOR_TYPES.values(), ids=VECTOR_TYPES)
@pytest.mark.parametrize("pieces", [1, 2], ids=["one-piece", "two-pieces"])
def test_vectors_of_any_type_are_read(kind, pieces, room):
    parts = [as_type([[1, 2], None, [5, 6]], kind)] * pieces
    features, statuses = read_features(Dataset(pa.table({"e": pa.chunked_array(parts)})), "e")
    assert features.dtype == np.float32
    assert features.tolist() == [[1, 2], [0, 0], [5, 6]] * pieces
    assert statuses.tolist() == ["ok", "bad_row", "ok"] * pieces


@pytest.mark.parametrize("large", [False, True], ids=["list", "large_list"])
@pytest.mark.parametrize("odd", [[], [1.0], [1.0, 2.0, 3.0], None], ids=repr)
def test_odd_length_vector_is_bad_row(odd, large, room, recwarn):
    kind = pa.large_list(pa.float32()) if large else pa.list_(pa.float32())
    vectors = pa.array([[1.0, 2.0], odd, [3.0, 4.0], [5.0, 6.0]], kind)
    features, statuses = read_features(Dataset(pa.table({"e": vectors})), "e")
    assert statuses.tolist() == ["ok", "bad_row", "ok", "ok"]
    assert features.tolist() == [[1, 2], [0, 0], [3, 4], [5, 6]]
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == bool(odd)
    assert all(
        f"1 of 4 vectors in 'e' have another length than 2, such as {len(odd)}" in text for text in said
    )


@pytest.mark.parametrize("vectors", [[[]] * 3, [None, [], None]], ids=["empty", "empty-and-null"])
def test_empty_vectors_alone_are_none(vectors, room):
    features, statuses = read_features(dataset_of(vectors, length=-1), "embedding")
    assert (features.shape, set(statuses)) == ((3, 0), {"bad_row"})


@pytest.mark.parametrize("vectors", [[[1.0], [1.0, 2.0]], [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]] * 5])
def test_lengths_without_a_majority_are_refused(vectors):
    with pytest.raises(ColumnError, match=r"vectors of one length in 'embedding', got lengths \[1, 2"):
        read_features(dataset_of(vectors, length=-1), "embedding")


@pytest.mark.parametrize(
    "values",
    [[1.0, float("nan")], [float("-inf"), 1.0], [None, 1.0], [1e300, 1.0]],
    ids=["nan", "infinite", "null", "too-large-for-float32"],
)
def test_infinite_vector_is_non_finite(values, room):
    vectors = pa.array([[1.0, 2.0], values], pa.list_(pa.float64(), 2))
    assert read_features(Dataset(pa.table({"e": vectors})), "e")[1].tolist() == ["ok", "non_finite"]


NO_VECTORS = {
    "texts": pa.array(["[1.0, 2.0]"]),
    "lists of texts": pa.array([["1.0"]]),
    "lists of lists": pa.array([[[1.0], [2.0]]]),
    "lists of nulls": pa.array([[None]]),
    "records": pa.array([{"vector": [1.0]}]),
    "numbers": pa.array([1.0]),
    "nulls": pa.nulls(1),
    "bytes": pa.array([b"abcd"]),
}


@pytest.mark.parametrize("values", NO_VECTORS.values(), ids=NO_VECTORS)
def test_columns_without_vectors_are_refused(values):
    with pytest.raises(ColumnError, match=r"expected vectors in 'e', one per row, got .*over="):
        read_features(Dataset(pa.table({"e": values})), "e")


NUMBER_TYPES = [
    pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64(), pa.decimal128(30, 2),
    pa.decimal256(40, 2),
]  # fmt: skip


@pytest.mark.parametrize("kind", NUMBER_TYPES, ids=str)
def test_numbers_of_any_type_are_read(kind):
    dataset = Dataset(pa.table({"q": pa.array([1, None, 3], pa.int64()).cast(kind)}))
    scores, statuses = read_scores(dataset, "q")
    assert (scores.tolist(), statuses.tolist()) == ([1, 0, 3], ["ok", "bad_row", "ok"])
    np.testing.assert_array_equal(read_values(dataset, "q").astype(np.float64), [1, np.nan, 3])


def test_large_integers_are_rounded():
    scores, _ = read_scores(Dataset(pa.table({"q": pa.array([2**63 + 1, 2**53 + 1], pa.uint64())})), "q")
    assert scores.tolist() == [2.0**63, 2.0**53]


@pytest.mark.parametrize("values", [["0.5"], [None], [[0.5]], [b"1"]], ids=repr)
def test_columns_without_numbers_are_refused(values):
    with pytest.raises(ColumnError, match=re.escape("dataset.cast_column('q', Value('float64'))")):
        read_scores(Dataset.from_dict({"q": values}), "q")


STATUS_TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("kind", STATUS_TYPES, ids=str)
def test_every_storage_gives_equal_statuses(kind):
    told = pa.array(["ok", "too_long", None, "image_remote"])
    statuses = told.dictionary_encode() if pa.types.is_dictionary(kind) else told.cast(kind)
    dataset = Dataset(pa.table({"q": [1.0, 2.0, 3.0, 4.0], "q_status": statuses}))
    assert read_scores(dataset, "q")[1].tolist() == ["ok", "too_long", "bad_row", "image_remote"]


def test_misspelled_column_names_the_nearest():
    with pytest.raises(ColumnError, match=r"'necesity'.*did you mean 'necessity'\?"):
        refuse_missing(["necesity"], ["messages", "necessity", "embedding"], "expected a column")
    with pytest.raises(ColumnError, match="score the pool first"):
        refuse_missing(["x"], ["messages"], "expected a column", "score the pool first")


GROWTH = """
import sys, threading, time
import numpy as np
import torch
from datasets import load_from_disk
from hf_vitselect import select_diverse
from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.rules.neighbors import products

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
    products._max_unit_bytes = lambda device: 0
products.native_type = lambda device: getattr(torch, wide)
peak = [0]
threading.Thread(target=watch, daemon=True).start()
# The libraries' own buffers come first.
small = np.random.default_rng(0).standard_normal((600, 512), dtype=np.float32)
NeighborPenalty()(np.ones(600), small, 50, np.random.default_rng(0), {})
if kind == "array":
    features = np.load(path + "/features.npy", mmap_mode="r")
    peak[0] = before = anonymous()
    NeighborPenalty()(np.arange(len(features), dtype=float), features, 100, np.random.default_rng(0), {})
else:
    dataset = load_from_disk(path + "/pool")
    select_diverse(dataset.select(range(500)), 50, rule=NeighborPenalty())
    peak[0] = before = anonymous()
    select_diverse(dataset, 100, rule=NeighborPenalty())
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["a", None], "1 nulls"), ([0.5, 1.5], "texts or whole numbers"), ([["a"], ["b"]], "texts or whole")],
    ids=["null", "float", "list"],
)
def test_ids_of_the_source(ids, message):
    with pytest.raises(ColumnError, match=message):
        refuse_no_ids(Dataset.from_dict({"id": ids}), "id")
    with pytest.raises(ColumnError, match="did you mean 'id'"):
        refuse_no_ids(Dataset.from_dict({"id": ids}), "ids")
