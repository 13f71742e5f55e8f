"""The examples run from a pool to a fine-tuned model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pools import assistant, mixed_pool, pool, user
from tiny_embedders import save_clip, save_sentence_transformer

from hf_vitselect import Selection

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "per_device_train_batch_size": 4,
    "max_steps": 2,
}


def run_example(name, model, folder, *flags, **options):
    """Runs the script on 12 rows with half of them as the budget; its output lies in the folder `out`."""
    rows = mixed_pool(12).add_column("judge", [float(i % 5) for i in range(12)])
    rows.save_to_disk(folder / "pool")
    given = {
        "dataset_name": folder / "pool",
        "model_name_or_path": model,
        "output_dir": folder / "out",
        "budget": 0.5,
        **TRAINING,
        **options,
    }
    flags = [*(word for name, value in given.items() for word in (f"--{name}", str(value))), *flags]
    command = [sys.executable, EXAMPLES / name, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "out"


@pytest.mark.parametrize("columns", [["embedding"], ["clip_score", "judge"]], ids=["embedding", "scores"])
def test_self_filter(columns, tiny, tmp_path):
    clip = save_clip(tmp_path / "clip")
    model = tiny("llava").folder
    out = run_example("self_filter.py", model, tmp_path, "--columns", *columns, clip_name_or_path=clip)
    selection = Selection.load_from_disk(out / "selection")
    assert len(selection.dataset) == 6
    assert [scorer.column for scorer in selection.recipe.scorers] == [
        "embedding",
        "clip_score",
        "score_net",
    ]
    assert (out / "model" / "model.safetensors").exists()


def test_mllm_selector(tiny, tmp_path):
    model = tiny("llava").folder
    out = run_example("mllm_selector.py", model, tmp_path, seed_budget=0.25, rounds=2)
    first, second = (Selection.load_from_disk(out / f"selection_{turn}") for turn in (1, 2))
    assert (len(first), len(second)) == (3, 6)
    assert second.row_ids[:3] == first.row_ids
    assert second.recipe.excluded.rows == 3
    seed_ids = json.loads((out / "seed" / "seed_rows.json").read_text())["row_ids"]
    assert not {*seed_ids} & {*second.row_ids}
    assert (out / "model_2" / "model.safetensors").exists()


def test_text_only(tiny, tmp_path):
    turns = [([user(f"what is {i}?"), assistant(f"the number {i}")], []) for i in range(12)]
    pool(turns).add_column("source", ["a", "b"] * 6).save_to_disk(tmp_path / "pool")
    pool(turns[:2]).save_to_disk(tmp_path / "held_out")
    flags = {
        "dataset_name": tmp_path / "pool",
        "evaluation": tmp_path / "held_out",
        "model_name_or_path": tiny("llava").folder,
        "text_name_or_path": save_sentence_transformer(tmp_path / "text"),
        "output_dir": tmp_path / "out",
        "budget": 0.5,
        "near": 1.1,  # for a random encoder all texts are alike
    }
    command = [sys.executable, EXAMPLES / "text_only.py"]
    command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    selection = Selection.load_from_disk(tmp_path / "out" / "selection")
    assert len(selection) == 6
    assert selection.recipe.excluded.rows == 2
    assert not {0, 1} & set(selection.indices.tolist())


def test_examples_are_short():
    for name in ("self_filter.py", "mllm_selector.py", "text_only.py"):
        assert len((EXAMPLES / name).read_text().splitlines()) < 60
