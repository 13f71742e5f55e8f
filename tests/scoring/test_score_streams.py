"""score() on a stream: the pool's numbers and bytes, written."""

import json

import numpy as np
import pytest
from datasets import Dataset, Features, IterableDataset, List, Value, load_dataset
from pools import assistant, encode, mixed_pool, pool, raw_images, stripes, user
from tiny_embedders import save_sentence_transformer

from hf_vitselect import NecessityScorer, TextEmbedding, score, select_diverse
from hf_vitselect.data.provenance import recorded_scorers
from hf_vitselect.errors import ColumnError, LayoutError, StaleRunError
from hf_vitselect.rules import NeighborPenalty

TALK_OF_TEXT = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
TALK = [user("what?", 1), assistant("red")]
JPEGS = [encode(stripes(20, 12, i), "JPEG", quality=70) for i in range(5)]
BROKEN = pool([(TALK, [JPEGS[0]]), (TALK, [b"broken"]), (TALK, ["/nowhere.png"]), (TALK, [JPEGS[1]])])
POOL = mixed_pool(12).add_column("kind", ["a", None, "b"] * 4)


@pytest.fixture
def scorer(tiny):
    return NecessityScorer(tiny("llava").folder)


def from_parquet(dataset, folder):
    dataset.to_parquet(folder / "pool.parquet")
    return load_dataset("parquet", data_files=str(folder / "pool.parquet"), split="train", streaming=True)


STREAMS = {
    "of a dataset": lambda it, folder: it.to_iterable_dataset(num_shards=2),
    "of files": from_parquet,
    "of a generator": lambda it, folder: IterableDataset.from_generator(
        it.with_format("arrow").to_list, features=it.features
    ),
    "with a format": lambda it, folder: it.to_iterable_dataset().with_format("torch"),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_stream_equals_its_pool(scorer, tmp_path, stream):
    written = score(stream(POOL, tmp_path), scorer, tmp_path / "run", shard_size=5)
    whole = score(POOL, scorer)
    assert isinstance(written, Dataset)
    assert written.features == whole.features
    np.testing.assert_allclose(written["necessity"][:], whole["necessity"][:], atol=1e-5, rtol=0)
    for column in ("messages", "kind", "necessity_status", "response_tokens"):
        assert written[column][:] == whole[column][:]
    assert raw_images(written) == raw_images(POOL)
    assert recorded_scorers(written) == recorded_scorers(whole)


def test_stream_images_stay_undecoded(scorer, tmp_path):
    written = score(BROKEN.to_iterable_dataset(), scorer, tmp_path, shard_size=3)
    assert written["necessity_status"][:] == ["ok", "image_error", "image_missing", "ok"]
    assert raw_images(written) == raw_images(BROKEN)


def test_undecoded_stream_maps_undecoded_images(scorer, tmp_path):
    stream = BROKEN.to_iterable_dataset().decode(False).filter(lambda row: True)
    written = score(stream, scorer, tmp_path, shard_size=3)
    assert raw_images(written) == raw_images(BROKEN)


def test_scored_stream_can_be_selected(scorer, tmp_path):
    scorers = [scorer, TextEmbedding(save_sentence_transformer(tmp_path / "text"))]
    written = score(POOL.to_iterable_dataset(), scorers, tmp_path / "run", shard_size=5)
    expected = select_diverse(score(POOL, scorers), 4, rule=NeighborPenalty())
    selection = select_diverse(written, 4, rule=NeighborPenalty())
    assert selection.indices.tolist() == expected.indices.tolist()
    assert selection.recipe.fingerprint == expected.recipe.fingerprint
    assert [recipe.column for recipe in selection.recipe.scorers] == ["necessity", "embedding"]


CHANGES = {
    "another order": POOL.select(range(11, -1, -1)),
    "another cell": mixed_pool(12).add_column("kind", ["a", None, "b"] * 3 + ["a", None, "z"]),
    "fewer rows": POOL.select(range(10)),
    "another column": POOL.rename_column("kind", "sort"),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_folder_of_another_stream_is_refused(scorer, tmp_path, changed):
    score(POOL.to_iterable_dataset(), scorer, tmp_path, shard_size=5)
    with pytest.raises(StaleRunError, match="give another output folder"):
        score(changed.to_iterable_dataset(), scorer, tmp_path, shard_size=5)


def test_stream_needs_a_folder(scorer):
    with pytest.raises(ValueError, match="output_dir="):
        score(POOL.to_iterable_dataset(), scorer)


def test_stream_must_know_its_features(scorer, tmp_path):
    with pytest.raises(LayoutError, match="features="):
        score(POOL.to_iterable_dataset().map(lambda row: {"n": 1}), scorer, tmp_path)


def test_empty_stream_is_an_error(scorer, tmp_path):
    with pytest.raises(LayoutError, match="empty"):
        score(POOL.to_iterable_dataset().take(0), scorer, tmp_path)


def test_existing_column_is_an_error(scorer, tmp_path):
    taken = POOL.add_column("response_tokens", [0] * 12).to_iterable_dataset()
    with pytest.raises(ColumnError, match="response_tokens"):
        score(taken, scorer, tmp_path)


PLAIN = {"role": Value("string"), "content": Value("string")}
SURROGATE = [{"role": "user", "content": "what \ud800?"}, {"role": "assistant", "content": "red"}]


@pytest.mark.parametrize("shard_size", [1, 3])
def test_unstorable_row_is_bad_row(scorer, tmp_path, shard_size):
    rows = [{"messages": turns, "n": i} for i, turns in enumerate((TALK_OF_TEXT, SURROGATE, TALK_OF_TEXT))]
    features = Features({"messages": List(PLAIN), "n": Value("int64")})
    stream = IterableDataset.from_generator(lambda: iter(rows), features=features)
    written = score(stream, scorer, tmp_path, shard_size=shard_size)
    assert written["necessity_status"][:] == ["ok", "bad_row", "ok"]
    assert "surrogates not allowed" in written["necessity_reason"][1]
    assert written["messages"][:] == [TALK_OF_TEXT, None, TALK_OF_TEXT]
    assert written["n"][:] == [0, 1, 2]
    assert written.column_names == ["messages", "n", *scorer.features]


def test_json_stream_infers_its_features(scorer, tmp_path):
    parts = [{"role": "user", "content": [{"type": "text", "text": "what?"}]}, TALK_OF_TEXT[1]]
    (tmp_path / "rows.json").write_text(json.dumps([{"messages": parts}] * 2))
    stream = load_dataset("json", data_files=str(tmp_path / "rows.json"), split="train", streaming=True)
    assert stream.features is None
    whole = score(Dataset.from_list([{"messages": TALK_OF_TEXT}]), scorer)
    written = score(stream, scorer, tmp_path / "run")
    np.testing.assert_allclose(written["necessity"][:], whole["necessity"][:] * 2, atol=1e-5, rtol=0)
