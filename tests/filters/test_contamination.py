"""Rows of a pool that an evaluation set contains too."""

import numpy as np
import pytest
from datasets import List, Value
from pools import assistant, png, pool, user

from hf_vitselect import find_contamination, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import ColumnError
from hf_vitselect.rules import Random


def with_vectors(dataset, vectors):
    return dataset.add_column(
        "embedding", vectors.tolist(), feature=List(Value("float32"), length=vectors.shape[1])
    )


POOL = pool(
    [
        ([user("what is this?", 1), assistant("a dog")], [png(1)]),
        ([user("what is that?", 1), assistant("a cat")], [png(2)]),
        ([user("How  many legs has a DOG?"), assistant("four")], []),
        ([user("how many legs has a bird?"), assistant("two")], []),
        ([user("what is this?", 1), assistant("a cow")], [b"broken"]),
    ]
)
EVALUATION = pool(
    [
        ([user("another question", 1), assistant("a dog")], [png(1)]),
        ([user("how many legs has a dog?"), assistant("4")], []),
        ([user("what is this?", 1), assistant("a bull")], [png(9)]),
    ]
)


def test_finds_equal_images_and_questions():
    ids = row_ids(POOL)
    result = find_contamination(POOL, EVALUATION)
    assert result.image == (ids[0],)
    assert result.text == (ids[2],)  # a question about an image identifies nothing by itself
    assert result.near == ()
    assert result.row_ids == [ids[0], ids[2]]


def test_finds_near_rows_by_embedding():
    vectors = np.eye(5, 4, dtype=np.float32)
    near = with_vectors(EVALUATION, np.array([[0, 0.1, 0, 2], [0, 5, 1, 0], [0, 0, 0, 0]], dtype=np.float32))
    result = find_contamination(with_vectors(POOL, vectors), near, over="embedding", threshold=0.97)
    assert result.near == tuple(np.array(row_ids(POOL))[[1, 3]])
    with pytest.raises(ColumnError, match="'embedding' in the evaluation set"):
        find_contamination(with_vectors(POOL, vectors), EVALUATION, over="embedding")
    with pytest.raises(ColumnError, match="got 4 in the pool and 2"):
        find_contamination(
            with_vectors(POOL, vectors), with_vectors(EVALUATION, vectors[:3, :2]), over="embedding"
        )


def test_contaminated_rows_are_never_picked():
    result = find_contamination(POOL, EVALUATION)
    selection = select_diverse(POOL, 3, rule=Random(), exclude=result.row_ids)
    assert sorted(selection.indices) == [1, 3, 4]
    assert selection.recipe.dropped == {"excluded": 2}
