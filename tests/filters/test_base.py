"""The contract of every filter, and the rows that filters see."""

import doctest
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import pytest
from pools import assistant, user, with_vectors
from pools import pool as make_pool

import hf_vitselect.filters
from hf_vitselect.call_text import read_call, write_call
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.filters import (
    FILTERS,
    Contamination,
    Filter,
    LossTail,
    NearDuplicates,
    NothingToGoByError,
    PrefersOtherAnswer,
    Rows,
    UnusedImage,
)

EVERY_FILTER = [
    NearDuplicates(),
    NearDuplicates(cosine=0.8),
    UnusedImage(),
    UnusedImage(rows=False),
    UnusedImage(most=0.05, skew=0.01, smallest=5),
    LossTail(),
    LossTail(cut=0.4, smallest=5, spare=2),
    LossTail(min_skill=-10.0),
    PrefersOtherAnswer(log_odds=1.0),
    Contamination(evaluation="benchmark"),
    Contamination(evaluation="benchmark", over="embedding", threshold=0.9),
]
BY_NUMBERS = [each for each in EVERY_FILTER if isinstance(each, LossTail | UnusedImage | PrefersOtherAnswer)]
every_filter = pytest.mark.parametrize("each", EVERY_FILTER, ids=repr)

ROWS = 400
KINDS = ["what", "count", "facts"]


def make_rows(seed=0):
    """Rows of three kinds, the last without use of its images; a third repeats others; some lack an image."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, size=ROWS, p=[0.4, 0.4, 0.2])
    answers = rng.choice(["one", "two", "many"], size=ROWS, p=[0.6, 0.3, 0.1])
    features = rng.standard_normal((ROWS, 8)).astype(np.float32)
    source = np.where(np.arange(ROWS) < ROWS // 3, rng.integers(ROWS // 3, ROWS, size=ROWS), np.arange(ROWS))
    kinds, answers = kinds[source], answers[source]
    features = features[source] + 0.01 * rng.standard_normal((ROWS, 8)).astype(np.float32)
    features[source % 10 == 0] = 0
    losses = rng.gamma(2.0, size=ROWS)
    gains = rng.normal(np.where(kinds == 2, 0.0, 0.5), np.where(kinds == 2, 0.01, 0.5))
    gains[source % 10 == 0] = np.nan
    texts = [f"{KINDS[kind]} {row}" for kind, row in zip(kinds, source, strict=True)]
    return Rows.of(
        losses,
        columns={
            "necessity": losses,
            "image_gain": gains,
            "response_tokens": rng.integers(1, 9, size=ROWS),
            "other_answer_odds": np.maximum(0, rng.normal(size=ROWS)),
            "other_answer": rng.choice(np.array(["three", "four"], dtype=object), size=ROWS),
        },
        kinds=kinds,
        kind_names=KINDS,
        answers=answers.astype(object),
        image_features=features,
        pool=to_pool(texts, answers, features.any(axis=1)),
        left=rng.random(ROWS) < 0.9,
        picked=np.empty(0, dtype=np.int64),
        budget=ROWS // 10,
    )


def to_pool(texts, answers, has_image):
    """A pool of such rows; nothing decodes their images."""
    return make_pool(
        [
            ([user(text, int(image)), assistant(answer)], [text.encode()] * int(image))
            for text, answer, image in zip(texts, answers.tolist(), has_image, strict=True)
        ]
    )


def take(rows, order):
    """The same rows in another order."""
    old_to_new = np.argsort(order)
    return replace(
        rows,
        scores=rows.scores[order],
        columns={name: column[order] for name, column in rows.columns.items()},
        kinds=rows.kinds[order],
        answers=rows.answers[order],
        image_features=rows.image_features[order],
        pool=rows.pool.select(order),
        left=rows.left[order],
        picked=old_to_new[rows.picked],
    )


POOL = make_rows()


@pytest.fixture(autouse=True)
def benchmark(monkeypatch):
    """An evaluation set: texts of rows, which count for those without image, and images of others."""
    turns = [(messages, []) for messages in POOL.pool.select(range(150, 400))["messages"]]
    images = np.zeros((250, 8), dtype=np.float32)
    images[:40] = POOL.image_features[300:340]
    dataset = with_vectors(make_pool(turns), np.hstack([images, np.ones_like(images)]))
    monkeypatch.setattr("hf_vitselect.filters.contamination.load_pool", lambda *_, **__: dataset)


def test_contract_covers_every_exported_filter():
    exported = {getattr(hf_vitselect.filters, name) for name in hf_vitselect.filters.__all__}
    filters = {each for each in exported if issubclass(each, Filter)} - {Filter}
    assert {type(each) for each in EVERY_FILTER} == filters == set(FILTERS.values())


@every_filter
def test_drops_are_distinct_rows_left(each):
    drops = each.find(POOL)
    assert len(drops.rows)
    assert drops.rows.dtype == np.int64
    assert len(np.unique(drops.rows)) == len(drops.rows) == len(drops.reasons)
    assert POOL.left[drops.rows].all()
    assert len(drops.rows) < np.count_nonzero(POOL.left)


@every_filter
def test_reasons_are_short_lines(each):
    reasons = each.find(POOL).reasons
    assert all(isinstance(reason, str) and 5 < len(reason) < 120 and "\n" not in reason for reason in reasons)


@every_filter
def test_picked_rows_are_never_dropped(each):
    first = each.find(POOL).rows[:10]
    assert not np.isin(first, each.find(replace(POOL, picked=first)).rows).any()


@every_filter
def test_rows_are_not_changed(each):
    before = make_rows()
    each.find(POOL)
    np.testing.assert_array_equal(POOL.scores, before.scores)
    np.testing.assert_array_equal(POOL.left, before.left)
    np.testing.assert_array_equal(POOL.columns["image_gain"], before.columns["image_gain"])
    np.testing.assert_array_equal(POOL.image_features, before.image_features)


@every_filter
def test_order_of_rows_does_not_matter(each):
    order = np.random.default_rng(1).permutation(ROWS)
    drops, others = each.find(POOL), each.find(take(POOL, order))
    np.testing.assert_array_equal(order[others.rows], drops.rows)
    assert others.reasons == drops.reasons
    assert others.thresholds == drops.thresholds
    if drops.repeats is not None:
        np.testing.assert_array_equal(order[others.repeats], drops.repeats)


@every_filter
def test_repeated_rows_stay(each):
    drops = each.find(POOL)
    if drops.repeats is not None:
        assert len(drops.repeats) == len(drops.rows)
        assert not np.isin(drops.repeats, drops.rows).any()
        assert POOL.left[drops.repeats].all()


@every_filter
def test_thresholds_find_the_same_rows(each):
    drops = each.find(POOL)
    thresholds = json.loads(json.dumps(dict(drops.thresholds), allow_nan=False))
    assert thresholds == drops.thresholds
    more = each.find_more(POOL, thresholds)
    assert sorted(more.rows.tolist()) == sorted(drops.rows.tolist())
    assert len(more.reasons) == len(more.rows)


@every_filter
def test_descriptions_are_one_line(each):
    description = each.describe(json.loads(json.dumps(dict(each.find(POOL).thresholds))))
    assert bool(description) == isinstance(each, LossTail | UnusedImage)
    assert len(description) < 300
    assert "\n" not in description


@every_filter
def test_thresholds_apply_to_new_rows(each):
    new = make_rows(seed=9)
    drops = each.find_more(new, each.find(POOL).thresholds)
    assert 0 < len(drops.rows) < ROWS
    assert new.left[drops.rows].all()


@pytest.mark.parametrize("each", BY_NUMBERS, ids=repr)
def test_constant_numbers_decide_nothing(each):
    columns = {name: np.full(ROWS, 0.5) for name in POOL.columns}
    with pytest.raises(NothingToGoByError, match=r"expected .*, got"):
        each.find(replace(POOL, scores=np.full(ROWS, 0.5), columns=columns))


@pytest.mark.parametrize("each", BY_NUMBERS, ids=repr)
def test_texts_are_no_numbers(each):
    for name in {*each.uses_columns} - {"other_answer"}:
        rows = replace(POOL, columns=POOL.columns | {name: np.full(ROWS, "x", dtype=object)})
        with pytest.raises(ColumnError, match=f"expected numbers in '{name}', got str 'x'; give another"):
            each.find(rows)
        unknown = replace(POOL, columns=POOL.columns | {name: np.full(ROWS, None, dtype=object)})
        assert np.isnan(unknown.numbers(name)).all()


@every_filter
def test_no_rows_left_drops_nothing(each):
    drops = each.find(replace(POOL, left=np.zeros(ROWS, dtype=np.bool_)))
    assert len(drops.rows) == len(drops.reasons) == 0


@every_filter
def test_filters_are_frozen_and_json(each):
    assert type(each)(**json.loads(json.dumps(asdict(each)))) == each
    with pytest.raises(FrozenInstanceError):
        setattr(each, fields(each)[0].name, 1)


@every_filter
def test_filters_are_read_from_text(each):
    assert read_call(write_call(each), FILTERS) == each


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_docstring_examples_hold(name):
    result = doctest.testmod(sys.modules[FILTERS[name].__module__], extraglobs={"np": np})
    assert (result.failed, result.attempted > 0) == (0, True)


def test_importing_filters_loads_no_torch():
    code = "import sys, hf_vitselect.filters; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_of_scores_alone():
    rows = Rows.of(np.array([1.0, 2.0]), picked=np.array([1]))
    assert (len(rows), rows.droppable.tolist(), rows.budget) == (2, [True, False], 1)
    assert [type(row) for row in rows.conversations()] == [RowError, RowError]
