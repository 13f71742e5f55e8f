"""A model with fewer decoder layers: what it computes, how it is loaded again, what is refused."""

import numpy as np
import pytest
import torch
from peft import LoraConfig
from pools import mixed_pool
from tiny import ARCHITECTURES
from trainings import config
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig, MllamaConfig
from transformers import MllamaForConditionalGeneration as Mllama

from hf_vitselect import NecessityScorer
from hf_vitselect.errors import ModelError
from hf_vitselect.training import train_seed_model
from hf_vitselect.training.fewer_layers import keep_layers

POOL = mixed_pool(12)
ONE_PICTURE = POOL.select([i for i in range(12) if i % 4 != 2])  # BLIP-2 takes no second one


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kept_layers_skip_the_others(architecture, tmp_path):
    model, processor = deep(architecture)
    pool = ONE_PICTURE if architecture == "blip2" else POOL
    model.save_pretrained(tmp_path / "whole")
    keep_layers(model, 3).save_pretrained(tmp_path / "kept")
    whole, kept = (NecessityScorer(tmp_path / name, processor=processor) for name in ("whole", "kept"))
    of_whole = losses(whole, pool)
    layers_of(whole.loaded.model)[2].forward = lambda hidden_states, *args, **options: hidden_states
    np.testing.assert_allclose(losses(kept, pool), losses(whole, pool), atol=1e-5, rtol=0)
    assert not np.allclose(losses(kept, pool), of_whole, atol=1e-2)


def test_weights_are_not_copied():
    model, _ = deep("llava")
    model.model.vision_tower.requires_grad_(False)
    kept = keep_layers(model, 2)
    own = {weight.data_ptr() for weight in model.parameters()}
    assert all(weight.data_ptr() in own for weight in kept.parameters())
    frozen = [name for name, weight in kept.named_parameters() if not weight.requires_grad]
    assert frozen
    assert all("vision_tower" in name for name in frozen)


def test_tied_weights_stay_tied():
    model, _ = deep("llava", tie_word_embeddings=True)
    kept = keep_layers(model, 2)
    assert kept.lm_head.weight is kept.get_input_embeddings().weight


def test_layers_are_numbered_as_at_first(tmp_path):
    model, _ = deep("qwen2_5_vl")
    kept = keep_layers(keep_layers(model, 3), 2)
    assert kept.config.kept_layers == [0, 3]
    kept.save_pretrained(tmp_path)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path).config.kept_layers == [0, 3]


def test_all_layers_are_the_same_model():
    model, _ = deep("llava")
    assert keep_layers(model, 4) is model


@pytest.mark.parametrize("count", [0, 5])
def test_impossible_count_is_refused(count):
    with pytest.raises(ModelError, match=f"expected 1 to 4, .* got {count}"):
        keep_layers(deep("llava")[0], count)


def test_layers_that_change_are_refused():
    """Gemma's attention windows follow the list of layer types; a pattern of places would move."""
    model, _ = deep("gemma3")
    layers_of(model)[3].self_attn.sliding_window = 7
    with pytest.raises(ModelError, match=r"decides on its self_attn\.sliding_window"):
        keep_layers(model, 3)


def test_other_weights_are_refused():
    """The last layer of this one attends to images; the third one does not."""
    with torch.device("meta"):
        model = Mllama(MllamaConfig(text_config={"num_hidden_layers": 4, "cross_attention_layers": [3]}))
    with pytest.raises(ModelError, match="works with fewer layers, got MllamaForConditionalGeneration"):
        keep_layers(model, 3)


def test_model_without_layers_is_refused():
    model, _ = deep("llava")
    layers_of(model).append(layers_of(model)[0])
    with pytest.raises(ModelError, match="one list of layers, got LlavaForConditionalGeneration"):
        keep_layers(model, 2)


def test_seed_model_keeps_some_layers(tmp_path):
    model, processor = deep("llava")
    save(model, processor, tmp_path / "base")
    train_seed_model(
        mixed_pool(6), str(tmp_path / "base"), 4, config(tmp_path / "seed", max_steps=1), layers=3
    )
    trained = AutoModelForImageTextToText.from_pretrained(tmp_path / "seed")
    assert len(layers_of(trained)) == 3
    card = (tmp_path / "seed" / "README.md").read_text()
    assert "These of the larger model are left: 0, 1, 3." in card


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
    "option",
    [{"peft_config": LoraConfig()}, {"quantization_config": BitsAndBytesConfig(load_in_4bit=True)}],
    ids=["adapter", "quantization"],
)
def test_layers_need_a_whole_fine_tune(option, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"expected a whole fine-tune with layers=1, got (Lora|BitsAnd)"):
        train_seed_model(mixed_pool(6), tiny("llava").folder, 4, config(tmp_path), layers=1, **option)


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


def save(model, processor, folder):
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def layers_of(model):
    return model.get_decoder().base_model.layers


def losses(scorer, pool):
    return pool.map(scorer, batched=True)["necessity"][:]
