"""SelectionSFTTrainer trains, resumes and writes its card, in every architecture."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig
from pools import mixed_pool, one_picture_pool
from tiny import ARCHITECTURES
from trainings import LANGUAGE_MODEL, config

from hf_vitselect import select_diverse
from hf_vitselect.errors import BudgetError, RowError
from hf_vitselect.rules import Random
from hf_vitselect.selection.recipe import Published, RuleCall
from hf_vitselect.training import SelectionSFTTrainer, load_seed_rows, train_seed_model
from hf_vitselect.training.response import processor_of


@pytest.fixture(scope="module")
def selection():
    return select_diverse(one_picture_pool(12), 12, rule=Random())


def trained(model, selection, args, peft_config=None, resume=None):
    trainer = SelectionSFTTrainer(
        model.folder,
        selection=selection,
        args=args,
        processing_class=model.processor,
        peft_config=peft_config,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_lowers_the_loss_and_resumes_exactly(name, lora, tiny, selection, tmp_path):
    peft_config = LoraConfig(r=4, target_modules=LANGUAGE_MODEL) if lora else None
    whole = trained(tiny(name), selection, config(tmp_path), peft_config)
    losses = [entry["loss"] for entry in whole.state.log_history if "loss" in entry]
    assert min(losses[-2:]) < losses[0]

    resumed = trained(tiny(name), selection, config(tmp_path), peft_config, tmp_path / "checkpoint-3")
    other = resumed.model.state_dict()
    assert all(torch.equal(weights, other[key]) for key, weights in whole.model.state_dict().items())


def test_lora_trains_only_the_language_model(tiny, selection, tmp_path):
    trainer = trained(
        tiny("llava"), selection, config(tmp_path), LoraConfig(r=2, target_modules=LANGUAGE_MODEL)
    )
    trainable = [name for name, weights in trainer.model.named_parameters() if weights.requires_grad]
    assert trainable
    assert all("language_model" in name and "lora" in name for name in trainable)


def test_best_model_at_the_end_is_really_loaded(tiny, selection, tmp_path):
    # Calling a high loss the best makes the first checkpoint win, whose weights are no longer in the model.
    evaluation = {"eval_strategy": "steps", "eval_steps": 3, "greater_is_better": True}
    args = config(tmp_path, load_best_model_at_end=True, **evaluation)
    trainer = SelectionSFTTrainer(
        tiny("llava").folder, selection=selection, args=args, eval_dataset=selection.dataset.select([0, 1])
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-3")
    best = type(trainer.model).from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    assert all(torch.equal(weights, best[key]) for key, weights in trainer.model.state_dict().items())


def test_several_eval_sets_are_reported_by_name(tiny, selection, tmp_path):
    trainer = SelectionSFTTrainer(
        tiny("llava").folder,
        selection=selection,
        args=config(tmp_path),
        eval_dataset={"held_out": one_picture_pool(2)},
    )
    assert "eval_held_out_loss" in trainer.evaluate()


def test_rows_over_max_length_are_refused_before_training(tiny, selection, tmp_path):
    with pytest.raises(RowError, match=r"args.max_length is 8.*max_length=None"):
        SelectionSFTTrainer(tiny("llava").folder, selection=selection, args=config(tmp_path, max_length=8))


def test_card_names_the_selection_and_its_data_set(tiny, selection, tmp_path):
    selection.amend_recipe(published=Published(repo_id="me/subset", commit="c0ffee"))
    trainer = SelectionSFTTrainer(tiny("llava").folder, selection=selection, args=config(tmp_path))
    trainer.state.log_history = [{"loss": 3.0}, {"train_loss": 1.25, "epoch": 1}]
    trainer.create_model_card(model_name="m")
    trainer.create_model_card(model_name="m")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.datasets == ["me/subset"]
    assert card.text.count("vitselect:begin") == 1
    assert "c0ffee" in card.text
    assert f"- Base model: `{Path(tiny('llava').folder).name}`" in card.text
    assert "| `train_loss` |  1.25 |" in card.text
    assert card.text.count("## Quick start") == 1
    assert 'pipeline("image-text-to-text"' in card.text
    assert "time machine" not in card.text  # of TRL's text-only example


def test_the_processor_is_of_the_models_revision(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "hf_vitselect.training.response.load_processor",
        lambda name, **options: asked.append((name, options["revision"])),
    )
    processor_of("me/model", config(tmp_path, model_init_kwargs={"revision": "c0ffee"}))
    assert asked == [("me/model", "c0ffee")]


def test_seed_model_records_its_rows_and_passes_over_broken_ones(tiny, tmp_path):
    pool = mixed_pool(10)
    broken = [{"bytes": b"", "path": None}]
    rows = [{**row, "images": broken} if i < 4 else row for i, row in enumerate(_encoded(pool))]
    pool = type(pool).from_list(rows, features=pool.features)
    drawn = train_seed_model(pool, tiny("llava").folder, 6, config(tmp_path, max_steps=1), seed=1)
    assert sorted(drawn.indices) == [4, 5, 6, 7, 8, 9]
    assert drawn.recipe.rule == RuleCall(name="Random")
    assert (tmp_path / "model.safetensors").exists()
    again = load_seed_rows(pool.select(range(9, -1, -1)), tmp_path)
    assert again.row_ids == drawn.row_ids
    assert again.recipe == drawn.recipe
    with pytest.raises(BudgetError, match="only 6 of 10"):
        train_seed_model(pool, tiny("llava").folder, 7, config(tmp_path, max_steps=1))


def test_a_seed_model_passes_over_long_rows(tiny, tmp_path):
    pool = mixed_pool(8)
    rows = _encoded(pool)
    rows[0]["messages"][0]["content"][-1]["text"] = "long " * 400
    pool = type(pool).from_list(rows, features=pool.features)
    drawn = train_seed_model(pool, tiny("llava").folder, 7, config(tmp_path, max_steps=1, max_length=200))
    assert 0 not in drawn.indices


def test_a_seed_model_s_card_names_pool_commit_and_rows(tiny, tmp_path):
    pool = mixed_pool(6)
    pool.info.description = 'hf_vitselect: {"source": {"repo_id": "lab/pool", "commit": "c0ffee"}}'
    train_seed_model(pool, tiny("llava").folder, 3, config(tmp_path, max_steps=1))
    card = " ".join((tmp_path / "README.md").read_text().split())
    assert "3 of 6 rows of [lab/pool](https://huggingface.co/datasets/lab/pool) at commit `c0ffee`" in card
    assert "picked by `Random`" in card
    assert "`seed_rows.json`" in card


@pytest.mark.parametrize("rows", [None, 5], ids=["no-record", "another-pool"])
def test_seed_rows_that_are_not_there_are_an_error(rows, tiny, tmp_path):
    if rows:
        (tmp_path / "seed_rows.json").write_text(json.dumps({"recipe": {}, "row_ids": ["a", "b"]}))
    with pytest.raises(ValueError, match="without 2 of its 2 rows" if rows else "with seed_rows.json"):
        load_seed_rows(mixed_pool(5), tmp_path)


def test_seed_model_resumes_from_the_checkpoint_of_its_arguments(tiny, tmp_path):
    pool, model = mixed_pool(8), tiny("llava").folder
    train_seed_model(pool, model, 4, config(tmp_path, max_steps=3))
    args = config(tmp_path, max_steps=3, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    (tmp_path / "checkpoint-3" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(Exception, match="header"):
        train_seed_model(pool, model, 4, args)


def _encoded(pool):
    return pool.with_format("arrow")[:].to_pylist()
