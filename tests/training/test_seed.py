"""A seed model trains on random rows that can be trained on, and records them."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from lengths import words
from peft import LoraConfig, get_peft_model
from pools import mixed_pool
from safetensors.torch import load_file
from tiny import ARCHITECTURES
from tiny_judge import save_judge
from trainings import config
from transformers import AutoModelForImageTextToText, PreTrainedModel

from hf_vitselect.errors import BudgetError, ModelError, SelectionError
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.training import load_seed_rows, train_seed_model
from hf_vitselect.training.frozen import frozen_vision


def test_seed_model_records_usable_rows(tiny, tmp_path):
    pool = mixed_pool(10)
    broken = [{"bytes": b"", "path": None}]
    rows = [{**row, "images": broken} if i < 4 else row for i, row in enumerate(_encoded(pool))]
    pool = type(pool).from_list(rows, features=pool.features)
    drawn = train_seed_model(pool, tiny("llava").folder, 6, config(tmp_path, max_steps=1), seed=1)
    assert sorted(drawn.indices) == [4, 5, 6, 7, 8, 9]
    assert drawn.recipe.rule_call.name == "Random"
    assert (tmp_path / "model.safetensors").exists()
    again = load_seed_rows(pool.select(range(9, -1, -1)), tmp_path)
    assert again.row_ids == drawn.row_ids
    assert again.recipe == drawn.recipe
    with pytest.raises(BudgetError, match="only 6 of 10"):
        train_seed_model(pool, tiny("llava").folder, 7, config(tmp_path, max_steps=1))


def test_seed_model_skips_long_rows(tiny, tmp_path):
    pool = mixed_pool(8)
    rows = _encoded(pool)
    rows[0]["messages"][0]["content"][-1]["text"] = "long " * 400
    pool = type(pool).from_list(rows, features=pool.features)
    drawn = train_seed_model(pool, tiny("llava").folder, 7, config(tmp_path, max_steps=1, max_length=200))
    assert 0 not in drawn.indices


def test_seed_card_names_its_rows(tiny, tmp_path):
    pool = mixed_pool(6)
    pool.info.description = 'hf_vitselect: {"source": {"repo_id": "lab/pool", "commit": "c0ffee"}}'
    train_seed_model(pool, tiny("llava").folder, 3, config(tmp_path, max_steps=1))
    card = " ".join((tmp_path / "README.md").read_text().split())
    assert "3 of 6 rows of [lab/pool](https://huggingface.co/datasets/lab/pool) at commit `c0ffee`" in card
    assert "picked by `Random`" in card
    assert "`seed_rows.json`" in card


@pytest.mark.parametrize("rows", [None, 5], ids=["no-record", "another-pool"])
def test_missing_seed_rows_are_refused(rows, tiny, tmp_path):
    if rows:
        recipe = Recipe.about(mixed_pool(2), ["a", "b"], np.arange(2)).to_json()
        (tmp_path / "seed_rows.json").write_text(json.dumps({"recipe": recipe, "row_ids": ["a", "b"]}))
    with pytest.raises(ValueError, match="without 2 of its 2 rows" if rows else "with seed_rows.json"):
        load_seed_rows(mixed_pool(5), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "seed_rows.json: expected JSON"),
        ("[]", "seed_rows.json: expected an object"),
        ('{"row_ids": 3}', "seed_rows.json: row_ids: expected a list of row ids, got 3"),
        ('{"row_ids": []}', "recipe.format: expected 1"),
    ],
)
def test_damaged_seed_rows_are_refused(tmp_path, content, message):
    (tmp_path / "seed_rows.json").write_text(content)
    with pytest.raises(SelectionError, match=message):
        load_seed_rows(mixed_pool(5), tmp_path)


@pytest.mark.parametrize("architecture", ["llava", "idefics3", "qwen2_5_vl", "gemma3"])
def test_frozen_vision_keeps_its_weights(architecture, tiny, tmp_path):
    model = tiny(architecture)
    train_seed_model(mixed_pool(4), model.folder, 4, config(tmp_path), processing_class=model.processor)
    before, after = map(AutoModelForImageTextToText.from_pretrained, (model.folder, tmp_path))
    inside = _changed(*(each.get_encoder(modality="image") for each in (before, after)))
    assert {name.partition(".")[0] for name in inside} <= {"merger"}
    assert any(
        "merger" in name or "project" in name or "connector" in name for name in _changed(before, after)
    )


def test_frozen_vision_keeps_its_adapter(tiny, tmp_path):
    lora = LoraConfig(target_modules="all-linear", init_lora_weights=False)
    train_seed_model(mixed_pool(4), tiny("llava").folder, 4, config(tmp_path), peft_config=lora)
    trained = load_file(tmp_path / "adapter_model.safetensors")
    moved = load_file(tmp_path / "checkpoint-3" / "adapter_model.safetensors")
    changed = {name for name in trained if not torch.equal(trained[name], moved[name])}
    assert changed
    assert not any("vision_tower" in name for name in changed)
    assert any("vision_tower" in name for name in trained)


def test_frozen_vision_trains_adapters_alone():
    model, _ = ARCHITECTURES["qwen2_5_vl"]()
    model = get_peft_model(model, LoraConfig(target_modules="all-linear"))
    before = _trained(model)
    with frozen_vision(model):
        trained = _trained(model)
    assert _trained(model) == before
    assert all("lora" in name for name in trained)
    assert {"merger" in name for name in trained if "visual" in name} == {True}


def test_whole_model_can_be_trained(tiny, tmp_path):
    model = tiny("llava").folder
    train_seed_model(mixed_pool(4), model, 4, config(tmp_path), freeze_vision=False)
    before, after = map(AutoModelForImageTextToText.from_pretrained, (model, tmp_path))
    assert any("vision_tower" in name for name in _changed(before, after))
    assert "kept their weights" not in (tmp_path / "README.md").read_text()


def test_vision_is_frozen_during_training_alone(tiny, tmp_path):
    model = AutoModelForImageTextToText.from_pretrained(tiny("llava").folder)
    train_seed_model(
        mixed_pool(4), model, 4, config(tmp_path, max_steps=1), processing_class=tiny("llava").processor
    )
    assert all(weight.requires_grad for weight in model.parameters())
    assert "kept their weights: `model.vision_tower`" in (tmp_path / "README.md").read_text()


def test_text_model_has_no_vision(tmp_path, recwarn):
    pool = words("what?", "who?").remove_columns("images")
    train_seed_model(pool, save_judge(tmp_path / "text"), 2, config(tmp_path / "seed", max_steps=1))
    assert not any("vision" in str(each.message) for each in recwarn)


def test_unknown_vision_encoder_is_reported(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(PreTrainedModel, "get_encoder", lambda model, modality=None: model)
    with pytest.warns(UserWarning, match="finds none in LlavaForConditionalGeneration: the seed model is"):
        train_seed_model(mixed_pool(4), tiny("llava").folder, 4, config(tmp_path, max_steps=1))


@pytest.mark.parametrize("missing", ["none", "text"])
def test_other_encoders_are_not_frozen(missing, monkeypatch, tiny, tmp_path):
    """Those of Gemma 4 without vision, and of T5Gemma 2, which reads text and images."""
    model = AutoModelForImageTextToText.from_pretrained(tiny("llava").folder)
    found = None if missing == "none" else model.base_model
    monkeypatch.setattr(type(model), "get_encoder", lambda self, modality=None: found)
    model.config.vision_config = None if missing == "none" else model.config.vision_config
    with (pytest.warns if missing == "text" else nullcontext)(UserWarning), frozen_vision(model):
        assert all(weight.requires_grad for weight in model.parameters())


def test_nothing_left_to_train_is_refused(tiny, tmp_path):
    lora = LoraConfig(target_modules=r".*vision_tower.*q_proj")
    with pytest.raises(ModelError, match="pass freeze_vision=False"):
        train_seed_model(mixed_pool(4), tiny("llava").folder, 4, config(tmp_path), peft_config=lora)


def test_seed_model_resumes_from_checkpoint(tiny, tmp_path):
    pool, model = mixed_pool(8), tiny("llava").folder
    train_seed_model(pool, model, 4, config(tmp_path, max_steps=3))
    args = config(tmp_path, max_steps=3, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    (tmp_path / "checkpoint-3" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(Exception, match="header"):
        train_seed_model(pool, model, 4, args)


def test_checkpoint_must_freeze_alike(tiny, tmp_path):
    pool, model = mixed_pool(8), tiny("llava").folder
    train_seed_model(pool, model, 4, config(tmp_path, max_steps=3), freeze_vision=False)
    args = config(tmp_path, max_steps=4, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    with pytest.raises(ModelError, match="with the freeze_vision that it was made with"):
        train_seed_model(pool, model, 4, args)


def _changed(before, after):
    """Names of the weights that differ."""
    other = after.state_dict()
    return [name for name, weight in before.state_dict().items() if not torch.equal(weight, other[name])]


def _trained(model):
    """Names of the weights that are trained."""
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


def _encoded(pool):
    return pool.with_format("arrow")[:].to_pylist()
