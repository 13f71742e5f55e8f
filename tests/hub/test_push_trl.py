"""A pushed subset trains with plain TRL, whatever layout the pool has."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Image, List, Value
from hub_server import HubServer, client_env, run_client
from huggingface_hub import DatasetCard
from pools import png
from tiny import ARCHITECTURES, save

from hf_vitselect import select_diverse
from hf_vitselect.rules import TopScore


def conversations(images: list[int]) -> Dataset:
    """Rows of LLaVA's layout with so many images each; the placeholders stand at their ends."""
    turn = {"from": Value("string"), "value": Value("string")}
    features = Features({"id": Value("string"), "conversations": List(turn), "image": List(Image())})
    features["necessity"] = Value("float32")
    rows = [
        {
            "id": f"row-{i}",
            "conversations": [
                {"from": "human", "value": f"what color is it? {i}" + "\n<image>" * count},
                {"from": "gpt", "value": "red"},
                {"from": "human", "value": "and the circle?"},
                {"from": "gpt", "value": "blue"},
            ],
            "image": [{"bytes": png(10 * i + k), "path": None} for k in range(count)],
            "necessity": float(i),
        }
        for i, count in enumerate(images)
    ]
    return Dataset.from_list(rows, features=features)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's HF_HOME, with two selections and a model."""
    folder = tmp_path_factory.mktemp("home")
    for name, images in {"mixed": [1, 0, 2, 1, 1, 1], "texts": [0] * 4}.items():
        rows = conversations(images)
        select_diverse(rows, len(rows), rule=TopScore(), id_column="id").save_to_disk(folder / name)
    save(ARCHITECTURES["llava"], folder / "model")
    return folder


def push_and_train() -> dict[str, Any]:
    import os
    from pathlib import Path

    import torch
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    from hf_vitselect import Selection, apply_selection, push_to_hub

    torch.set_num_threads(1)
    home, seen = Path(os.environ["HF_HOME"]), {}
    options = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"}
    options["logging_steps"] = 1
    for name in ("mixed", "texts"):
        selection = Selection.load_from_disk(home / name)
        push_to_hub(selection, f"tester/{name}")
        rows = load_dataset(f"tester/{name}", split="train")
        args = SFTConfig(str(home / f"{name}-model"), max_steps=3, max_length=None, **options)
        trainer = SFTTrainer(str(home / "model"), train_dataset=rows, args=args)
        trainer.train()
        scores = load_dataset(f"tester/{name}", "scores", split="train")
        pool = selection.dataset.remove_columns("id").shuffle(seed=1)
        applied = apply_selection(pool, f"tester/{name}")
        seen[name] = {
            "columns": rows.column_names,
            "first": rows[0]["messages"][0],
            "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
            "scores": scores["id"][:],
            "applied": [applied.recipe.id_column, applied.scores["id"][applied.indices]],
        }
    return seen


@pytest.fixture(scope="module")
def hub(home: Path) -> Any:
    with HubServer(home / "hub") as server:
        yield server


@pytest.fixture(scope="module")
def saw(home: Path, hub: HubServer) -> dict[str, Any]:
    return run_client(push_and_train, hub.url, home)


def test_rows_are_in_trls_layout(saw: dict[str, Any]) -> None:
    assert saw["mixed"]["columns"] == ["messages", "images", "id", "necessity"]
    assert saw["mixed"]["first"]["role"] == "user"
    assert [part["type"] for part in saw["mixed"]["first"]["content"]] == ["text", "image"]
    assert saw["texts"]["columns"] == ["messages", "id", "necessity"]
    assert saw["texts"]["first"]["content"] == "what color is it? 3"


@pytest.mark.parametrize("name", ["mixed", "texts"])
def test_plain_trainer_trains(saw: dict[str, Any], name: str) -> None:
    assert saw[name]["losses"]
    assert all(0 < loss < 100 for loss in saw[name]["losses"])


def test_own_ids_are_published(saw: dict[str, Any]) -> None:
    assert saw["mixed"]["scores"] == [f"row-{i}" for i in range(6)]
    assert saw["mixed"]["applied"] == ["id", [f"row-{i}" for i in (5, 4, 3, 2, 1, 0)]]


def test_card_shows_the_training(saw: dict[str, Any], hub: HubServer) -> None:
    files = hub.commit("datasets", "tester/mixed")["files"]
    card = DatasetCard(hub.read(files["README.md"]).decode()).text
    assert "trl sft --model_name_or_path MODEL --dataset_name tester/mixed" in card
    assert 'SFTTrainer("MODEL", train_dataset=subset' in card
    assert "Ids of the source: column `id`" in card


@pytest.mark.parametrize("name", ["mixed", "texts"])
def test_trl_command_trains(saw: dict[str, Any], hub: HubServer, home: Path, name: str) -> None:
    flags = ["--model_name_or_path", str(home / "model"), "--dataset_name", f"tester/{name}"]
    flags += ["--output_dir", str(home / f"{name}-sft"), "--max_steps", "2", "--max_length", "8192"]
    flags += ["--use_cpu", "true", "--bf16", "false", "--gradient_checkpointing", "false"]
    command = [sys.executable, "-c", "from trl.cli import main; main()", "sft", *flags, "--report_to", "none"]
    env = {**client_env(hub.url, home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (home / f"{name}-sft" / "model.safetensors").exists()
