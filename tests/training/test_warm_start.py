"""Fine-tuning goes further where a seed model ended: a whole one, or an adapter."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig
from pools import mixed_pool
from safetensors.torch import load_file, save_file
from trainings import LANGUAGE_MODEL, config
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer

from hf_vitselect import NecessityScorer, select_diverse
from hf_vitselect.errors import ModelError, SelectionError
from hf_vitselect.rules import Random
from hf_vitselect.training import SelectionSFTTrainer, response_trainer, train_seed_model, warm_start

POOL = mixed_pool(8)
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module", params=[False, True], ids=["lora", "dora"])
def seed_adapter(request, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter") / "seed"
    lora = LoraConfig(target_modules=LANGUAGE_MODEL, init_lora_weights=False, use_dora=request.param)
    train_seed_model(POOL, tiny("llava").folder, 4, config(folder, max_steps=2), peft_config=lora)
    return folder


def fine_tune(model, folder, **options):
    picks = select_diverse(POOL, 8, rule=Random())
    trainer = SelectionSFTTrainer(str(model), selection=picks, args=config(folder, max_steps=2, **options))
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()
    return trainer


def test_adapter_starts_where_it_ended(seed_adapter, tiny, tmp_path):
    trainer = fine_tune(seed_adapter, tmp_path / "still", learning_rate=0.0)
    before, after = load_file(seed_adapter / ADAPTER), load_file(tmp_path / "still" / ADAPTER)
    assert before.keys() == after.keys()
    assert all(torch.equal(weights, after[name]) for name, weights in before.items())
    trained = {name for name, weights in trainer.model.named_parameters() if weights.requires_grad}
    assert trained
    assert all("lora" in name for name in trained)
    assert losses(tmp_path / "still") == losses(seed_adapter) != losses(tiny("llava").folder)


def test_adapter_is_trained_further(seed_adapter, tiny, tmp_path):
    fine_tune(seed_adapter, tmp_path)
    before, after = load_file(seed_adapter / ADAPTER), load_file(tmp_path / ADAPTER)
    assert not any(torch.equal(weights, after[name]) for name, weights in before.items())
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == tiny("llava").folder
    assert sum(losses(tmp_path)) < sum(losses(seed_adapter))


def test_card_names_the_start(seed_adapter, tmp_path):
    fine_tune(seed_adapter, tmp_path)
    card = " ".join((tmp_path / "README.md").read_text().split())
    assert (
        "its adapter `seed` was trained further, fine-tuned before on 4 random rows of the same pool" in card
    )


@pytest.mark.parametrize("change", ["missing", "unknown", "misshapen", "infinite"])
def test_damaged_adapter_is_refused(change, seed_adapter, tmp_path):
    copied = shutil.copytree(seed_adapter, tmp_path / "seed")
    weights = load_file(copied / ADAPTER)
    name = min(weights)
    if change == "missing":
        del weights[name]
    elif change == "unknown":
        weights["base_model.model.lm_head.lora_A.weight"] = torch.zeros(1)
    elif change == "misshapen":
        weights[name] = weights[name][:1].clone()
    else:
        weights[name] = weights[name] * torch.inf
    save_file(weights, copied / ADAPTER)
    message = {
        "missing": "1 weights missing",
        "unknown": "does not have",
        "misshapen": "1 weights of another shape",
        "infinite": "NaN or infinity",
    }
    with pytest.raises(ModelError, match=message[change]):
        fine_tune(copied, tmp_path / "out")


def test_second_adapter_is_refused(seed_adapter, tmp_path):
    picks = select_diverse(POOL, 4, rule=Random())
    with pytest.raises(ValueError, match="which is an adapter and is itself trained further; leave it out"):
        SelectionSFTTrainer(
            str(seed_adapter), selection=picks, args=config(tmp_path), peft_config=LoraConfig()
        )


def test_irreproducible_base_is_refused(seed_adapter, tmp_path):
    copied = shutil.copytree(seed_adapter, tmp_path / "seed")
    saved = json.loads((copied / "adapter_config.json").read_text())
    saved["init_lora_weights"] = "pissa_niter_4"
    (copied / "adapter_config.json").write_text(json.dumps(saved))
    for use in (lambda: fine_tune(copied, tmp_path / "out"), lambda: losses(copied)):
        with pytest.raises(ModelError, match=r"a base model that can be loaded again, .*'pissa_niter_4'"):
            use()


def test_adapter_names_its_base_revision(tiny, tmp_path, monkeypatch):
    """PEFT forgets it, and the adapter would be loaded on the latest revision."""
    model = AutoModelForImageTextToText.from_pretrained(tiny("llava").folder)
    processor = AutoProcessor.from_pretrained(tiny("llava").folder)
    monkeypatch.setattr(warm_start, "adapter_base", lambda *_: None)
    monkeypatch.setattr(response_trainer, "load_model", lambda *_: model)
    args = config(tmp_path, max_steps=1, model_init_kwargs={"revision": "v2"})
    lora = LoraConfig(target_modules=LANGUAGE_MODEL)
    picks = select_diverse(POOL, 4, rule=Random())
    trainer = SelectionSFTTrainer(
        "me/model", selection=picks, args=args, peft_config=lora, processing_class=processor
    )
    trainer.save_model()
    assert json.loads((tmp_path / "adapter_config.json").read_text())["revision"] == "v2"
    assert lora.revision is None


def test_layers_of_an_adapter_are_refused(seed_adapter, tmp_path):
    with pytest.raises(ValueError, match="got an adapter as the model; leave out either"):
        train_seed_model(POOL, str(seed_adapter), 4, config(tmp_path), layers=1)


def test_damaged_record_stops_before_training(seed_adapter, tmp_path, monkeypatch):
    copied = shutil.copytree(seed_adapter, tmp_path / "seed")
    (copied / "seed_rows.json").write_text("{")
    monkeypatch.setattr(Trainer, "__init__", lambda *args, **options: pytest.fail("it was started"))
    with pytest.raises(SelectionError, match=r"seed_rows\.json: expected JSON"):
        fine_tune(copied, tmp_path / "out")


def losses(model):
    scored = POOL.map(NecessityScorer(str(model)), batched=True, load_from_cache_file=False)
    return scored["necessity"][:]
