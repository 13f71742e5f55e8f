"""score(): the numbers of map, kept shard by shard."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, Features, Value, load_from_disk
from pools import assistant, encode, mixed_pool, pool, raw_images, stripes, user
from tiny_embedders import save_sentence_transformer

from hf_vitselect import NecessityScorer, TextEmbedding, score
from hf_vitselect.data.provenance import recorded_scorers
from hf_vitselect.errors import ColumnError, LayoutError, StaleRunError

POOL = mixed_pool(12)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return save_sentence_transformer(tmp_path_factory.mktemp("text"))


@pytest.fixture
def scorers(tiny, sentences):
    return [NecessityScorer(tiny("llava").folder), TextEmbedding(sentences)]


@pytest.fixture
def counted(monkeypatch):
    """The number of rows of every call to NecessityScorer."""
    calls = []
    score_rows = NecessityScorer.score_rows
    monkeypatch.setattr(
        NecessityScorer, "score_rows", lambda self, rows: calls.append(len(rows)) or score_rows(self, rows)
    )
    return calls


def columns(dataset, scorers):
    return {name: dataset[name][:] for scorer in scorers for name in scorer.features}


def assert_scores(scored, scorers):
    """The columns of map, to 1e-5."""
    mapped = POOL
    for scorer in scorers:
        mapped = mapped.map(scorer, batched=True)
    assert scored.features == mapped.features
    for name, cells in columns(mapped, scorers).items():
        if scored.features[name] == Value("string"):
            assert scored[name][:] == cells
        else:
            np.testing.assert_allclose(scored[name][:], cells, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shard_size", [5, 12, 500])
@pytest.mark.parametrize("folder", [None, "run"], ids=["in memory", "on disk"])
def test_score_equals_map(scorers, tmp_path, folder, shard_size):
    output_dir = folder and tmp_path / folder
    scored = score(POOL, scorers, output_dir, shard_size=shard_size)
    assert_scores(scored, scorers)
    assert scored.column_names == [
        *POOL.column_names,
        *(name for scorer in scorers for name in scorer.features),
    ]


@pytest.mark.parametrize("folder", [None, "run"], ids=["in memory", "on disk"])
def test_image_bytes_stay_unchanged(scorers, tmp_path, folder):
    talk = [user("what?", 1), assistant("red")]
    images = pool([(talk, [encode(stripes(20, 12, i), "JPEG", quality=70)]) for i in range(5)])
    scored = score(images, scorers, folder and tmp_path / folder, shard_size=2)
    assert raw_images(scored) == raw_images(images)
    assert scored["messages"][:] == images["messages"][:]


@pytest.mark.parametrize("folder", [None, "run"], ids=["in memory", "on disk"])
def test_format_of_pool_is_ignored(scorers, tmp_path, folder):
    scored = score(POOL.with_format("torch"), scorers, folder and tmp_path / folder, shard_size=5)
    assert_scores(scored, scorers)


def test_one_scorer_needs_no_list(scorers, tmp_path):
    assert_scores(score(POOL, scorers[0], tmp_path, shard_size=7), scorers[:1])


@pytest.mark.parametrize(
    "shuffle", [lambda it: it.shuffle(seed=1), lambda it: it.select([3, 0, 7])], ids=["shuffled", "selected"]
)
def test_index_mapping_keeps_rows_aligned(scorers, tmp_path, shuffle):
    shuffled = shuffle(POOL)
    scored = score(shuffled, scorers, tmp_path, shard_size=5)
    mapped = shuffled.map(scorers[0], batched=True)
    assert scored["messages"][:] == shuffled["messages"][:]
    assert raw_images(scored) == raw_images(shuffled)
    np.testing.assert_allclose(scored["necessity"][:], mapped["necessity"][:], atol=1e-5)


def test_crash_loses_only_its_shard(tiny, counted, tmp_path, monkeypatch):
    scorer = NecessityScorer(tiny("llava").folder)
    counting = NecessityScorer.score_rows

    def crash(self, rows):
        if len(counted) == 2:
            raise RuntimeError("out of something")
        return counting(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(NecessityScorer, "score_rows", crash)
        with pytest.raises(RuntimeError, match="out of something"):
            score(POOL, scorer, tmp_path, shard_size=4)
    assert counted == [4, 4]
    scored = score(POOL, scorer, tmp_path, shard_size=4)
    assert counted == [4, 4, 4]
    assert_scores(scored, [scorer])


def test_finished_run_scores_nothing_again(tiny, counted, tmp_path):
    first = score(POOL, NecessityScorer(tiny("llava").folder), tmp_path, shard_size=5)
    second = score(POOL, NecessityScorer(tiny("llava").folder), tmp_path, shard_size=5)
    assert counted == [5, 5, 2]
    assert second["necessity"][:] == first["necessity"][:]


def test_another_batch_size_resumes(tiny, counted, tmp_path):
    score(POOL, NecessityScorer(tiny("llava").folder, batch_size=8), tmp_path, shard_size=5)
    score(POOL, NecessityScorer(tiny("llava").folder, batch_size=1), tmp_path, shard_size=5)
    assert counted == [5, 5, 2]


CHANGES = {
    "a parameter": (
        lambda it: {"max_length": 99},
        {},
        POOL,
        r"\(scorers\[0\]\.max_length: None then, 99 now\)",
    ),
    "another model": (
        lambda it: {"model": it("idefics3").folder},
        {},
        POOL,
        r"scorers\[0\]\.identity\.digest: .* scorers\[0\]\.model: ",
    ),
    "another pool": (lambda it: {}, {}, POOL.select(range(11)), r"pool.*rows: 12 then, 11 now"),
    "another order": (lambda it: {}, {}, POOL.select(range(11, -1, -1)), "pool"),
    "another shard size": (lambda it: {}, {"shard_size": 6}, POOL, "shard_size: 5 then, 6 now"),
}


@pytest.mark.parametrize(("configure", "options", "dataset", "named"), CHANGES.values(), ids=CHANGES)
def test_folder_of_other_settings_is_refused(tiny, tmp_path, counted, configure, options, dataset, named):
    score(POOL, NecessityScorer(tiny("llava").folder), tmp_path, shard_size=5)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}
    changed = {"model": tiny("llava").folder, **configure(tiny)}
    with pytest.raises(StaleRunError, match=named) as caught:
        score(dataset, NecessityScorer(**changed), tmp_path, **{"shard_size": 5, **options})
    assert "another output folder" in str(caught.value)
    assert counted == [5, 5, 2]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_half_written_shard_is_unfinished(tiny, counted, tmp_path):
    scorer = NecessityScorer(tiny("llava").folder)
    score(POOL, scorer, tmp_path, shard_size=5)
    shard = tmp_path / "shard-00001.parquet"
    shard.rename(tmp_path / f".{shard.name}.123")  # what a crash in the middle of writing leaves
    score(POOL, scorer, tmp_path, shard_size=5)
    assert counted == [5, 5, 2, 5]
    assert pq.read_table(shard).num_rows == 5
    assert not list(tmp_path.glob(".shard*"))


def test_duplicate_column_is_refused_first(tiny, counted, tmp_path):
    twice = [NecessityScorer(tiny("llava").folder), NecessityScorer(tiny("llava").folder)]
    for output_dir in (None, tmp_path / "run"):
        with pytest.raises(ColumnError, match=r"necessity.*column="):
            score(POOL, twice, output_dir)
    assert counted == []
    assert not (tmp_path / "run").exists()


def test_existing_column_is_an_error(scorers):
    with pytest.raises(ColumnError, match=r"response_tokens.*remove_columns"):
        score(POOL.add_column("response_tokens", [0] * 12), scorers)


@pytest.mark.parametrize("bad", [DatasetDict({"train": POOL}), [1]], ids=type)
def test_only_one_split_is_accepted(scorers, bad, tmp_path):
    with pytest.raises(LayoutError, match=rf"datasets.Dataset.*{type(bad).__name__}"):
        score(bad, scorers, tmp_path)


def test_unknown_columns_are_an_error(scorers, tmp_path):
    with pytest.raises(LayoutError, match="question"):
        score(Dataset.from_dict({"question": ["a"]}), scorers, tmp_path)


def test_empty_pool_is_an_error(scorers):
    with pytest.raises(LayoutError, match="empty"):
        score(POOL.select([]), scorers)


@pytest.mark.parametrize("folder", [None, "run"], ids=["in memory", "on disk"])
@pytest.mark.parametrize("shard_size", [0, -1])
def test_shard_size_must_be_positive(scorers, tmp_path, folder, shard_size):
    with pytest.raises(ValueError, match=f"expected shard_size from 1, got {shard_size}"):
        score(POOL, scorers, folder and tmp_path / folder, shard_size=shard_size)
    assert not list(tmp_path.iterdir())


def test_bad_rows_keep_their_status(tiny, tmp_path):
    rows = [
        ([user("a")], []),
        ([user("a", 1), assistant("b")], [b"broken"]),
        ([user("a"), assistant("b")], []),
    ]
    with pytest.warns(UserWarning, match="have no necessity"):
        scored = score(pool(rows), NecessityScorer(tiny("llava").folder), tmp_path, shard_size=1)
    assert scored["necessity_status"][:] == ["no_response", "image_error", "ok"]
    assert [cell is None for cell in scored["necessity"]] == [True, True, False]


@pytest.mark.parametrize("folder", [None, "run"], ids=["in memory", "on disk"])
def test_pool_remembers_its_scorers(scorers, tmp_path, folder):
    once = score(POOL, scorers[0], folder and tmp_path / folder)
    both = score(once, scorers[1], folder and tmp_path / "second")
    both.save_to_disk(tmp_path / "saved")
    for dataset in (both, load_from_disk(tmp_path / "saved"), both.select([1, 2])):
        assert recorded_scorers(dataset) == [scorer.recipe() for scorer in scorers]
    assert recorded_scorers(once) == [scorers[0].recipe()]
    assert recorded_scorers(POOL) == []
    json.dumps(recorded_scorers(both))


def test_description_of_pool_is_kept(scorers):
    described = POOL.select(range(4))
    described.info.description = "Images of circles.\nMany."
    scored = score(score(described, scorers[0]), scorers[1])
    assert scored.info.description.startswith("Images of circles.\nMany.")
    assert len(recorded_scorers(scored)) == 2
    assert described.info.description == "Images of circles.\nMany."


def test_joined_features_match_the_scorers(scorers, tmp_path):
    scored = score(POOL, scorers, tmp_path, shard_size=5)
    expected = Features({**POOL.features, **scorers[0].features, **scorers[1].features})
    assert scored.features == expected
    assert scored.with_format("arrow")[:].schema.field("embedding").type.list_size == 24
