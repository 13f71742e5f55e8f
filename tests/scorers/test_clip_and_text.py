"""ClipEmbedding and TextEmbedding: their values against the models called by hand."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import List, Value
from PIL import Image
from pools import assistant, encode, pool, stripes, user
from sentence_transformers import SentenceTransformer
from tiny_embedders import (
    CLIP_CONTEXT,
    CLIP_WIDTH,
    TEXT_WIDTH,
    save_clip,
    save_sentence_transformer,
    save_siglip,
)
from transformers import AutoProcessor, CLIPConfig, CLIPModel, CLIPProcessor, Siglip2Model, SiglipModel

from hf_vitselect import ClipEmbedding, ClipScore, TextEmbedding
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage
from hf_vitselect.models.clip import Clip, ClipFeatures

PICTURES = [stripes(20, 16, seed) for seed in range(3)]
ROWS = [
    ([user("what colour?", 1), assistant("red")], [encode(PICTURES[0])]),
    ([user("what colour?"), assistant("red")], []),
    ([user("which?", 2), assistant("blue"), user("so?"), assistant("no")], [encode(p) for p in PICTURES[1:]]),
    ([user("a very long question " * 20, 1), assistant("red")], [encode(PICTURES[0])]),
]
TEXTS = [
    "USER: what colour? ASSISTANT: red",
    "USER: what colour? ASSISTANT: red",
    "USER: which? ASSISTANT: blue USER: so? ASSISTANT: no",
    "USER: " + "a very long question " * 19 + "a very long question ASSISTANT: red",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def vectors(clip):
    scored = pool(ROWS).map(ClipEmbedding(clip), batched=True)
    return np.array(scored["embedding"][:])


def unit(vector):
    return vector / np.linalg.norm(vector)


@torch.inference_mode()
def halves(clip, pictures, text):
    """By hand: each picture's unit feature, and the text's."""
    model, processor = CLIPModel.from_pretrained(clip), CLIPProcessor.from_pretrained(clip)
    seen = [
        model.get_image_features(**processor.image_processor(picture, return_tensors="pt")).pooler_output[0]
        for picture in pictures
    ]
    ids = processor.tokenizer(text, return_tensors="pt")["input_ids"]
    if ids.shape[1] > CLIP_CONTEXT:  # cut, the end token kept
        ids = torch.cat([ids[:, : CLIP_CONTEXT - 1], ids[:, -1:]], dim=1)
    read = model.get_text_features(input_ids=ids).pooler_output[0]
    return [unit(feature.numpy()) for feature in seen], unit(read.numpy())


@pytest.mark.parametrize("i", range(4), ids=["one picture", "text only", "two pictures", "long text"])
def test_clip_joins_unit_features(clip, vectors, i):
    pictures = [PICTURES[0:1], [], PICTURES[1:], PICTURES[0:1]][i]
    images, text = halves(clip, pictures, TEXTS[i])
    image = unit(np.mean(images, axis=0)) if images else np.zeros(CLIP_WIDTH)
    np.testing.assert_allclose(vectors[i], np.concatenate([image, text]), atol=1e-5)


def test_halves_have_unit_length_or_zero(vectors):
    lengths = np.linalg.norm(vectors.reshape(4, 2, CLIP_WIDTH), axis=2)
    np.testing.assert_allclose(lengths, [[1, 1], [0, 1], [1, 1], [1, 1]], atol=1e-6)


def test_clip_vectors_have_fixed_length(clip):
    scorer = ClipEmbedding(clip)
    assert scorer.features["embedding"] == List(Value("float32"), length=2 * CLIP_WIDTH)
    table = pool(ROWS).map(scorer, batched=True).with_format("arrow")[:]
    kind = table.schema.field("embedding").type
    assert (kind.list_size, kind.value_type) == (2 * CLIP_WIDTH, pa.float32())


def test_clip_s_features_need_no_weights(clip):
    scorer = ClipEmbedding(clip)
    assert scorer.features["embedding"].length == 2 * CLIP_WIDTH
    assert scorer._loaded is None


def test_clip_sees_a_rotated_picture_upright(clip):
    exif = Image.Exif()
    exif[0x0112] = 6
    talk = [user("what?", 1), assistant("red")]
    rotated = PICTURES[0].transpose(Image.Transpose.ROTATE_90)  # stored on its side
    rows = [(talk, [encode(PICTURES[0])]), (talk, [encode(rotated, exif=exif)]), (talk, [encode(rotated)])]
    upright, turned, sideways = np.array(pool(rows).map(ClipEmbedding(clip), batched=True)["embedding"][:])
    np.testing.assert_allclose(turned, upright, atol=1e-5)
    assert np.abs(sideways - upright).max() > 1e-3


def test_the_batch_size_does_not_show(clip, vectors):
    one = pool(ROWS).map(ClipEmbedding(clip, batch_size=1), batched=True)["embedding"][:]
    np.testing.assert_allclose(one, vectors, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 3)], ids=str)
def test_an_odd_picture_has_an_embedding(clip, size):
    row = ([user("what?", 1), assistant("red")], [encode(stripes(*size))])
    assert pool([row]).map(ClipEmbedding(clip))["embedding_status"][:] == ["ok"]


def test_bad_images_fail_their_row(clip, monkeypatch):
    made = Clip(clip)
    call = type(made.processor.image_processor).__call__

    def small_memory(self, image, **options):
        if image.width == 40:
            raise MemoryError
        return call(self, image, **options)

    monkeypatch.setattr(made.processor.image_processor, "size", {"shortest_edge": 300})
    monkeypatch.setattr(type(made.processor.image_processor), "__call__", small_memory)
    rows = [
        Conversation((), (RowImage(encode(stripes(*size))),)) for size in ((16, 9), (20_000, 1), (40, 40))
    ]
    (good, thin, large) = made.features(rows, 8)
    assert isinstance(good, ClipFeatures)
    assert thin.status == large.status == "image_error"


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return save_sentence_transformer(tmp_path_factory.mktemp("text"))


def test_text_embeds_the_transcript(sentences):
    scored = pool(ROWS).map(TextEmbedding(sentences), batched=True)
    model = SentenceTransformer(sentences, device="cpu")
    by_hand = np.stack([unit(model.encode(text, show_progress_bar=False)) for text in TEXTS])
    np.testing.assert_allclose(np.array(scored["embedding"][:]), by_hand, atol=1e-5)
    assert scored.features["embedding"] == List(Value("float32"), length=TEXT_WIDTH)


def test_text_does_not_look_at_pictures(sentences):
    rows = [(ROWS[0][0], [b"broken"]), ROWS[0]]
    scored = pool(rows).map(TextEmbedding(sentences), batched=True)
    assert scored["embedding_status"][:] == ["ok", "ok"]
    assert scored["embedding"][0] == scored["embedding"][1]


def test_vit_large_gives_1536_dimensions(tmp_path):
    # The sizes of openai/clip-vit-large-patch14; there are no weights in the folder.
    CLIPConfig(projection_dim=768).save_pretrained(tmp_path)
    assert ClipEmbedding(str(tmp_path)).features["embedding"] == List(Value("float32"), length=1536)


@pytest.mark.parametrize("kind", [SiglipModel, Siglip2Model])
@torch.inference_mode()
def test_siglip_is_a_clip_model_too(kind, tmp_path):
    folder = save_siglip(tmp_path, kind)
    scored = pool(ROWS).map(ClipEmbedding(folder), batched=True)
    vectors = np.array(scored["embedding"][:])
    assert scored.features["embedding"].length == vectors.shape[1] == 64
    model, processor = kind.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    # Padded to the whole context, as it was trained.
    padded = {"padding": "max_length", "truncation": True, "max_length": 16, "return_tensors": "pt"}
    text = model.get_text_features(**processor.tokenizer(TEXTS[:1], **padded)).pooler_output[0]
    image = processor.image_processor(PICTURES[0], return_tensors="pt")
    seen = model.get_image_features(**image).pooler_output[0]
    np.testing.assert_allclose(vectors[0, :32], unit(seen.numpy()), atol=1e-5)
    np.testing.assert_allclose(vectors[0, 32:], unit(text.numpy()), atol=1e-5)
    assert not vectors[1, :32].any()


def test_siglip_batches_change_nothing(tmp_path):
    folder, rows = save_siglip(tmp_path, SiglipModel), pool(ROWS)
    alone, together = (
        np.array(rows.map(ClipScore(folder, batch_size=size), batched=True)["clip_score"][:], dtype=float)
        for size in (1, 4)
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)
