"""The labels are the response tokens of scoring, in every architecture."""

import pytest
import torch
from datasets import Image, List
from pools import mixed_pool, one_picture_pool
from tiny import ARCHITECTURES
from transformers import AutoProcessor

from hf_vitselect.errors import RowError
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.scorers import NecessityScorer
from hf_vitselect.training.collator import IGNORED, ResponseCollator, undecoded_rows

ROWS = 6


@pytest.fixture(params=ARCHITECTURES)
def model(request, tiny):
    return tiny(request.param)


@pytest.fixture
def collator(model):
    return ResponseCollator(Encoder(model.processor or AutoProcessor.from_pretrained(model.folder)))


def test_labels_spell_exactly_the_answers(collator):
    pool = one_picture_pool(ROWS)
    labels = collator(list(undecoded_rows(pool)))["labels"]
    for row, label in zip(pool, labels, strict=True):
        text = collator.encoder.tokenizer.decode(label[label != IGNORED], skip_special_tokens=True)
        answers = [turn["content"][0]["text"] for turn in row["messages"] if turn["role"] == "assistant"]
        assert text.replace(" ", "") == "".join(answers).replace(" ", "")


def test_labels_count_what_the_scorer_counts(model, collator):
    pool = one_picture_pool(ROWS)
    labels = collator(list(undecoded_rows(pool)))["labels"]
    scored = pool.map(NecessityScorer(model.folder, processor=model.processor), batched=True)
    assert (labels != IGNORED).sum(1).tolist() == scored["response_tokens"][:]


def test_undecoded_rows_keep_only_the_conversation():
    pool = mixed_pool(2).add_column("extra", [1, 2])
    rows = undecoded_rows(pool)
    assert set(rows.column_names) == {"messages", "images"}
    assert rows.features["images"] == List(Image(decode=False))


def test_rows_without_answer_are_refused(collator):
    row = {"messages": [{"role": "user", "content": "q"}], "images": []}
    with pytest.raises(RowError, match="no_response"):
        collator([row])


def test_later_collator_encodes_nothing(model, collator, monkeypatch):
    rows = list(undecoded_rows(one_picture_pool(ROWS)))
    first = collator(rows)
    processor = model.processor or AutoProcessor.from_pretrained(model.folder)
    later = ResponseCollator(Encoder(processor))
    monkeypatch.setattr(later.encoder, "_encode", None)
    for again in (collator(rows), later(rows)):
        assert first.keys() == again.keys()
        assert all(torch.equal(first[name], again[name]) for name in first)
