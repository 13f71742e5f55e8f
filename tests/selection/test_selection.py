"""Selection: its scores, and the way to disk and back."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from pools import mixed_pool, raw_images
from random_pool import ROWS, random_pool

from hf_vitselect import Selection, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.rules import NeighborPenalty, TopScore


@pytest.fixture(scope="module")
def scored():
    return random_pool(statuses=["ok"] * ROWS)


def test_scores_hold_rows_without_media(scored):
    selection = select_diverse(scored, 4, rule=NeighborPenalty())
    names = ["row_id", "necessity", "necessity_status", "answer_characters", "selected", "rank"]
    assert selection.scores.column_names == names
    assert selection.scores["row_id"][:] == row_ids(scored)
    assert selection.scores["necessity"][:] == scored["necessity"][:]
    ranked = {i: rank for i, rank in enumerate(selection.scores["rank"]) if rank is not None}
    assert ranked == {index: rank for rank, index in enumerate(selection.indices.tolist())}
    assert selection.scores["selected"][:] == [i in ranked for i in range(ROWS)]


def test_saved_selection_loads_unchanged(tmp_path):
    dataset = mixed_pool(12).add_column("necessity", [0.1 * i for i in range(12)])
    selection = select_diverse(dataset, 5, rule=TopScore())
    selection.save_to_disk(tmp_path / "deep" / "selection")
    again = Selection.load_from_disk(tmp_path / "deep" / "selection")
    assert again.recipe == selection.recipe
    np.testing.assert_array_equal(again.indices, selection.indices)
    np.testing.assert_array_equal(again.gains, selection.gains)
    assert again.scores.features == selection.scores.features
    assert again.scores[:] == selection.scores[:]
    assert again.dataset.features == selection.dataset.features
    assert raw_images(again.dataset) == raw_images(selection.dataset)
    assert again.dataset.remove_columns("images")[:] == selection.dataset.remove_columns("images")[:]


def test_loaded_selection_overwrites_itself(scored, tmp_path):
    select_diverse(scored, 4, rule=NeighborPenalty()).save_to_disk(tmp_path / "selection")
    again = Selection.load_from_disk(tmp_path / "selection")
    again.save_to_disk(tmp_path / "selection")
    assert Selection.load_from_disk(tmp_path / "selection").dataset[:] == again.dataset[:]
    assert [path.name for path in tmp_path.iterdir()] == ["selection"]


def test_saving_keeps_other_folders(scored, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="no selection"):
        select_diverse(scored, 4, rule=NeighborPenalty()).save_to_disk(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    select_diverse(scored, 4, rule=NeighborPenalty()).save_to_disk(tmp_path / "empty")


def test_loading_other_folder_fails(tmp_path):
    with pytest.raises(FileNotFoundError):
        Selection.load_from_disk(tmp_path)


def test_selection_is_frozen(scored):
    with pytest.raises(FrozenInstanceError):
        select_diverse(scored, 1, rule=NeighborPenalty()).recipe = {}
