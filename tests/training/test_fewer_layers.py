"""A model with fewer decoder layers: what it computes, how it is loaded again, what is refused."""

import numpy as np
import pytest
import torch
from peft import LoraConfig
from pools import mixed_pool
from tiny import ARCHITECTURES
from trainings import config
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig, MllamaConfig, Qwen3VLConfig
from transformers import MllamaForConditionalGeneration as Mllama
from transformers import Qwen3VLForConditionalGeneration as Qwen3VL

from hf_vitselect import NecessityScorer
from hf_vitselect.errors import ModelError
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.training import train_seed_model
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows
from hf_vitselect.training.fewer_layers import keep_layers

POOL = mixed_pool(12)
ONE_PICTURE = POOL.select([i for i in range(12) if i % 4 != 2])  # BLIP-2 takes no second one


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kept_layers_skip_the_others(architecture, tmp_path):
    model, processor = deep(architecture)
    pool = ONE_PICTURE if architecture == "blip2" else POOL
    model.save_pretrained(tmp_path / "whole")
    keep_layers(model, 2, inputs_of(processor)).save_pretrained(tmp_path / "kept")
    whole, kept = (NecessityScorer(tmp_path / name, processor=processor) for name in ("whole", "kept"))
    of_whole = losses(whole, pool)
    for layer in layers_of(whole.loaded.model)[1:3]:
        layer.forward = lambda hidden_states, *args, **options: hidden_states
    np.testing.assert_allclose(losses(kept, pool), losses(whole, pool), atol=1e-5, rtol=0)
    assert not np.allclose(losses(kept, pool), of_whole, atol=1e-2)


def test_weights_are_not_copied():
    model, processor = deep("llava")
    model.model.vision_tower.requires_grad_(False)
    kept = keep_layers(model, 2, inputs_of(processor))
    own = {weight.data_ptr() for weight in model.parameters()}
    assert all(weight.data_ptr() in own for weight in kept.parameters())
    frozen = [name for name, weight in kept.named_parameters() if not weight.requires_grad]
    assert frozen
    assert all("vision_tower" in name for name in frozen)


def test_tied_weights_stay_tied():
    model, processor = deep("llava", tie_word_embeddings=True)
    kept = keep_layers(model, 2, inputs_of(processor))
    assert kept.lm_head.weight is kept.get_input_embeddings().weight


def test_layers_are_numbered_as_at_first(tmp_path):
    model, processor = deep("qwen2_5_vl")
    kept = keep_layers(keep_layers(model, 3, inputs_of(processor)), 2, inputs_of(processor))
    assert kept.config.kept_layers == [0, 3]
    kept.save_pretrained(tmp_path)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path).config.kept_layers == [0, 3]


def test_all_layers_are_the_same_model():
    model, _ = deep("llava")
    assert keep_layers(model, 4, {}) is model


@pytest.mark.parametrize("count", [0, 5])
def test_impossible_count_is_refused(count):
    with pytest.raises(ModelError, match=f"expected 1 to 4, .* got {count}"):
        keep_layers(deep("llava")[0], count, {})


def test_layers_that_change_are_refused():
    model, processor = deep("gemma3")
    layers_of(model)[3].self_attn.sliding_window = 7
    with pytest.raises(ModelError, match=r"self_attn\.sliding_window of a layer would change"):
        keep_layers(model, 3, inputs_of(processor))
    assert all(weight.requires_grad for weight in model.parameters())


def test_refused_model_stays_as_it_was():
    model, processor = deep("gemma3")
    model.requires_grad_(False)
    layers_of(model)[3].self_attn.sliding_window = 7
    with pytest.raises(ModelError):
        keep_layers(model, 3, inputs_of(processor))
    assert not any(weight.requires_grad for weight in model.parameters())


def test_decoder_that_counts_layers_is_refused():
    """Qwen3-VL adds features of the image behind its first layers, here two of them."""
    model, inputs = qwen3_vl()
    assert len(layers_of(keep_layers(model, 3, inputs))) == 3
    with pytest.raises(ModelError, match="Qwen3VLForConditionalGeneration: what it computes depends on"):
        keep_layers(model, 2, inputs)


def test_other_weights_are_refused():
    """The last layer of this one attends to images; the third one does not."""
    with torch.device("meta"):
        model = Mllama(MllamaConfig(text_config={"num_hidden_layers": 4, "cross_attention_layers": [3]}))
    with pytest.raises(ModelError, match=r"got Mllama.*it then has other weights, such as"):
        keep_layers(model, 3, {})


def test_added_module_is_refused():
    model, processor = deep("llava")
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ModelError, match=r"other weights, such as extra\.bias"):
        keep_layers(model, 2, inputs_of(processor))


def test_split_model_is_refused():
    model, processor = deep("llava")
    model.hf_device_map = {"model": 0, "lm_head": 1}
    with pytest.raises(ModelError, match="it lies on several devices"):
        keep_layers(model, 2, inputs_of(processor))


def test_model_without_layers_is_refused():
    model, processor = deep("llava")
    layers_of(model).append(layers_of(model)[0])
    with pytest.raises(ModelError, match="one list of layers, got LlavaForConditionalGeneration"):
        keep_layers(model, 2, inputs_of(processor))


def test_seed_model_keeps_some_layers(tmp_path):
    model, processor = deep("llava")
    save(model, processor, tmp_path / "base")
    train_seed_model(
        mixed_pool(6), str(tmp_path / "base"), 4, config(tmp_path / "seed", max_steps=1), layers=3
    )
    trained = AutoModelForImageTextToText.from_pretrained(tmp_path / "seed")
    assert len(layers_of(trained)) == 3
    card = (tmp_path / "seed" / "README.md").read_text()
    assert "the model keeps numbers 0, 1, 3 of the larger one." in card


def test_seed_model_resumes_with_its_layers(tmp_path):
    model, processor = deep("llava")
    save(model, processor, tmp_path / "base")
    base, folder = str(tmp_path / "base"), tmp_path / "seed"
    train_seed_model(mixed_pool(6), base, 4, config(folder, max_steps=3), layers=3)
    args = config(folder, max_steps=4, resume_from_checkpoint=str(folder / "checkpoint-3"))
    train_seed_model(mixed_pool(6), base, 4, args, layers=3)
    for layers in (2, None):
        with pytest.raises(ModelError, match="a checkpoint with the same decoder layers"):
            train_seed_model(mixed_pool(6), base, 4, args, layers=layers)


@pytest.mark.parametrize(
    ("option", "got"),
    [
        ({"peft_config": LoraConfig()}, "peft_config"),
        ({"quantization_config": BitsAndBytesConfig(load_in_4bit=True)}, "quantization_config"),
    ],
)
def test_layers_need_a_whole_fine_tune(option, got, tiny, tmp_path):
    with pytest.raises(ValueError, match=f"trained as a whole, got {got}; leave out either"):
        train_seed_model(mixed_pool(6), tiny("llava").folder, 4, config(tmp_path), layers=1, **option)


def test_fine_tune_without_layers_warns(tmp_path):
    model, processor = deep("llava")
    save(keep_layers(model, 2, inputs_of(processor)), processor, tmp_path / "kept")
    with pytest.warns(UserWarning, match="kept has only 2 of the decoder layers of a larger model"):
        train_seed_model(mixed_pool(6), str(tmp_path / "kept"), 4, config(tmp_path / "seed", max_steps=1))


def deep(architecture, **changes):
    """A tiny model with four decoder layers, and its processor."""
    torch.manual_seed(0)
    shallow, processor = ARCHITECTURES[architecture]()
    text = shallow.config.get_text_config(decoder=True)
    text.num_hidden_layers = 4
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types * 2
    for name, value in changes.items():
        setattr(shallow.config, name, value)
        setattr(text, name, value)
    return type(shallow)(shallow.config).eval(), processor


def inputs_of(processor):
    """The inputs of one row with an image."""
    inputs = ResponseCollator(Encoder(processor))([undecoded_rows(ONE_PICTURE)[0]])
    return {name: values for name, values in inputs.items() if name != "labels"}


def qwen3_vl():
    """A tiny Qwen3-VL with four decoder layers, and the inputs of one image of four tokens."""
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "vocab_size": 100}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    sections = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10_000.0}
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "patch_size": 4}
    vision |= {"out_hidden_size": 32, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16}
    image, start, end = 90, 92, 93
    model = Qwen3VL(
        Qwen3VLConfig(
            text_config={**size, **heads, "rope_parameters": sections, "initializer_range": 0.3},
            vision_config={**vision, "initializer_range": 0.3},
            image_token_id=image,
            vision_start_token_id=start,
            vision_end_token_id=end,
        )
    ).eval()
    ids = torch.tensor([[5, start, *[image] * 4, end, 6, 7, 8]])
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == image).long(),
        "pixel_values": torch.randn(16, 3 * 2 * 4 * 4),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
    }
    return model, inputs


def save(model, processor, folder):
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def layers_of(model):
    return model.get_decoder().base_model.layers


def losses(scorer, pool):
    return pool.map(scorer, batched=True)["necessity"][:]
