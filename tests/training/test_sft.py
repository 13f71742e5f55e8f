"""SelectionSFTTrainer trains, resumes and writes its card in every architecture, in one process or two."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import FullyShardedDataParallelPlugin
from huggingface_hub import ModelCard
from peft import LoraConfig
from pools import mixed_pool, one_picture_pool
from safetensors.torch import load_file
from tiny import ARCHITECTURES
from trainings import LANGUAGE_MODEL, config
from transformers import AutoModelForImageTextToText
from trl import get_peft_config

from hf_vitselect import select_diverse
from hf_vitselect.cli.parse import parse_section, read_config
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


def test_unnamed_models_have_no_seed_rows(tiny, selection, tmp_path, monkeypatch):
    llava = tiny("llava")
    model = AutoModelForImageTextToText.from_pretrained(llava.folder)
    model.config.name_or_path = ""
    trainer = SelectionSFTTrainer(
        model, selection=selection, args=config(tmp_path), processing_class=llava.folder
    )
    (tmp_path / "seed_rows.json").write_text("of another model")
    monkeypatch.chdir(tmp_path)
    trainer.create_model_card()
    assert "Base model" not in (tmp_path / "README.md").read_text()


TRAIN = """
import sys
import torch
from peft import LoraConfig
from trainings import LANGUAGE_MODEL, sgd
from hf_vitselect import Selection
from hf_vitselect.training import SelectionSFTTrainer
torch.set_num_threads(1)
model, selection, out, how, batch = sys.argv[1:]
args = sgd(out, max_steps=2, per_device_train_batch_size=int(batch), learning_rate=0.1)
peft_config = LoraConfig(r=2, target_modules=LANGUAGE_MODEL) if how == "lora" else None
rows = Selection.load_from_disk(selection)
trainer = SelectionSFTTrainer(model, selection=rows, args=args, peft_config=peft_config)
trainer.train()
trainer.save_model()
trainer.save_state()
"""


def launched(tmp_path, processes, *arguments):
    """Run the script in processes that gloo joins, and return its weights and losses."""
    out = tmp_path / f"{processes}"
    run = (
        f"torch.distributed.run --nproc-per-node={processes} --rdzv-backend=c10d --rdzv-endpoint=localhost:0"
    )
    (tmp_path / "train.py").write_text(TRAIN)
    model, how = arguments
    done = subprocess.run(
        [
            *(sys.executable, "-m", *run.split(), tmp_path / "train.py"),
            *(model, tmp_path / "selection", out, how, str(4 // processes)),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    weights = load_file(out / ("adapter_model.safetensors" if how == "lora" else "model.safetensors"))
    return weights, [entry["loss"] for entry in history if "loss" in entry]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "lora"])
def test_two_processes_take_the_same_steps(how, tiny, tmp_path):
    # Answers of different lengths, images in some rows only: a mean over processes would be another loss.
    select_diverse(mixed_pool(8), 8, rule=Random()).save_to_disk(tmp_path / "selection")
    model = tiny("llava").folder
    (one, losses), (two, same) = (launched(tmp_path, count, model, how) for count in (1, 2))
    start = load_file(Path(model, "model.safetensors")) if how == "full" else {}
    assert how == "lora" or any(not torch.equal(weights, start[key]) for key, weights in one.items())
    assert same == pytest.approx(losses, abs=1e-4)
    assert one.keys() == two.keys()
    for key, weights in one.items():
        torch.testing.assert_close(two[key], weights, atol=1e-5, rtol=0)


CONFIGS = Path(__file__).parents[2] / "examples" / "configs" / "training"


@pytest.mark.parametrize(("name", "kind"), [("fsdp", "FSDP"), ("deepspeed_zero3", "DEEPSPEED")])
def test_launch_configs_are_accelerate_s(name, kind):
    launch = load_config_from_file(str(CONFIGS / f"{name}.yaml"))  # refuses a key that it does not know
    assert launch.distributed_type == kind
    if kind == "FSDP":
        given = {key.removeprefix("fsdp_"): value for key, value in launch.fsdp_config.items()}
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=given.pop("version"), cpu_offload=given.pop("offload_params"), **given
        )
        assert plugin.fsdp_version == 2
        assert plugin.reshard_after_forward is True
    else:
        assert launch.deepspeed_config["zero_stage"] == 3


def test_qlora_config_adapts_the_language_model():
    here = {"selection": "s", "output_dir": "o", "use_cpu": True, "bf16": False}
    flags = parse_section("train", read_config(str(CONFIGS / "qlora.yaml")) | here)
    assert flags.model.load_in_4bit
    assert flags.model.bnb_4bit_quant_type == "nf4"
    pattern = get_peft_config(flags.model).target_modules
    assert re.fullmatch(pattern, "model.language_model.layers.0.mlp.up_proj")
    assert not re.fullmatch(pattern, "model.vision_tower.layers.0.self_attn.q_proj")
