"""The whole way of docs/guides/export.md: LLaVA's JSON and its images, to a pushed subset and a model."""

import json
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, run_client
from pools import encode, stripes
from tiny import ARCHITECTURES, save

pytestmark = pytest.mark.slow
ROWS, MISSING = 1000, 13
COLORS = ["red", "green", "blue", "a brown cat on a green mat"]


def write_pool(folder: Path) -> None:
    """LLaVA's mix: images in subfolders, text-only rows, one to three answers, some files missing."""
    rows: list[dict[str, Any]] = []
    for i in range(ROWS):
        question = f"What color is thing {i}?"
        row: dict[str, Any] = {"id": f"{i:012d}"}
        if i % 20 != 7:
            row["image"] = f"{('coco/train2017', 'gqa/images', 'textvqa')[i % 3]}/{i:012d}.jpg"
            file = folder / "images" / row["image"]
            file.parent.mkdir(parents=True, exist_ok=True)
            if i % 80 != 9:
                file.write_bytes(encode(stripes(seed=i), "JPEG"))
            question = f"<image>\n{question}" if i % 2 else f"{question}\n<image>"
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": COLORS[i % 4]}]
        for k in range(i % 3):
            turns += [{"from": "human", "value": f"And thing {k}?"}, {"from": "gpt", "value": COLORS[k]}]
        rows.append({**row, "conversations": turns})
    (folder / "llava.json").write_text(json.dumps(rows))


def run_chain() -> dict[str, Any]:
    import json
    import os
    from pathlib import Path

    import torch
    import yaml
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    from hf_vitselect import Selection, apply_selection, load_pool
    from hf_vitselect.cli.main import main

    torch.set_num_threads(1)
    home = Path(os.environ["HF_HOME"])
    os.chdir(home)
    cpu = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"}
    training = {**cpu, "max_steps": 4, "per_device_train_batch_size": 8}
    pool = {"dataset_name": "llava.json", "image_root": "images"}
    config = {
        "seed": {**pool, "model_name_or_path": "base", "budget": 0.05, **training},
        "score": {"batch_size": 64, "budget": "all"},
        "select": {"budget": 0.1, "id_column": "id"},
        "push": {"repo_id": "tester/llava-10pct"},
        "train": {"model_name_or_path": "base", **training},
    }
    Path("run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    status = main(["run", "--config", "run.yaml", "--output_dir", "run"])
    exported = main(["export", "run/select", "--to", "llava", "--output_dir", "subset"])
    selection = Selection.load_from_disk("run/select")
    subset = load_dataset("tester/llava-10pct", split="train")
    args = SFTConfig("plain", max_steps=2, max_length=None, logging_steps=1, **cpu)
    trainer = SFTTrainer("base", train_dataset=subset, args=args)
    trainer.train()
    applied = apply_selection(load_pool("llava.json", image_root="images"), "tester/llava-10pct")
    return {
        "status": [status, exported],
        "dropped": selection.recipe.dropped,
        "picked": selection.scores["id"][selection.indices],
        "published": [subset.column_names, subset["id"][:]],
        "applied": applied.scores["id"][applied.indices],
        "exported": [row["id"] for row in json.loads(Path("subset/subset.json").read_text())],
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "model": sorted(path.name for path in Path("run/train").glob("*.safetensors")),
    }


@pytest.fixture(scope="module")
def saw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    write_pool(home)
    save(ARCHITECTURES["llava"], home / "base")
    with HubServer(home / "hub") as hub:
        seen = run_client(run_chain, hub.url, home, timeout=1200)
        files = hub.commit("datasets", "tester/llava-10pct")["files"]
        seen["files"] = {path: hub.read(file) for path, file in files.items()}
        seen["home"] = str(home)
    return seen


def test_every_command_succeeds(saw: dict[str, Any]) -> None:
    assert saw["status"] == [0, 0]
    assert saw["model"] == ["model.safetensors"]


def test_missing_files_are_counted(saw: dict[str, Any]) -> None:
    assert saw["dropped"] == {"image_missing": MISSING}


def test_published_rows_are_the_picks(saw: dict[str, Any]) -> None:
    columns, ids = saw["published"]
    assert columns[:2] == ["messages", "images"]
    assert {"id", "necessity", "necessity_status"} <= {*columns}
    assert len(ids) == ROWS // 10
    assert ids == saw["picked"] == saw["applied"] == saw["exported"]


def test_plain_trl_trains_on_it(saw: dict[str, Any]) -> None:
    assert len(saw["losses"]) == 2
    assert all(0 < loss < 100 for loss in saw["losses"])


def test_no_local_folder_is_published(saw: dict[str, Any]) -> None:
    assert not [path for path, data in saw["files"].items() if saw["home"].encode() in data]
