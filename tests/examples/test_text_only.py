"""examples/text_only.py selects from a pool without images."""

import pytest
from example_runs import run_script
from pools import assistant, pool, user
from tiny_embedders import save_sentence_transformer

from hf_vitselect import Selection

pytestmark = pytest.mark.slow


def test_text_only_excludes_contamination(tiny, tmp_path):
    turns = [([user(f"what is {i}?"), assistant(f"the number {i}")], []) for i in range(12)]
    pool(turns).add_column("source", ["a", "b"] * 6).save_to_disk(tmp_path / "pool")
    pool(turns[:2]).save_to_disk(tmp_path / "held_out")
    run_script(
        "text_only.py",
        dataset_name=tmp_path / "pool",
        evaluation=tmp_path / "held_out",
        model_name_or_path=tiny("llava").folder,
        text_name_or_path=save_sentence_transformer(tmp_path / "text"),
        output_dir=tmp_path / "out",
        budget=0.5,
        near=1.0,  # for a random encoder all texts are alike
    )
    selection = Selection.load_from_disk(tmp_path / "out" / "selection")
    assert len(selection) == 6
    assert selection.recipe.excluded.rows == 2
    assert not {0, 1} & set(selection.indices.tolist())
