"""examples/self_filter.py runs from a pool to a fine-tuned model."""

import pytest
from example_runs import run_training_script
from tiny_embedders import save_clip

from hf_vitselect import Selection

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("columns", [["embedding"], ["clip_score", "judge"]], ids=["embedding", "scores"])
def test_self_filter_trains_on_selection(columns, tiny, tmp_path):
    clip = save_clip(tmp_path / "clip")
    flags = ["--columns", *columns]
    out = run_training_script(
        "self_filter.py", tiny("llava").folder, tmp_path, *flags, clip_name_or_path=clip
    )
    selection = Selection.load_from_disk(out / "selection")
    assert len(selection.dataset) == 6
    columns = [scorer.column for scorer in selection.recipe.scorers]
    assert columns == ["embedding", "clip_score", "score_net"]
    assert (out / "model" / "model.safetensors").exists()
