"""Rows to explore: what is known of each, in one table."""

import io

import numpy as np
import pytest
from datasets import Dataset, List, Value
from PIL import Image
from pools import assistant, png, pool, user, with_vectors

from hf_vitselect.errors import LayoutError
from hf_vitselect.explorer.rows import explored_rows
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.report.outcomes import outcomes
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse

ROWS = 40


@pytest.fixture(scope="module")
def scored() -> Dataset:
    """Every fifth row repeats the one before it; row 7 has no image, row 9 no vector and no score."""
    copies = [i - (i % 5 == 4) for i in range(ROWS)]
    images = [[] if i == 7 else [png(copy)] for i, copy in enumerate(copies)]
    turns = [
        [user(f"what is {copy}?", len(image)), assistant("red")]
        for copy, image in zip(copies, images, strict=True)
    ]
    rows = pool(list(zip(turns, images, strict=True)))
    scores = [None if i == 9 else float(i) for i in range(ROWS)]
    rows = rows.add_column("necessity", scores, feature=Value("float32"))
    rows = rows.add_column("necessity_status", ["bad_row" if i == 9 else "ok" for i in range(ROWS)])
    rows = rows.add_column("necessity_reason", ["too odd" if i == 9 else None for i in range(ROWS)])
    rows = rows.add_column("kind", [f"topic {i % 3}" for i in range(ROWS)])
    rows = rows.add_column("file", [f"/home/jane/{i}.json" for i in range(ROWS)])
    vectors = np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float32)
    lists = [None if i == 9 else vector for i, vector in enumerate(vectors.tolist())]
    return rows.add_column("embedding", lists, feature=List(Value("float32")))


def method() -> Method:
    return Method(rule=TopScore(), filters=(NearDuplicates(),), kinds="kind", by="necessity", over="clip")


def test_every_row_shows_its_outcome(scored: Dataset) -> None:
    selection = select_diverse(scored, 10, method=method())
    explored = explored_rows(scored, selection, projection="pca")
    rows = explored.table.to_pylist()
    assert [row["row"] for row in rows] == list(range(ROWS))
    for outcome in outcomes(selection):
        assert {rows[i]["outcome"] for i in outcome.rows} == {outcome.name}
    assert [rows[i]["pick"] for i in selection.indices] == list(range(1, 11))
    dropped = [row for row in rows if row["outcome"] == "NearDuplicates"]
    assert len(dropped) > 3
    for row in dropped:
        assert row["reason"] == "the same text, images whose hashes differ in 0 of 384 bits"
        assert row["question"] == rows[row["repeats_row"]]["question"]
    assert (rows[9]["outcome"], rows[9]["reason"]) == ("bad_row", "too odd")
    assert [row["kind"] for row in rows] == scored["kind"][:]
    assert {"outcome", "kind", "necessity_status"} <= {*explored.groups}
    assert explored.scores == ["necessity"]


def test_row_has_image_text_and_place(scored: Dataset) -> None:
    explored = explored_rows(scored, projection="pca")
    rows = explored.table.to_pylist()
    assert Image.open(io.BytesIO(rows[0]["image"]["bytes"])).format == "JPEG"
    assert rows[7]["image"] is None
    assert rows[3]["conversation"] == "USER: what is 3? ASSISTANT: red"
    assert "file" not in rows[0]  # it names a folder
    assert (rows[9]["x"], rows[9]["y"], rows[9]["neighbors"]["ids"]) == (None, None, [])
    assert all(np.isfinite([row["x"], row["y"]]).all() for i, row in enumerate(rows) if i != 9)
    vectors = np.array([vector or [0.0] * 6 for vector in scored["embedding"][:]])
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = units @ units[20]
    cosines[[9, 20]] = -2
    assert rows[20]["neighbors"]["ids"][0] == int(cosines.argmax())


def test_large_pool_is_sampled_alike(scored: Dataset) -> None:
    first, again = (explored_rows(scored, most=12, projection="pca").table for _ in range(2))
    assert first.equals(again)
    assert first.num_rows == 12
    assert first["question"].to_pylist() == [
        f"what is {row - (row % 5 == 4)}?" for row in first["row"].to_pylist()
    ]


def test_selection_alone_shows_its_picks(scored: Dataset) -> None:
    selection = select_diverse(scored, 10, method=method())
    table = explored_rows(None, selection, projection="pca").table
    assert table["row"].to_pylist() == sorted(selection.indices.tolist())
    questions = scored["messages"][:]
    assert table["question"].to_pylist() == [
        questions[row][0]["content"][-1]["text"] for row in table["row"].to_pylist()
    ]
    assert set(table["outcome"].to_pylist()) == {"picked"}


def test_pool_without_embeddings_has_no_map(scored: Dataset) -> None:
    explored = explored_rows(scored.remove_columns("embedding"))
    assert not explored.has_map
    assert "x" not in explored.table.column_names


def test_column_of_our_name_is_renamed(scored: Dataset) -> None:
    named = scored.rename_column("necessity_reason", "outcome").rename_column("file", "x")
    table = explored_rows(
        with_vectors(named.remove_columns(["embedding", "x"]), np.eye(ROWS)), projection="pca"
    ).table
    assert "outcome" in table.column_names  # without a selection the name is free
    selection = select_diverse(named, 10, rule=TopScore(), by="necessity")
    assert "outcome (pool)" in explored_rows(named, selection, projection="pca").table.column_names


def test_other_pool_is_refused(scored: Dataset) -> None:
    selection = select_diverse(scored, 10, method=method())
    with pytest.raises(LayoutError, match="got another row at 0"):
        explored_rows(scored.select([1, 0, *range(2, ROWS)]), selection, projection="pca")
