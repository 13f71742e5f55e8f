"""ScoreNetScorer gives minus the net's output for rows whose columns can be read, however it is called."""

import numpy as np
import pytest
import torch
from datasets import List, Value, concatenate_datasets
from pools import mixed_pool

from hf_vitselect import ScoreNetScorer, score, select_diverse
from hf_vitselect.errors import ColumnError, StaleRunError
from hf_vitselect.models.score_net import ScoreNet
from hf_vitselect.rules import NeighborPenalty


def scored(rows=8):
    rng = np.random.default_rng(0)
    pool = mixed_pool(rows)
    clip = [float(value) for value in rng.uniform(size=rows)]
    clip[2] = None
    status = ["ok"] * rows
    status[2], status[3] = "image_missing", "image_error"
    pool = pool.add_column("clip_score", clip, feature=Value("float32"))
    pool = pool.add_column("clip_score_status", status)
    pool = pool.add_column("judge", rng.integers(0, 11, rows).tolist(), feature=Value("float32"))
    vectors = rng.normal(size=(rows, 4)).tolist()
    vectors[5] = None
    return pool.add_column("embedding", vectors, feature=List(Value("float32"), length=4))


POOL = scored()


@pytest.fixture(params=[["judge", "clip_score"], "embedding"], ids=["scores", "embedding"])
def net(request):
    return ScoreNet.fit(POOL, request.param, seed=1)


@pytest.fixture
def folder(net, tmp_path):
    net.save_pretrained(tmp_path / "net")
    return str(tmp_path / "net")


def columns(rows):
    """Difficulties, nulls as NaN, and statuses."""
    difficulty = [np.nan if row["score_net"] is None else row["score_net"] for row in rows]
    return np.array(difficulty), [row["score_net_status"] for row in rows]


def assert_same(rows, expected):
    difficulty, statuses = columns(rows)
    np.testing.assert_allclose(difficulty, expected[0], atol=1e-6)
    assert statuses == expected[1]


def test_difficulty_is_minus_the_output(net, folder):
    difficulty, statuses = columns(POOL.map(ScoreNetScorer(folder), batched=True))
    inputs, expected = net.read(POOL)
    assert statuses == expected.tolist()
    assert statuses.count("ok") == len(POOL) - 1
    for row, value, status in zip(inputs, difficulty, statuses, strict=True):
        assert np.isnan(value) == (status != "ok")
        if status == "ok":
            assert value == pytest.approx(-net(torch.tensor(row[None])).item(), abs=1e-6)


def test_the_same_however_it_is_called(folder, tmp_path):
    scorer = ScoreNetScorer(folder)
    expected = columns(POOL.map(scorer, batched=True))
    assert_same(POOL.map(ScoreNetScorer(folder)), expected)
    assert_same(POOL.map(ScoreNetScorer(folder), batched=True, batch_size=3, num_proc=2), expected)
    streamed = POOL.remove_columns("images").to_iterable_dataset()
    for batched in (False, True):
        assert_same(streamed.map(ScoreNetScorer(folder), batched=batched), expected)
    for _ in range(2):
        assert_same(score(POOL, scorer, tmp_path / "shards", shard_size=3), expected)


def test_shards_of_other_inputs_are_refused(folder, net, tmp_path):
    score(POOL, ScoreNetScorer(folder), tmp_path / "shards")
    name = net.columns[0]
    kind = POOL.features[name]
    others = [None, *POOL[name][1:]]
    other = POOL.remove_columns(name).add_column(name, others, feature=kind)
    with pytest.raises(StaleRunError, match=f"reads.{name}"):
        score(other, ScoreNetScorer(folder), tmp_path / "shards")


def test_a_missing_column_is_named(folder, net):
    with pytest.raises(ColumnError, match=net.columns[0]):
        POOL.remove_columns(net.columns[0]).map(ScoreNetScorer(folder), batched=True)


def test_selections_record_the_net(folder):
    pool = score(POOL, ScoreNetScorer(folder))
    selection = select_diverse(pool, 3, by="score_net", rule=NeighborPenalty(neighbors=2, rescale="minmax"))
    (recipe,) = selection.recipe.scorers[:1]
    assert recipe.scorer == "ScoreNetScorer"
    assert recipe.identity.digest
    assert selection.recipe.rule_call.keywords["rescale"] == "minmax"


def test_column_order_does_not_matter(folder):
    turned = concatenate_datasets(
        [POOL.select_columns([name]) for name in reversed(POOL.column_names)], axis=1
    )
    scorer = ScoreNetScorer(folder)
    assert_same(turned.map(scorer, batched=True), columns(POOL.map(scorer, batched=True)))
