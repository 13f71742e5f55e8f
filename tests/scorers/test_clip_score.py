"""ClipScore: the cosine of the model's own features, and of the two halves of `ClipEmbedding`."""

import numpy as np
import pytest
import torch
from datasets import Value
from pools import assistant, encode, pool, stripes, user
from tiny_embedders import CLIP_WIDTH, save_clip
from transformers import CLIPModel, CLIPProcessor

from hf_vitselect import ClipEmbedding, ClipScore

PICTURES = [stripes(20, 16, seed) for seed in range(3)]
ROWS = [
    ([user("what colour?", 1), assistant("red")], [encode(PICTURES[0])]),
    ([user("which?", 2), assistant("blue"), user("so?"), assistant("no")], [encode(p) for p in PICTURES[1:]]),
    ([user("a very long question " * 20, 1), assistant("red")], [encode(PICTURES[0])]),
    ([user("what colour?"), assistant("red")], []),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def scored(clip):
    return pool(ROWS).map(ClipScore(clip), batched=True)


def test_scores_equal_the_model_cosine(clip, scored):
    # One picture and a text within the context: transformers' CLIP has the cosine as an output.
    model, processor = CLIPModel.from_pretrained(clip), CLIPProcessor.from_pretrained(clip)
    inputs = processor(text="USER: what colour? ASSISTANT: red", images=PICTURES[0], return_tensors="pt")
    with torch.inference_mode():
        cosine = float(model(**inputs).logits_per_image[0, 0] / model.logit_scale.exp())
    assert scored["clip_score"][0] == pytest.approx(cosine, abs=1e-5)


def test_scores_equal_embedding_dot_products(clip, scored):
    vectors = np.array(pool(ROWS).map(ClipEmbedding(clip), batched=True)["embedding"][:3])
    cosines = (vectors[:, :CLIP_WIDTH] * vectors[:, CLIP_WIDTH:]).sum(axis=1)
    np.testing.assert_allclose(scored["clip_score"][:3], cosines, atol=1e-6, rtol=0)
    assert np.ptp(cosines) > 0.01


def test_texts_alone_have_no_cosine(scored):
    assert scored["clip_score"][3] is None
    assert scored["clip_score_status"][:] == ["ok"] * 3 + ["image_missing"]


def test_columns_have_exact_types():
    assert list(ClipScore("no/such-model", column="fit").features.items()) == [
        ("fit", Value("float32")),
        ("fit_status", Value("string")),
        ("fit_reason", Value("string")),
    ]


def test_a_cosine_never_leaves_its_range(clip):
    class Same(ClipScore):
        def load(self, identity):
            from hf_vitselect.models.clip import ClipFeatures

            unit = np.full(3, 0.57735032, dtype=np.float32)  # its square sums to a little over one
            loaded = super().load(identity)
            loaded.features = lambda rows, batch_size: [ClipFeatures(unit, sign * unit) for sign in (1, -1)]
            return loaded

    assert pool(ROWS[:2]).map(Same(clip), batched=True)["clip_score"][:] == [1.0, -1.0]
