from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor, LlavaProcessor

from hf_vitselect.demo.models import (
    build_clip,
    build_clip_processor,
    build_llava,
    build_processor,
    save,
    train_clip,
)
from hf_vitselect.demo.pool import render_captions, render_pool, sample_texts

PARTS = [
    {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": "what color is the ring?"}],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "red"}]},
    {"role": "user", "content": "is the ring small or large?"},
    {"role": "assistant", "content": "small"},
]


@pytest.fixture(scope="module")
def processor() -> LlavaProcessor:
    return build_processor()


def test_template_writes_parts_and_strings_alike(processor: LlavaProcessor) -> None:
    text = processor.apply_chat_template(PARTS, tokenize=False)
    assert text == (
        "USER: <image>\nwhat color is the ring? ASSISTANT: red</s>"
        "USER: is the ring small or large? ASSISTANT: small</s>"
    )
    prompt = processor.apply_chat_template(PARTS[:1], tokenize=False, add_generation_prompt=True)
    assert text.startswith(prompt)


def test_tokenizer_spells_any_text(processor: LlavaProcessor) -> None:
    tokenizer = processor.tokenizer
    assert len(tokenizer.tokenize(" small red triangle, top left: large blue ring")) == 10
    for text in (*sample_texts(20, seed=9), " Größe: 7 € 🦊"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert build_processor().tokenizer.get_vocab() == tokenizer.get_vocab()


def test_llava_is_small_and_learns(processor: LlavaProcessor) -> None:
    model = build_llava(processor)
    assert 1.1e6 < sum(weights.numel() for weights in model.parameters()) < 1.4e6
    assert model.training
    picture = next(row["images"][0] for row in render_pool(20) if row["images"])
    text = processor.apply_chat_template(PARTS, tokenize=False)
    inputs = processor(text=[text], images=[[picture]], return_tensors="pt")
    assert (inputs.input_ids == model.config.image_token_id).sum() == model.config.image_seq_length
    output = model(**inputs, labels=inputs.input_ids)
    assert output.logits.shape == (1, inputs.input_ids.shape[1], len(processor.tokenizer))
    output.loss.backward()
    assert all(
        weights.grad is not None
        for name, weights in model.named_parameters()
        if "post_layernorm" not in name  # of the pooled feature, which a LLaVA does not read
    )


def test_seed_decides_only_the_weights(processor: LlavaProcessor) -> None:
    state = torch.get_rng_state()
    one, same, other = (build_llava(processor, seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


def test_vision_tower_is_the_clips(processor: LlavaProcessor) -> None:
    clip = build_clip(build_clip_processor(), seed=1)
    tower = build_llava(processor, clip=clip).model.vision_tower.state_dict()
    assert tower
    for name, weights in clip.vision_model.state_dict().items():
        assert torch.equal(tower[name], weights)


def test_clip_learns_and_reloads(tmp_path: Path) -> None:
    captions = render_captions(256)
    processor = build_clip_processor()
    clip = build_clip(processor)
    losses = train_clip(clip, processor, captions, epochs=8, batch_size=32)
    assert len(losses) == 64
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])
    assert not clip.training

    save(clip, processor, tmp_path)
    model, reader = AutoModel.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    texts = ["USER: what color is the ring? ASSISTANT: red", " ".join(sample_texts(20))]
    inputs = reader(
        text=texts, images=captions[0]["images"], padding=True, truncation=True, return_tensors="pt"
    )
    assert torch.equal(
        inputs.input_ids, processor(text=texts, padding=True, truncation=True, return_tensors="pt").input_ids
    )
    assert inputs.input_ids.shape == (2, model.config.text_config.max_position_embeddings)
    assert (inputs.input_ids == model.config.text_config.eos_token_id).any(dim=1).all()
    pixels = inputs.pop("pixel_values")
    assert model.get_image_features(pixels).pooler_output.shape == (1, model.config.projection_dim)
    assert torch.equal(
        model.get_text_features(**inputs).pooler_output, clip.get_text_features(**inputs).pooler_output
    )


def test_llava_reloads_from_disk(processor: LlavaProcessor, tmp_path: Path) -> None:
    model = build_llava(processor, seed=3).eval()
    save(model, processor, tmp_path)
    loaded, reader = (
        AutoModelForImageTextToText.from_pretrained(tmp_path),
        AutoProcessor.from_pretrained(tmp_path),
    )
    text = reader.apply_chat_template(PARTS, tokenize=False)
    inputs = reader(text=[text], images=[render_captions(1)[0]["images"]], return_tensors="pt")
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
