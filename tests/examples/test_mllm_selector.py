"""examples/mllm_selector.py runs from a pool to a fine-tuned model, in rounds."""

import json

import pytest
from example_runs import run_training_script

from hf_vitselect import Selection

pytestmark = pytest.mark.slow


def test_mllm_selector_extends_its_selection(tiny, tmp_path):
    model = tiny("llava").folder
    out = run_training_script("mllm_selector.py", model, tmp_path, seed_budget=0.25, rounds=2)
    first, second = (Selection.load_from_disk(out / f"selection_{turn}") for turn in (1, 2))
    assert (len(first), len(second)) == (3, 6)
    assert second.row_ids[:3] == first.row_ids
    assert second.recipe.excluded.rows == 3
    seed_ids = json.loads((out / "seed" / "seed_rows.json").read_text())["row_ids"]
    assert not {*seed_ids} & {*second.row_ids}
    assert (out / "model_2" / "model.safetensors").exists()
