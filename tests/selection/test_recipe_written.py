"""What select_diverse writes into the recipe."""

import json

import pytest
from random_pool import ROWS, random_pool

from hf_vitselect import select_diverse
from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.selection.recipe import Recipe


@pytest.fixture(scope="module")
def scored():
    return random_pool(statuses=["ok"] * ROWS)


def test_recipe_records_rescaling(scored):
    raw, rescaled = (select_diverse(scored, 9, rule=NeighborPenalty(rescale=how)) for how in (None, "minmax"))
    assert (raw.recipe.rule_call.keywords["rescale"], rescaled.recipe.rule_call.keywords["rescale"]) == (
        None,
        "minmax",
    )
    assert rescaled.gains[0] == 1.0 != raw.gains[0]


def test_recipe_records_overlap_with_exact(scored):
    one, two = (select_diverse(scored, 9, rule=NeighborPenalty(approximate=True)) for _ in range(2))
    assert one.recipe == two.recipe == Recipe.from_json(json.loads(json.dumps(one.recipe.to_json())))
    assert one.recipe.rule_call.keywords["approximate"] is True
    assert one.recipe.rule_notes == {"overlap_with_exact": 1.0, "overlap_rows": ROWS, "faiss": "CPU"}


def test_recipe_is_plain_and_reproducible(scored):
    one, two = (select_diverse(scored, 0.2, rule=NeighborPenalty()) for _ in range(2))
    assert one.recipe == two.recipe == Recipe.from_json(json.loads(json.dumps(one.recipe.to_json())))
    assert one.recipe.by == "necessity"
    assert one.recipe.over == "embedding"
    assert one.recipe.versions["datasets"]
    assert 0 < one.recipe.diversity["mean_nearest_cosine"] < 1


def test_fingerprint_follows_pool_content(scored):
    recipe = select_diverse(scored, 3, rule=NeighborPenalty()).recipe
    renamed = scored.rename_column("necessity", "need").add_column("more", [0] * ROWS)
    assert (
        select_diverse(renamed, 3, by="need", rule=NeighborPenalty()).recipe.fingerprint == recipe.fingerprint
    )
    backwards = scored.select(range(ROWS - 1, -1, -1))
    assert select_diverse(backwards, 3, rule=NeighborPenalty()).recipe.fingerprint != recipe.fingerprint
