"""Nothing that comes from elsewhere is run: no pickles, no remote code, no unchecked selections."""

import ast
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pools import mixed_pool
from tiny_embedders import save_clip, save_sentence_transformer

import hf_vitselect
from hf_vitselect import ClipEmbedding, ScoreNet, TextEmbedding
from hf_vitselect.errors import SelectionError
from hf_vitselect.models.vlm import VLM
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

PACKAGE = Path(hf_vitselect.__file__).parent
BANNED = {"eval", "exec", "pickle", "cPickle", "dill", "joblib", "marshal", "shelve"}


def names(tree: ast.AST) -> set[str]:
    """Every name that a file calls or imports, with the module before a dot."""
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            used.add(ast.unparse(node.func))
        elif isinstance(node, ast.Import):
            used |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add(str(node.module).partition(".")[0])
    return used


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_unpickles_or_trusts_code(path: Path) -> None:
    tree = ast.parse(path.read_text())
    # A run's own processes hand scorers to each other through pipes, and no file or network stands between.
    banned = BANNED - {"pickle"} if path.parent.name == "scoring" else BANNED
    assert not names(tree) & {*banned, "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            assert not (isinstance(node.value, ast.Constant) and node.value.value)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def save_score_net(folder: Path) -> str:
    ScoreNet(["embedding"], width=4).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("save", "load"),
    [
        pytest.param(save_clip, lambda folder: ClipEmbedding(folder).loaded, id="clip"),
        pytest.param(save_sentence_transformer, lambda folder: TextEmbedding(folder).loaded, id="text"),
        pytest.param(save_score_net, ScoreNet.from_pretrained, id="score-net"),
    ],
)
def test_pickled_weights_are_not_loaded(
    save: Callable[[Path], str], load: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = save(tmp_path / "model")
    load(folder)
    for weights in Path(folder).rglob("*.safetensors"):
        weights.with_name("pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
        weights.unlink()
    with pytest.raises(Exception, match="safetensors"):
        load(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_pickled_vlm_is_not_loaded(tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny("llava").folder, folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(Exception, match="safetensors"):
        VLM.load(str(folder))
    assert not (tmp_path / "exploded").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "selection"
    pool = mixed_pool(8).add_column("necessity", [float(i) for i in range(8)])
    pool = pool.add_column("kind", list("abababab"))
    select_diverse(pool, 3, rule=TopScore()).save_to_disk(folder)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 3}, "recipe.format: expected 1 or 2, got 3"),
        ({"selected": 4}, "4 picks and gains"),
        ({"rows": "8"}, "recipe.rows: expected a whole number, got '8'"),
        ({"rows": 9}, "scores: expected 9 rows, got 8"),
        ({"fingerprint": "0" * 64}, "row ids with the digest 0000"),
        ({"by": ["necessity"]}, "recipe.by: expected a text, got"),
        ({"source": {"repo_id": 1}}, "recipe.source.repo_id: expected a text, got 1"),
        (
            {"scorers": [{"column": "a", "scorer": {}}]},
            r"recipe.scorers\[0\].scorer: expected a text, got {}",
        ),
        (
            {"scorers": [{"column": "a", "identity": {"digest": "d"}}]},
            r"identity.model: expected a text, got None",
        ),
        (
            {"composition": {"kind": [{"value": "a", "pool": 1.5, "subset": 1}]}},
            r"kind\[0\].pool: expected a whole",
        ),
        ({"format": 1, "rule": {"rule": 3}}, "recipe.rule: expected a text, got 3"),
        ({"method": "import os"}, "recipe.method: expected a method with its rule"),
        ({"filters": [{"filter": "A()", "dropped": "1"}]}, r"filters\[0\].dropped: expected a whole number"),
        ({"kinds": {"form": "template", "kinds": [{"question": "a"}]}}, "last kind is '.others.'"),
        ({"shares": [{"name": "a"}]}, r"shares\[0\].rows: expected a whole number, got None"),
        ({"included": {"rows": "4"}}, "recipe.included.rows: expected a whole number, got '4'"),
        (
            {"excluded": {"rows": 4, "digest": "", "recipe": {"format": 1}}},
            "recipe.excluded.recipe.source: expected an object, got None",
        ),
        ({"format": 1, "rule": {"rule": "Random"}, "balance": {"column": "kind"}}, "balance.quota: expected"),
        ({"seed": True}, "recipe.seed: expected a whole number, got True"),
        (
            {"diversity": {"coverage_radius": "0"}},
            "recipe.diversity.coverage_radius: expected a number, got '0'",
        ),
        ({"versions": {"numpy": 2}}, "recipe.versions.numpy: expected a text, got 2"),
        ({"selected": 9}, "recipe.selected: expected 0 to 8, got 9"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_recipe_is_refused(change: dict[str, Any], words: str, saved: Path, tmp_path: Path) -> None:
    Selection.load_from_disk(saved).save_to_disk(tmp_path / "copy")
    recipe = tmp_path / "copy" / "recipe.json"
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | change))
    with pytest.raises(SelectionError, match=words):
        Selection.load_from_disk(tmp_path / "copy")


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ([7, 6, 8], "distinct rows of a pool of 8"),
        ([7, 6, 6], "distinct rows of a pool of 8"),
        ([7, 5, 6], "scores.rank: expected the picked rows in pick order"),
        ([7.0, 6.0, 5.0], "whole numbers"),
    ],
)
def test_mismatched_picks_are_refused(indices: list[Any], words: str, saved: Path, tmp_path: Path) -> None:
    selection = Selection.load_from_disk(saved)
    changed = Selection(
        selection.dataset, np.array(indices), selection.gains, selection.scores, selection.recipe
    )
    changed.save_to_disk(tmp_path / "copy")
    with pytest.raises(SelectionError, match=words):
        Selection.load_from_disk(tmp_path / "copy")


@pytest.mark.parametrize(
    ("ids", "words"),
    [(["x"] * 8, "row ids such as"), ([f"{0:064x}-0"] * 8, "distinct row ids")],
    ids=["text", "twice"],
)
def test_invalid_row_ids_are_refused(ids: list[str], words: str, saved: Path, tmp_path: Path) -> None:
    selection = Selection.load_from_disk(saved)
    scores = selection.scores.remove_columns("row_id").add_column("row_id", ids)
    changed = Selection(selection.dataset, selection.indices, selection.gains, scores, selection.recipe)
    changed.save_to_disk(tmp_path / "copy")
    with pytest.raises(SelectionError, match=words):
        Selection.load_from_disk(tmp_path / "copy")
