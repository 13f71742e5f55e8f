"""Selection: its scores, and the way to disk and back."""

import shutil
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from pools import mixed_pool, raw_images
from random_pool import ROWS, random_pool

from hf_vitselect import Selection, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import SelectionError
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


def change_picks(**changes):
    def change(file):
        with np.load(file) as picks:
            arrays = {**picks, **changes}
        np.savez(file, **{name: array for name, array in arrays.items() if array is not None})

    return change


DAMAGE = {
    "no JSON": ("recipe.json", lambda file: file.write_text("{"), "recipe.json: expected JSON"),
    "no text": ("recipe.json", lambda file: file.write_bytes(b"\xff\x00"), "recipe.json: expected JSON"),
    "empty recipe": ("recipe.json", lambda file: file.write_text(""), "recipe.json: expected JSON"),
    "deep JSON": ("recipe.json", lambda file: file.write_text("[" * 10**5), "too many to read"),
    "deep field": (
        "recipe.json",
        lambda file: file.write_text(
            file.read_text().rstrip()[:-1] + ', "x": ' + "[" * 600 + "]" * 600 + "}"
        ),
        "^recipe: expected a few levels of values, got too many to read",
    ),
    "list as recipe": ("recipe.json", lambda file: file.write_text("[]"), "recipe.format: expected 1"),
    "truncated picks": (
        "picks.npz",
        lambda file: file.write_bytes(file.read_bytes()[:100]),
        "picks.npz: expected a part of a selection, got BadZipFile",
    ),
    "empty picks": ("picks.npz", lambda file: file.write_bytes(b""), "picks.npz: expected"),
    "array as picks": (
        "picks.npz",
        lambda file: np.save(file.open("wb"), np.arange(3)),
        "picks.npz: expected a part of a selection, got TypeError",
    ),
    "text as picks": ("picks.npz", lambda file: file.write_text("picks"), "picks.npz: expected"),
    "pickle in picks": ("picks.npz", change_picks(gains=np.array([{}] * 4)), "picks.npz: expected"),
    "no gains": ("picks.npz", change_picks(gains=None), "picks.npz: expected .*gains"),
    "other gains": ("picks.npz", change_picks(gains=np.zeros(3)), "picks: expected 4 picks and gains"),
    "folders of rows": ("dataset", shutil.rmtree, "dataset: expected a part of a selection"),
    "truncated rows": (
        "scores",
        lambda folder: [file.write_bytes(b"ARROW1") for file in folder.glob("*.arrow")],
        "scores: expected a part of a selection, got Arrow",
    ),
    "rows of others": (
        "scores",
        lambda folder: (
            shutil.rmtree(folder) or DatasetDict(a=Dataset.from_dict({"x": [1]})).save_to_disk(str(folder))
        ),
        "scores: expected a part of a selection, got TypeError: expected one data set",
    ),
}


@pytest.mark.parametrize(("part", "damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_selection_names_the_part(scored, tmp_path, part, damage, message):
    select_diverse(scored, 4, rule=TopScore()).save_to_disk(tmp_path / "selection")
    damage(tmp_path / "selection" / part)
    with pytest.raises(SelectionError, match=message):
        Selection.load_from_disk(tmp_path / "selection")


@pytest.mark.parametrize("part", ["recipe.json", "picks.npz"])
def test_folder_without_part_fails(scored, tmp_path, part):
    select_diverse(scored, 4, rule=TopScore()).save_to_disk(tmp_path)
    (tmp_path / part).unlink()
    with pytest.raises(FileNotFoundError, match=r"expected a folder that Selection\.save_to_disk wrote"):
        Selection.load_from_disk(tmp_path)


def test_selection_is_frozen(scored):
    with pytest.raises(FrozenInstanceError):
        select_diverse(scored, 1, rule=NeighborPenalty()).recipe = {}
