"""SelectionSFTTrainer trains, resumes and writes its card, in every architecture."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig
from pools import one_picture_pool
from tiny import ARCHITECTURES
from trainings import LANGUAGE_MODEL, config

from hf_vitselect import select_diverse
from hf_vitselect.errors import RowError
from hf_vitselect.rules import Random
from hf_vitselect.selection.recipe import Published
from hf_vitselect.training import SelectionSFTTrainer


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
def test_training_lowers_loss_and_resumes(name, lora, tiny, selection, tmp_path):
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


def test_best_model_is_loaded_last(tiny, selection, tmp_path):
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


def test_eval_sets_are_reported_separately(tiny, selection, tmp_path):
    trainer = SelectionSFTTrainer(
        tiny("llava").folder,
        selection=selection,
        args=config(tmp_path),
        eval_dataset={"held_out": one_picture_pool(2)},
    )
    assert "eval_held_out_loss" in trainer.evaluate()


def test_rows_over_max_length_are_refused(tiny, selection, tmp_path):
    with pytest.raises(RowError, match=r"args.max_length is 8.*max_length=None"):
        SelectionSFTTrainer(tiny("llava").folder, selection=selection, args=config(tmp_path, max_length=8))


def test_card_names_selection_and_pool(tiny, selection, tmp_path):
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
