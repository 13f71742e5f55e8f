"""Rows of a pool that an evaluation set contains too."""

import numpy as np
import pytest
from pools import assistant, png, pool, user, with_vectors

from hf_vitselect import find_contamination, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import ColumnError, PoolError
from hf_vitselect.filters import Contamination, Rows
from hf_vitselect.report.recipe_facts import published_recipe
from hf_vitselect.rules import Random
from hf_vitselect.selection.method import Method

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
        ([user("What is that?", 1), assistant("a cat")], [png(8)]),
    ]
)


def test_finds_equal_images_and_questions():
    ids = row_ids(POOL)
    result = find_contamination(POOL, EVALUATION)
    assert result.image == (ids[0],)
    assert result.text == (ids[2],)  # a text about an image identifies nothing by itself
    assert result.near == ()
    assert result.row_ids == [ids[0], ids[2]]


def test_finds_near_rows_by_embedding():
    vectors = np.eye(5, 4, dtype=np.float32)
    vectors_of = np.array([[0, 0.1, 0, 2], [0, 5, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
    near = with_vectors(EVALUATION, vectors_of)
    result = find_contamination(with_vectors(POOL, vectors), near, over="embedding", threshold=0.97)
    assert result.near == tuple(np.array(row_ids(POOL))[[1, 3]])
    with pytest.raises(ColumnError, match="'embedding' in the evaluation set"):
        find_contamination(with_vectors(POOL, vectors), EVALUATION, over="embedding")
    with pytest.raises(ColumnError, match="got 4 in the pool and 2"):
        find_contamination(
            with_vectors(POOL, vectors), with_vectors(EVALUATION, vectors[:4, :2]), over="embedding"
        )


def test_contaminated_rows_are_never_picked():
    result = find_contamination(POOL, EVALUATION)
    selection = select_diverse(POOL, 3, rule=Random(), exclude=result.row_ids)
    assert sorted(selection.indices) == [1, 3, 4]
    assert selection.recipe.dropped == {"excluded": 2}


def dropped_by(each, dataset, features=None):
    rows = Rows.of(np.zeros(len(dataset)), pool=dataset, image_features=features, budget=1)
    drops = each.find(rows)
    return dict(zip(drops.rows.tolist(), drops.reasons, strict=True))


@pytest.fixture
def saved(tmp_path):
    """The evaluation set on disk, with the embeddings of its images."""
    images = np.array([[0, 1, 0, 0], [0, 0, 0, 0], [3, 4, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
    with_vectors(EVALUATION, np.hstack([images, np.ones_like(images)])).save_to_disk(tmp_path / "private")
    return str(tmp_path / "private")


def test_filter_drops_exact_matches(saved):
    found = dropped_by(Contamination(evaluation=saved, split="train"), POOL)
    assert found == {0: "its image is in the evaluation set", 2: "its text is in the evaluation set"}


def test_filter_drops_near_images(saved):
    features = np.array([[1, 0, 0, 0], [6, 8, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], np.float32)
    each = Contamination(evaluation=saved, split="train", over="embedding", threshold=0.9)
    found = dropped_by(each, POOL, features)
    assert list(found) == [0, 2, 1]
    assert found[1] == "the cosine of its image to one of the evaluation set is 0.995"
    with pytest.raises(ColumnError, match="expected embeddings by ClipEmbedding in the pool, got none"):
        dropped_by(each, POOL)
    with pytest.raises(ColumnError, match=r"expected vectors of 6 numbers .* got 8"):
        dropped_by(each, POOL, features[:, :3])
    with pytest.raises(ColumnError, match="evaluation set the column 'clip'"):
        dropped_by(Contamination(evaluation=saved, split="train", over="clip"), POOL, features)


def test_missing_evaluation_sets_are_refused(tmp_path):
    with pytest.raises(PoolError, match="expected a file or a folder"):
        dropped_by(Contamination(evaluation=str(tmp_path / "none.json")), POOL)


@pytest.mark.parametrize("arguments", [{"evaluation": ""}, {"evaluation": "x", "threshold": 1.5}], ids=str)
def test_invalid_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        Contamination(**arguments)


def test_private_path_is_not_published(saved):
    method = Method(filters=(Contamination(evaluation=saved, split="train"),), rule=Random())
    selection = select_diverse(POOL, 2, method=method)
    assert sorted(selection.indices) != [0, 2]
    published = str(published_recipe(selection).to_json())
    assert saved not in published
    assert 'evaluation="private"' in published
    assert saved not in str(selection.scores["dropped_reason"][:])
