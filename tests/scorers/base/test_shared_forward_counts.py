"""What `score` runs for scorers of one model: each view of a row once, and each scorer's own numbers."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from pools import assistant, mixed_pool, png, pool, user
from tiny import ARCHITECTURES
from tiny_embedders import save_clip, save_sentence_transformer
from transformers import CLIPModel

from hf_vitselect import (
    ClipEmbedding,
    ClipScore,
    ImageGain,
    NecessityScorer,
    PerplexityScorer,
    QuestionGain,
    TextEmbedding,
    score,
)
from hf_vitselect.models.clip import Clip
from hf_vitselect.models.response_forward import ResponseForward
from hf_vitselect.models.vlm import VLM

KINDS = (NecessityScorer, PerplexityScorer, ImageGain, QuestionGain)
BATCH = 4
SEEN = pool([([user(f"what is it? {i}", 1), assistant("red" * (1 + i % 3))], [png(i)]) for i in range(8)])
MIXED = mixed_pool(12)
SHARING = Counter(forwards=2, images=3, rows=4)
"""Two views of one row, apart and in one sequence: tried before the first rows share an image."""

folders = pytest.mark.parametrize("folder", [None, "run"], ids=["in memory", "on disk"])


def make(tiny, *kinds, **options):
    return [kind(tiny("llava").folder, batch_size=BATCH, **options) for kind in kinds]


def columns(dataset, scorers):
    return {name: dataset[name][:] for scorer in scorers for name in scorer.features}


@pytest.fixture
def forwards(monkeypatch):
    """How many forwards there were, rows in them, images in the vision tower, and models loaded."""
    counts = Counter()
    forward, load = ResponseForward.__call__, VLM.load.__func__

    def counting(self, rows, sequences):
        counts["forwards"] += 1
        counts["rows"] += sum(len(sequence.indices) for sequence in sequences)
        return forward(self, rows, sequences)

    def loading(cls, *arguments, **options):
        vlm = load(cls, *arguments, **options)
        counts["loads"] += 1
        for name in ("forwards", "rows", "images"):  # those of the first, plain question
            counts[name] = 0
        tower = vlm.model.model.vision_tower
        tower.register_forward_pre_hook(lambda _, pixels: counts.update(images=len(pixels[0])))
        return vlm

    monkeypatch.setattr(ResponseForward, "__call__", counting)
    monkeypatch.setattr(VLM, "load", classmethod(loading))
    return counts


@folders
def test_four_scorers_need_three_forwards(tiny, forwards, tmp_path, folder):
    score(SEEN, make(tiny, *KINDS), folder and tmp_path / folder)
    batches = len(SEEN) // BATCH
    expected = {"forwards": 3 * batches, "images": len(SEEN), "rows": 3 * len(SEEN)}
    assert forwards == {"loads": 1, **Counter(expected) + SHARING}


@pytest.mark.parametrize(
    ("kind", "views", "once"),
    [
        (NecessityScorer, 1, {}),
        (PerplexityScorer, 1, {}),
        (ImageGain, 2, {}),
        (QuestionGain, 2, SHARING),
    ],
)
@pytest.mark.parametrize(
    "how", [score, lambda rows, them: rows.map(them[0], batched=True)], ids=["score", "map"]
)
def test_images_are_read_once(tiny, forwards, kind, views, once, how):
    how(SEEN, make(tiny, kind))
    expected = {"forwards": views * len(SEEN) // BATCH, "images": len(SEEN), "rows": views * len(SEEN)}
    assert forwards == {"loads": 1, **Counter(expected) + Counter(once)}


def test_texts_run_twice_images_thrice(tiny, forwards):
    score(MIXED, make(tiny, *KINDS))
    seen = sum(bool(pictures) for pictures in MIXED["images"])
    assert 0 < seen < len(MIXED)
    assert forwards["rows"] == 3 * seen + 2 * (len(MIXED) - seen) + SHARING["rows"]


@folders
@pytest.mark.parametrize("shard_size", [5, 500])
def test_sharing_changes_no_bit(tiny, tmp_path, folder, shard_size):
    # Equal to the bit, not only to 1e-6: every view is batched as it is for each scorer alone. Not so with
    # QuestionGain, whose two views are in one batch.
    scorers = make(tiny, *(kind for kind in KINDS if kind is not QuestionGain))
    together = score(MIXED, scorers, folder and tmp_path / folder, shard_size=shard_size)
    for scorer in scorers:
        alone = MIXED.map(scorer, batched=True, batch_size=shard_size)
        assert columns(together, [scorer]) == columns(alone, [scorer])
    assert together.column_names == [*MIXED.column_names, *columns(together, scorers)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sharing_is_exact_for_every_architecture(tiny, architecture):
    model = tiny(architecture)
    scorers = [kind(model.folder, processor=model.processor, batch_size=BATCH) for kind in KINDS]
    together = score(MIXED.select([0, 1, 3, 4, 5, 7]), scorers)
    for scorer in scorers:
        alone = MIXED.select([0, 1, 3, 4, 5, 7]).map(scorer, batched=True)
        for name, cells in columns(together, [scorer]).items():
            if together.features[name].dtype == "float32":
                right = np.array(alone[name][:], dtype=float)
                np.testing.assert_allclose(np.array(cells, dtype=float), right, rtol=1e-5, atol=1e-5)
            else:
                assert cells == alone[name][:]
    assert set(together["question_gain_status"]) == {"ok"}


def test_scorer_order_only_orders_columns(tiny):
    first = score(MIXED, make(tiny, *KINDS))
    for kinds in itertools.islice(itertools.permutations(KINDS), 1, None, 7):
        scorers = make(tiny, *kinds)
        scored = score(MIXED, scorers)
        assert columns(scored, scorers) == columns(first, scorers)
        assert scored.column_names == [*MIXED.column_names, *columns(first, scorers)]


@folders
def test_other_scorers_keep_their_place(tiny, forwards, tmp_path, folder):
    text = TextEmbedding(save_sentence_transformer(tmp_path / "text"))
    necessity, image_gain = make(tiny, NecessityScorer, ImageGain)
    scorers = [necessity, text, image_gain]
    scored = score(SEEN, scorers, folder and tmp_path / folder)
    assert scored.column_names == [*SEEN.column_names, *columns(scored, scorers)]
    assert forwards["loads"] == 1
    assert [recipe["scorer"] for recipe in json.loads(record(scored))["scorers"]] == [
        "NecessityScorer",
        "TextEmbedding",
        "ImageGain",
    ]


def record(dataset):
    return dataset.info.description.removeprefix("hf_vitselect: ")


def test_other_settings_do_not_share(tiny, forwards):
    score(SEEN, make(tiny, NecessityScorer) + make(tiny, ImageGain, max_length=200))
    assert forwards["loads"] == 2


def test_recipes_say_nothing_of_sharing(tiny, tmp_path):
    scorers = make(tiny, *KINDS)
    score(SEEN, scorers, tmp_path)
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["scorers"] == [scorer.recipe() for scorer in make(tiny, *KINDS)]
    assert ledger["scorers"][0].keys() == {
        *("scorer", "column", "model", "revision", "identity", "version"),
        *("dtype", "max_length", "attn_implementation", "torch_compile", "processor", "trust_remote_code"),
        *("end_of_turn", "prompt_date"),
    }


@folders
@pytest.mark.parametrize("kinds", [(ClipEmbedding, ClipScore), (ClipScore, ClipEmbedding)], ids=str)
def test_clip_scorers_share_both_towers(tmp_path, monkeypatch, folder, kinds):
    clip = save_clip(tmp_path / "clip")
    alone = {kind: columns(MIXED.map(kind(clip), batched=True), [kind(clip)]) for kind in kinds}
    counts = Counter()
    count_calls(monkeypatch, counts, CLIPModel, "get_image_features")
    count_calls(monkeypatch, counts, CLIPModel, "get_text_features")
    count_calls(monkeypatch, counts, Clip, "__init__")
    scored = score(MIXED, [kind(clip) for kind in kinds], folder and tmp_path / folder)
    assert counts == {"get_image_features": 1, "get_text_features": 1, "__init__": 1}
    for kind in kinds:
        assert columns(scored, [kind(clip)]) == alone[kind]


def count_calls(monkeypatch, counts, owner, name):
    original = getattr(owner, name)

    def counting(*arguments, **options):
        counts[name] += 1
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, counting)
