"""What holds for every scorer: a new one is added to `SCORERS` and has to pass all of this."""

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, Features, Value, load_from_disk
from datasets.fingerprint import Hasher
from judge_server import JudgeServer
from pools import assistant, encode, mixed_pool, png, pool, raw_images, stripes, user
from tiny_embedders import save_clip, save_sentence_transformer

import hf_vitselect.scorers
from hf_vitselect import (
    Blend,
    CapabilityScorer,
    ClipEmbedding,
    ClipScore,
    EL2NScorer,
    GraNdScorer,
    ImageGain,
    JudgeScore,
    MIWVScorer,
    NecessityScorer,
    OtherAnswer,
    PerplexityScorer,
    QuestionGain,
    ScoreNet,
    ScoreNetScorer,
    Scorer,
    TextEmbedding,
    UPDScorer,
)
from hf_vitselect.errors import ColumnError, LayoutError, ModelError

SCORERS = {
    "necessity": NecessityScorer,
    "perplexity": PerplexityScorer,
    "other_answer": OtherAnswer,
    "image_gain": ImageGain,
    "question_gain": QuestionGain,
    "clip": ClipEmbedding,
    "clip_score": ClipScore,
    "text": TextEmbedding,
    "judge": JudgeScore,
    "score_net": ScoreNetScorer,
    "blend": Blend,
    "el2n": EL2NScorer,
    "upd": UPDScorer,
    "grand": GraNdScorer,
}
# Tested by themselves: one holds a pool, which cannot be told in JSON, one asks a model that sees.
APART = {MIWVScorer, CapabilityScorer}
WITH_WEIGHTS = [name for name in SCORERS if name not in ("judge", "blend")]
OF_COLUMNS = ("score_net", "blend")  # which read the column "grade"
NO_BATCHES = (*OF_COLUMNS, "grand")
OF_CONVERSATIONS = [name for name in SCORERS if name not in OF_COLUMNS]
BLIND = (TextEmbedding, JudgeScore)
POOL = mixed_pool(12).add_column("grade", [float(i % 5) for i in range(12)])


@pytest.fixture(scope="session")
def settings(tiny, tmp_path_factory):
    """What every scorer is made with: a model folder, or a model's name and its server."""
    vlm = {"model": tiny("llava").folder}
    clip = save_clip(tmp_path_factory.mktemp("clip"))
    score_net = tmp_path_factory.mktemp("score_net")
    ScoreNet.fit(POOL, "grade").save_pretrained(score_net)
    with JudgeServer() as judge:
        yield {
            "necessity": vlm,
            "perplexity": vlm,
            "other_answer": vlm,
            "image_gain": vlm,
            "el2n": vlm,
            "upd": vlm,
            "grand": vlm,
            "question_gain": vlm,
            "clip": {"model": clip},
            "clip_score": {"model": clip},
            "text": {"model": save_sentence_transformer(tmp_path_factory.mktemp("text"))},
            "judge": {"model": "judge", "base_url": judge.url},
            "score_net": {"model": str(score_net)},
            "blend": {"weights": {"grade": 2.0}, "scales": {}, "product": False, "column": "blend"},
        }


@pytest.fixture(params=SCORERS)
def name(request):
    return request.param


with_weights = pytest.mark.parametrize("name", WITH_WEIGHTS, indirect=True)
of_conversations = pytest.mark.parametrize("name", OF_CONVERSATIONS, indirect=True)


@pytest.fixture
def folder(settings, name, tmp_path):
    """A copy of the model's folder."""
    return Path(shutil.copytree(settings[name]["model"], tmp_path / "model"))


@pytest.fixture
def make(name, settings):
    """Makes a fresh scorer of every kind in turn."""

    def make(**options):
        if name == "judge" and "batch_size" in options:  # its batch is what is under way at a time
            options["concurrency"] = options.pop("batch_size")
        if name in NO_BATCHES:
            options.pop("batch_size", None)
        return SCORERS[name](**(settings[name] | options))

    return make


def test_wrong_types_name_the_argument(name, settings):
    for field in fields(SCORERS[name]):
        if field.init and (field.name == "column" or name != "blend"):
            with pytest.raises(ValueError, match=rf"^{field.name}: expected .*, got <object object"):
                SCORERS[name](**settings[name] | {field.name: object()})


@pytest.mark.parametrize("column", ["../../x", "a/b", "a\\b", "a\0b"])
def test_column_that_names_no_folder(make, column):
    with pytest.raises(ColumnError, match="column: expected a name without slashes"):
        make(column=column)


def statuses(scorer):
    """What the rows of `POOL` are given: without a picture there is no cosine and no gain."""
    needs_picture = isinstance(scorer, (ClipScore, ImageGain))
    return ["ok" if pictures or not needs_picture else "image_missing" for pictures in raw_images(POOL)]


def test_no_rows_give_no_values(make):
    """Which is how a worker has a scorer load its model before there are rows."""
    scorer = make()
    table = scorer(POOL.select([]).with_format("arrow")[:])
    assert [table.schema.field(name).type for name in scorer.features] == list(
        scorer.features.arrow_schema.types
    )
    assert scorer._loaded is not None or scorer.model in ("judge", None)


def values(dataset, scorer):
    """The scorer's columns as arrays, nulls as NaN."""
    found = {}
    for column, kind in scorer.features.items():
        cells = dataset[column][:]
        if isinstance(kind, Value) and kind.dtype == "string":
            found[column] = cells
            continue
        null = np.nan if isinstance(kind, Value) else np.full(kind.length, np.nan)
        found[column] = np.array([null if cell is None else cell for cell in cells], dtype=float)
        if isinstance(scorer, PerplexityScorer):  # the contract's tolerance is one of nats
            found[column] = np.log(found[column])
    return found


def assert_same(one, two, tolerance=1e-5):
    assert one.keys() == two.keys()
    for column in one:
        if isinstance(one[column], list):
            assert one[column] == two[column]
        else:
            np.testing.assert_allclose(
                one[column].reshape(len(one[column]), -1),
                two[column].reshape(len(two[column]), -1),
                atol=tolerance,
                rtol=0,
            )


def run_python(code, *arguments):
    """Runs code in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_every_exported_scorer_is_under_contract():
    exported = {getattr(hf_vitselect.scorers, name) for name in hf_vitselect.scorers.__all__}
    assert exported == {*SCORERS.values(), *APART}


HOW = {
    "row by row": {},
    "in small batches": {"batched": True, "batch_size": 5},
    "two processes": {"batched": True, "num_proc": 2},
    "row by row, two processes": {"num_proc": 2},
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_every_map_gives_equal_numbers(make, how):
    scorer = make()
    whole = POOL.map(scorer, batched=True)
    other = POOL.map(make(), **how)
    assert whole[scorer.status_column][:] == statuses(scorer)
    assert_same(values(whole, scorer), values(other, scorer))
    assert other.features == Features({**POOL.features, **scorer.features})


def test_scores_follow_their_rows(make):
    scorer = make(batch_size=3)
    order = [7, 2, 11, 0, 5, 9, 1]
    whole = values(POOL.map(scorer, batched=True), scorer)
    some = values(POOL.select(order).map(scorer, batched=True), scorer)
    picked = {
        column: [cells[i] for i in order] if isinstance(cells, list) else cells[order]
        for column, cells in whole.items()
    }
    assert_same(picked, some)


@pytest.mark.parametrize("how", [{}, {"batched": True}, {"batched": True, "num_proc": 2}], ids=str)
def test_map_keeps_all_other_columns(make, how):
    rows = [([user("what?", 1), assistant("red")], [encode(stripes(20, 12), "JPEG", quality=80)])] * 4
    dataset = pool(rows).add_column("extra", [{"a": [i]} for i in range(4)]).add_column("grade", [1.0] * 4)
    scored = dataset.map(make(), **how)
    assert raw_images(scored) == raw_images(dataset)
    assert scored["messages"][:] == dataset["messages"][:]
    assert scored["extra"][:] == dataset["extra"][:]


def test_arrow_format_gives_equal_numbers(make):
    scorer = make()
    scored = POOL.with_format("arrow").map(make(), batched=True).with_format(None)
    assert_same(values(POOL.map(scorer, batched=True), scorer), values(scored, scorer))
    assert scored.features == Features({**POOL.features, **scorer.features})


@pytest.mark.parametrize("style", ["torch", "numpy", "pandas"])
@pytest.mark.parametrize("batched", [False, True])
def test_converting_formats_are_errors(make, style, batched):
    with pytest.raises(LayoutError, match=r"with_format\(None\)"):
        POOL.with_format(style).map(make(), batched=batched)


@pytest.mark.parametrize("how", [{}, {"batched": True, "batch_size": 5}], ids=str)
def test_a_stream_gives_the_same_numbers(make, how):
    scorer = make()
    stream = POOL.to_iterable_dataset().map(make(), **how)
    rows = list(stream)
    assert set(rows[0]) == {*POOL.column_names, *scorer.features}
    streamed = Dataset.from_dict({column: [row[column] for row in rows] for column in scorer.features})
    assert_same(values(POOL.map(scorer, batched=True), scorer), values(streamed, scorer))


def test_existing_columns_are_errors(make):
    scorer = make()
    for column in scorer.features:
        taken = POOL.add_column(column, [0] * len(POOL))
        for dataset in (taken, taken.to_iterable_dataset()):
            with pytest.raises(
                ColumnError, match=rf"{type(scorer).__name__} would overwrite.*{column}.*column="
            ):
                list(dataset.map(scorer))


@of_conversations
def test_unknown_layouts_are_errors(make):
    with pytest.raises(LayoutError, match="question"):
        Dataset.from_dict({"question": ["a"]}).map(make(), batched=True)


def test_one_kind_can_score_twice(make):
    one, two = make(), make(column="other")
    scored = POOL.map(one, batched=True).map(two, batched=True)
    assert not set(one.features) & set(two.features)
    assert next(iter(two.features)) == "other"
    assert scored["other"][:] == scored[one.column][:]


def test_making_a_scorer_loads_nothing(make):
    assert make()._loaded is None


def test_the_main_column_comes_first(make):
    scorer = make(column="x")
    assert next(iter(scorer.features)) == scorer.column == "x"
    assert scorer.features["x_status"] == Value("string")
    assert all(column.startswith("x") for column in scorer.features)


def test_calls_keep_the_fingerprint(make):
    scorer = make()
    before = Hasher.hash(scorer)
    POOL.map(scorer, batched=True, load_from_cache_file=False)
    assert scorer._loaded is not None or scorer.model is None
    assert Hasher.hash(scorer) == before == Hasher.hash(make())


ELSEWHERE = """
import json, sys, datasets, hf_vitselect
from datasets.fingerprint import Hasher

def run(name, settings):
    kind = getattr(hf_vitselect, name)
    scorer, calls, score_rows = kind(**settings), [], kind.score_rows
    kind.score_rows = lambda self, rows: calls.append(len(rows)) or score_rows(self, rows)
    scored = datasets.load_from_disk(pool).map(scorer, batched=True, batch_size=5)
    return [Hasher.hash(scorer), calls, scored[scorer.status_column][:]]

pool, scorers = sys.argv[1:]
print(json.dumps([run(*scorer) for scorer in json.loads(scorers)]))
"""


@pytest.fixture(scope="module")
def elsewhere(settings, tmp_path_factory):
    """What a new process finds after this one has scored the same pool from disk."""
    path = str(tmp_path_factory.mktemp("elsewhere") / "pool")
    POOL.save_to_disk(path)
    for name, kind in SCORERS.items():
        load_from_disk(path).map(kind(**settings[name]), batched=True, batch_size=5)
    scorers = json.dumps([[kind.__name__, settings[name]] for name, kind in SCORERS.items()])
    return dict(zip(SCORERS, json.loads(run_python(ELSEWHERE, path, scorers)), strict=True))


def test_processes_share_the_fingerprint(make, name, elsewhere):
    assert elsewhere[name][0] == Hasher.hash(make())


def test_new_processes_hit_the_cache(make, name, elsewhere):
    _, calls, found = elsewhere[name]
    assert calls == []
    assert found == statuses(make())


def test_the_fingerprint_changes_with_the_configuration(make, monkeypatch):
    prints = {Hasher.hash(make()), Hasher.hash(make(column="x"))}
    scorer = make()
    monkeypatch.setattr(type(scorer), "version", 99)
    assert len(prints | {Hasher.hash(scorer)}) == 3


@with_weights
def test_retraining_changes_fingerprint_and_scores(make, folder):
    scorer = make(model=str(folder))
    assert Hasher.hash(make(model=folder)) == Hasher.hash(scorer)
    before = values(POOL.map(scorer, batched=True), scorer)
    prints = Hasher.hash(scorer)
    retrain(folder)
    assert Hasher.hash(scorer) != prints
    after = values(POOL.map(scorer, batched=True), scorer)
    assert np.nanmax(np.abs(after[scorer.column] - before[scorer.column])) > 1e-3


def retrain(folder):
    from safetensors.torch import load_file, save_file

    (weights,) = folder.rglob("*.safetensors")
    state = load_file(weights)
    generator = torch.Generator().manual_seed(1)
    changed = {
        key: value + 0.3 * torch.randn(value.shape, generator=generator) for key, value in state.items()
    }
    save_file({key: value.to(state[key].dtype) for key, value in changed.items()}, weights, {"format": "pt"})


@with_weights
def test_foreign_files_change_nothing(make, folder):
    before = Hasher.hash(make(model=folder))
    for stranger in ("checkpoint-10/model.safetensors", ".cache/x"):
        (folder / stranger).parent.mkdir()
        (folder / stranger).write_text("x")
    assert Hasher.hash(make(model=folder)) == before


def test_used_scorers_can_be_pickled(make):
    scorer = make(column="x")
    first = values(POOL.map(scorer, batched=True), scorer)
    content = pickle.dumps(scorer)
    assert len(content) < 10_000
    copy = pickle.loads(content)
    assert copy._loaded is None
    assert_same(first, values(POOL.map(copy, batched=True, load_from_cache_file=False), copy))


def test_recipes_are_json_naming_models(make, settings, name):
    recipe = make(column="x", batch_size=2).recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["scorer"] == SCORERS[name].__name__
    assert recipe["column"] == "x"
    assert recipe["identity"].get("model") == settings[name].get("model")
    assert recipe == make(column="x", batch_size=64).recipe()


@with_weights
def test_the_recipe_names_the_exact_weights(make):
    assert len(make().recipe()["identity"]["digest"]) == 64


@with_weights
def test_missing_models_are_explained(make, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"expected a folder or a model id on the Hub, got 'no-such/model'"):
        POOL.map(make(model="no-such/model"), batched=True)


GOOD = ([user("what colour is it?", 1), assistant("red")], [png()])
BAD = {
    "image_missing": (GOOD[0], [None]),
    "image_error": (GOOD[0], [encode(stripes(), "JPEG")[:-40]]),
    "placeholder_mismatch": ([user("which?", 2), assistant("red")], [png()]),
    "bad_row": ([{"role": "narrator", "content": []}], []),
}


@of_conversations
@pytest.mark.parametrize("how", [{}, {"batched": True}], ids=str)
def test_bad_rows_fail_alone(make, how):
    scorer = make()
    good = values(pool([GOOD]).map(scorer, batched=True), scorer)
    bad = [status for status in BAD if not (status.startswith("image") and isinstance(scorer, BLIND))]
    rows = [row for status in bad for row in (BAD[status], GOOD)]
    scored = pool(rows).map(make(), **how)
    assert scored[scorer.status_column][:] == [status for bad_one in bad for status in (bad_one, "ok")]
    table = scored.with_format("arrow")[:]
    for column in scorer.values:
        assert table.column(column).is_null().to_pylist() == [True, False] * len(bad)
    assert table.column(scorer.reason_column).is_null().to_pylist() == [False, True] * len(bad)
    for i in range(1, len(rows), 2):
        assert_same(good, values(scored.select([i]), scorer))


@of_conversations
def test_leading_nulls_keep_column_types(make):
    scorer = make()
    rows = [BAD["bad_row"]] * 3 + [GOOD] * 2
    scored = pool(rows).map(scorer, batched=True, batch_size=3)
    assert scored.features == Features({**pool(rows).features, **scorer.features})
    assert scored[scorer.status_column][:] == ["bad_row"] * 3 + ["ok"] * 2
    lost = pool(rows[:3]).map(make(), batched=True)
    assert lost.features == scored.features
    assert lost[scorer.column][:] == [None] * 3


@with_weights
def test_non_finite_numbers_become_nulls(make, folder, monkeypatch):
    from safetensors.torch import load_file, save_file

    (weights,) = folder.rglob("*.safetensors")
    state = load_file(weights)
    save_file(
        {key: torch.full_like(value, torch.nan) for key, value in state.items()}, weights, {"format": "pt"}
    )
    # Such weights are refused; here they stand for those that overflow on some rows.
    monkeypatch.setattr("hf_vitselect.models.weights.refuse_non_finite", lambda *_: None)
    scorer = make(model=folder)
    scored = POOL.select([0, 2]).map(scorer, batched=True)
    assert scored[scorer.status_column][:] == ["non_finite"] * 2
    assert scored[scorer.column][:] == [None] * 2


def test_arrow_tables_get_columns_appended(make):
    scorer = make()
    table = POOL.with_format("arrow")[:]
    scored = scorer(table)
    assert isinstance(scored, pa.Table)
    assert scored.column_names == [*table.column_names, *scorer.features]
    assert scored.select(table.column_names).equals(table)


def test_a_scored_pool_survives_the_disk(make, tmp_path):
    scored = POOL.map(make(), batched=True)
    scored.save_to_disk(tmp_path / "scored")
    again = load_from_disk(tmp_path / "scored")
    assert again.features == scored.features
    assert raw_images(again) == raw_images(POOL)


class Length(Scorer):
    """A scorer without a model: the number of characters."""

    @property
    def values(self):
        return Features({self.column: Value("int32")})

    def score_rows(self, rows):
        return [(len(row.transcript),) for row in rows]


def test_two_methods_make_a_scorer():
    scored = POOL.map(Length(column="length"), batched=True)
    assert scored["length"][0] > 10
    assert Hasher.hash(Length(column="length")) == Hasher.hash(Length(column="length"))
    assert Length(column="length").recipe()["scorer"] == "Length"
