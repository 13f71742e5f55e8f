"""A run that is killed ten times ends like an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub_server import HubServer, client_env
from pools import mixed_pool
from tiny_embedders import save_clip

from hf_vitselect.selection.selection import Selection

pytestmark = pytest.mark.slow

TRAINING = {
    "max_steps": 3,
    "save_steps": 1,
    "learning_rate": "5e-4",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
}
MLLM_SELECTOR = [
    "seed.json",
    "seed/checkpoint-1/model.safetensors",
    "seed/checkpoint-3/trainer_state.json",
    "seed/model.safetensors",
    "score/shards/shard-00000.parquet",
    "score/shards/shard-00002.parquet",
    "score/scored/*.arrow",
    "select/recipe.json",
    "push.json",
    "train/checkpoint-2/optimizer.pt",
]
SELF_FILTER = [
    "score.json",
    "score/shards/shard-00001.parquet",
    "score_net/checkpoint-1/model.safetensors",
    "score_net/checkpoint-2/trainer_state.json",
    "score_net/score_net/model.safetensors",
    "score_net/shards/shard-00000.parquet",
    ".select.partial/dataset",
    "select/recipe.json",
    "train.json",
    "train/model.safetensors",
]


def config_of(method: str, model: str, folder: Path) -> dict:
    pool = {"dataset_name": str(folder / "pool")}
    training = {"model_name_or_path": model, **TRAINING}
    if method == "mllm_selector":
        return {
            "seed": {**pool, "budget": 4, **training},
            "score": {"shard_size": 4, "signals": ["necessity", "image_gain"]},
            "select": {"budget": 0.5, "rule": "GroupedSampling(groups=3)", "exclude": "seed"},
            "push": {"repo_id": "tester/mllm-selector"},
            "train": training,
        }
    return {
        "score": {
            **pool,
            "clip_name_or_path": save_clip(folder / "clip"),
            "clip_score": True,
            "shard_size": 4,
        },
        "score_net": {"columns": ["embedding"], **training},
        "select": {"budget": 0.5, "rule": 'NeighborPenalty(rescale="minmax")'},
        "push": {"repo_id": "tester/self-filter"},
        "train": training,
    }


@pytest.mark.parametrize(
    ("method", "places"), [("mllm_selector", MLLM_SELECTOR), ("self_filter", SELF_FILTER)]
)
def test_ten_kills_change_nothing(method, places, tiny, tmp_path):
    mixed_pool(16).save_to_disk(tmp_path / "pool")
    config = config_of(method, tiny("llava").folder, tmp_path)
    (tmp_path / "given.json").write_text(json.dumps({"config": config, "places": places}))
    with HubServer(tmp_path / "hub") as hub:
        env = client_env(hub.url, tmp_path / "home")
        command = [
            sys.executable,
            Path(__file__).parents[1] / "killed_runs.py",
            tmp_path / "given.json",
            tmp_path,
        ]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    logs = "".join(log.read_text()[-4000:] for log in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    assert json.loads(done.stdout) == {"killed": 10, "done_again": [], "stages": sorted(config)}

    left, killed = tmp_path / "undisturbed", tmp_path / "killed"
    one, other = (Selection.load_from_disk(folder / "select") for folder in (left, killed))
    assert (left / "select/picks.npz").read_bytes() == (killed / "select/picks.npz").read_bytes()
    assert np.array_equal(one.indices, other.indices)
    assert one.scores.data.table.equals(other.scores.data.table)
    shards = sorted(path.relative_to(left) for path in left.glob("*/shards/*.parquet"))
    assert shards
    models = [path.relative_to(left) for path in left.glob("*/model.safetensors")]
    assert {path.parent.name for path in models} >= {"train"}
    for path in [*shards, *models]:
        assert (left / path).read_bytes() == (killed / path).read_bytes(), path
