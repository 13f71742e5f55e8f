"""Recipes as JSON, and files of format 1 as the first version wrote them.

`format_1/` holds a scored pool, a saved selection of it, the rows of a seed model, and a second selection
that includes those rows, as it was pushed to the Hub with `publish="indices"`.
"""

import json
import shutil
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, load_from_disk
from hub_server import HubServer, run_client

from hf_vitselect import Selection, select_diverse
from hf_vitselect.errors import SelectionError, UsageError
from hf_vitselect.rules import NeighborPenalty, TopScore
from hf_vitselect.selection.composition import ValueCount
from hf_vitselect.selection.method import Method, read_method
from hf_vitselect.selection.recipe import Recipe, RowSet
from hf_vitselect.training import load_seed_rows

FORMAT_1 = Path(__file__).parent / "format_1"
FILES = ("selection/recipe.json", "published/recipe.json")


@pytest.fixture(scope="module")
def pool() -> Dataset:
    return load_from_disk(str(FORMAT_1 / "pool"))


@pytest.fixture(scope="module")
def selection() -> Selection:
    return Selection.load_from_disk(FORMAT_1 / "selection")


def picks(name: str) -> list[str]:
    """The row ids of a selection, as they were noted next to it."""
    return json.loads((FORMAT_1 / "picks.json").read_text())[name]


@pytest.mark.parametrize("file", FILES)
def test_old_recipes_become_format_2(file: str) -> None:
    old = json.loads((FORMAT_1 / file).read_text())
    recipe = Recipe.from_json(old)
    written = recipe.to_json()
    assert Recipe.from_json(written) == recipe
    changed = {"format", "make_up", "composition", "rule", "balance", "method", "included"}
    assert {"make_up", "rule", "balance"}.isdisjoint(written)
    kept = {name: value for name, value in old.items() if name not in changed}
    assert {name: written[name] for name in kept} == kept
    assert written["composition"] == old["make_up"]


def test_saved_selection_loads(selection: Selection, tmp_path: Path) -> None:
    assert selection.row_ids == picks("selection")
    assert len(selection.dataset) == len(selection) == 6
    selection.save_to_disk(tmp_path / "again")
    for file in ("dataset/data-00000-of-00001.arrow", "scores/data-00000-of-00001.arrow"):
        assert (tmp_path / "again" / file).read_bytes() == (FORMAT_1 / "selection" / file).read_bytes()


def test_every_field_is_read(selection: Selection) -> None:
    recipe = selection.recipe
    assert (recipe.format, recipe.rows, recipe.selected, recipe.budget, recipe.seed) == (2, 12, 6, 6, 3)
    assert recipe.source.repo_id is recipe.source.commit is recipe.source.license is None
    assert recipe.fingerprint.startswith("4ae75691712c98af")
    assert (recipe.included.rows, recipe.included.recipe, recipe.excluded.rows) == (2, None, 1)
    assert recipe.included.left_out == {"no_response": 1}
    assert recipe.excluded.left_out is None
    assert (recipe.by, recipe.over) == ("necessity", "embedding")
    assert [(scorer.scorer, scorer.column, scorer.identity.model) for scorer in recipe.scorers] == [
        ("NecessityScorer", "necessity", "seed"),
        ("TextEmbedding", "embedding", "text"),
    ]
    assert recipe.scorers[0].settings["prompt_date"] == "2024-07-26"
    assert recipe.diversity["mean_nearest_cosine"] == 0.969992
    assert recipe.composition["kind"][0] == ValueCount(value="caption", pool=5, subset=2)
    assert recipe.dropped == {"excluded": 1, "no_response": 1}
    assert recipe.dropped_reasons == {"no_response": "no assistant turn with any text"}
    rule = NeighborPenalty(gamma=0.5, rescale="minmax")
    assert read_method(recipe.method) == Method(rule=rule, kinds="kind", quota="uniform")
    assert recipe.versions["datasets"] == "5.2.0"
    assert recipe.published is recipe.end_of_turn is recipe.row_ids is None
    assert recipe.rule_notes == recipe.more == {}


def test_selecting_again_writes_the_same_recipe(pool: Dataset) -> None:
    ids = Selection.load_from_disk(FORMAT_1 / "selection").scores["row_id"][:]
    again = select_diverse(
        pool,
        6,
        rule=NeighborPenalty(gamma=0.5, rescale="minmax"),
        seed=3,
        include=[ids[2], ids[7]],
        exclude=[ids[0]],
        balance="kind",
        balance_quota="uniform",
    )
    assert again.row_ids == picks("selection")
    old = Recipe.from_json(json.loads((FORMAT_1 / "selection" / "recipe.json").read_text()))
    assert read_method(again.recipe.method) == read_method(old.method)
    assert [(share.name, share.picked) for share in again.recipe.shares] == [
        ("caption", 2),
        ("color", 2),
        ("count", 2),
    ]
    same = {"versions": {}, "method": None, "shares": ()}
    assert replace(again.recipe, **same) == replace(old, **same)


def test_second_round_includes_seed_rows(pool: Dataset, tmp_path: Path) -> None:
    shutil.copy(FORMAT_1 / "seed_rows.json", tmp_path)
    seed = load_seed_rows(pool, tmp_path)
    text = (FORMAT_1 / "published" / "recipe.json").read_text()
    recipe = Recipe.from_json(json.loads(text))
    assert recipe.included.recipe == seed.recipe
    assert (seed.recipe.row_ids, seed.recipe.end_of_turn) == ("seed_rows.json", "template")
    excluded = [row for row in pool_ids(pool) if row not in seed.row_ids][:1]
    again = select_diverse(pool, 0.6, include=seed, exclude=excluded, rule=TopScore())
    assert again.row_ids == picks("second")
    assert read_method(again.recipe.method) == read_method(recipe.method)
    same = {"versions": {}, "method": None}
    assert replace(again.recipe, **same) == replace(recipe, **same)


def pool_ids(pool: Dataset) -> list[str]:
    return select_diverse(pool, 1, rule=TopScore()).scores["row_id"][:]


def apply_published() -> dict[str, Any]:
    import os
    from pathlib import Path

    from datasets import load_from_disk
    from huggingface_hub import HfApi

    from hf_vitselect import apply_selection

    folder, api = Path(os.environ["HF_HOME"]) / "format_1", HfApi()
    api.create_repo("tester/second", repo_type="dataset")
    api.upload_folder(repo_id="tester/second", repo_type="dataset", folder_path=folder / "published")
    pool = load_from_disk(str(folder / "pool"))
    applied = apply_selection(pool.select(range(11, -1, -1)), "tester/second")
    return {"row_ids": applied.row_ids, "recipe": applied.recipe.to_json(), "gains": applied.gains.tolist()}


def test_published_selection_is_applied(hub: HubServer, tmp_path: Path) -> None:
    shutil.copytree(FORMAT_1, tmp_path / "format_1")
    applied = run_client(apply_published, hub.url, tmp_path)
    assert applied["row_ids"] == picks("second")
    assert applied["recipe"].pop("published")["repo_id"] == "tester/second"
    published = json.loads((FORMAT_1 / "published" / "recipe.json").read_text())
    assert applied["recipe"] == Recipe.from_json(published).to_json()
    assert np.isfinite(applied["gains"]).all()


def test_unknown_fields_are_kept(selection: Selection) -> None:
    written = selection.recipe.to_json() | {"rounds": [{"a": 1}]}
    written["source"]["mirror"] = "elsewhere"
    recipe = Recipe.from_json(written)
    assert recipe.more == {"rounds": [{"a": 1}]}
    assert recipe.to_json() == written


def test_optional_fields_may_be_missing(selection: Selection) -> None:
    needed = ("format", "source", "fingerprint", "rows", "selected", "scorers", "versions")
    written = selection.recipe.to_json()
    recipe = Recipe.from_json({name: written[name] for name in needed})
    assert recipe.method is recipe.by is recipe.seed is recipe.included is None
    assert recipe.dropped == recipe.diversity == recipe.composition == {}
    for name in needed:
        with pytest.raises(SelectionError, match=f"recipe.{name}: expected .*, got None"):
            Recipe.from_json({key: value for key, value in written.items() if key != name})


@pytest.mark.parametrize("value", [None, [], "recipe", 3, {}], ids=repr)
def test_other_json_is_refused(value: Any) -> None:
    with pytest.raises(SelectionError, match=r"recipe\.format: expected 1 or 2, got"):
        Recipe.from_json(value)


def test_a_recipe_is_frozen(selection: Selection) -> None:
    with pytest.raises(FrozenInstanceError):
        selection.recipe.rows = 3
    assert not hasattr(selection.recipe, "get")
    assert not hasattr(selection.recipe, "__getitem__")


def test_own_rule_is_only_named() -> None:
    written = {**json.loads((FORMAT_1 / FILES[0]).read_text()), "rule": {"rule": "Mine", "strength": [1, 2]}}
    recipe = Recipe.from_json(written)
    assert (recipe.rule_call.name, recipe.rule_call.keywords) == ("Mine", {"strength": [1, 2]})
    with pytest.raises(UsageError, match=r"expected one of .*got 'Mine'"):
        read_method(recipe.method)


def test_texts_of_rows_are_removed(selection: Selection) -> None:
    share = {"name": "secret", "rows": 9, "left": 8, "picked": 6, "score": 1.5, "weight": 2.0}
    kinds = {"form": "nearest", "kinds": [{"question": "secret", "examples": ["Secret?"]}]}
    kinds["kinds"].append({"question": "(others)"})
    texts = {
        "kinds": kinds,
        "shares": [share],
        "filters": [{"filter": "LossTail()", "thresholds": {"cut": 0.9, "cells": [["secret", "no", 1]]}}],
        "dropped_reasons": {"bad_row": "secret"},
        "of another version": "secret",
    }
    recipe = Recipe.from_json(selection.recipe.to_json() | texts)
    bare = replace(recipe, included=RowSet(rows=1, digest="d", recipe=recipe)).without_texts()
    assert "secret" not in json.dumps(bare.to_json()).lower()
    assert bare.filters[0].thresholds == {"cut": 0.9}
    assert bare.shares[0].to_json() == share | {"name": "kind 1"}
    assert Recipe.from_json(bare.to_json()) == bare
    assert bare.texts_removed
    assert bare.without_texts() == bare


def test_counted_values_keep_their_names(pool: Dataset) -> None:
    recipe = select_diverse(pool, 4, method=Method(kinds="kind")).recipe
    assert recipe.without_texts().shares == recipe.shares
    assert [count.value for count in recipe.composition["kind"]]
