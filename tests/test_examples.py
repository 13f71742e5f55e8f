"""The examples run from a pool to a fine-tuned model."""

import subprocess
import sys
from pathlib import Path

import pytest
from pools import mixed_pool
from tiny_embedders import save_clip

from hf_vitselect import Selection

EXAMPLES = Path(__file__).parents[1] / "examples"
TRAINING = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "per_device_train_batch_size": 4,
    "max_steps": 2,
}


@pytest.mark.parametrize("columns", [["embedding"], ["clip_score", "judge"]], ids=["embedding", "scores"])
def test_self_filter(columns, tiny, tmp_path):
    pool = mixed_pool(12).add_column("judge", [float(i % 5) for i in range(12)])
    pool.save_to_disk(tmp_path / "pool")
    given = {
        "dataset_name": tmp_path / "pool",
        "model_name_or_path": tiny("llava").folder,
        "clip_name_or_path": save_clip(tmp_path / "clip"),
        "output_dir": tmp_path / "out",
        "budget": 0.5,
        **TRAINING,
    }
    flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, EXAMPLES / "self_filter.py", *flags, "--columns", *columns]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    selection = Selection.load_from_disk(tmp_path / "out" / "selection")
    assert len(selection.dataset) == 6
    assert [scorer["column"] for scorer in selection.recipe["scorers"]] == [
        "embedding",
        "clip_score",
        "score_net",
    ]
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()
