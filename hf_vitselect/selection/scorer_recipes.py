"""Which scorers made the columns that a selection was made from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets import Dataset

from hf_vitselect.data.provenance import recorded_scorers
from hf_vitselect.errors import ColumnError
from hf_vitselect.scorers.base.scorer import Scorer


def scorer_recipes(dataset: Dataset, given: list[str | Scorer]) -> list[dict[str, Any]]:
    recipes = {
        recipe["column"]: recipe
        for recipe in recorded_scorers(dataset)
        if recipe["column"] in dataset.column_names
    }
    for item in given:
        if isinstance(item, Scorer):
            recipes[item.column] = item.recipe()
        elif item in dataset.column_names:
            # A plain map leaves no trace of its function; only score(), or the scorer as by= or over=, does.
            recipes.setdefault(item, {"column": item, "scorer": None})
    return list(recipes.values())


def refuse_other_scorers(
    columns: Iterable[str | None], ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> None:
    for column in columns:
        our, their = (_made_by(column, recipes) for recipes in (ours, theirs))
        differ = sorted(name for name in our | their if our.get(name) != their.get(name))
        if our and their and differ:
            raise ColumnError(
                f"expected new rows with {column!r} by the selection's scorer, got one with other {differ}; "
                'score the rows with the weights, settings and version that selection.recipe["scorers"] names'
            )


def _made_by(column: str | None, recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of a column's scorer, whose further columns begin with its main one's name."""
    made = [it for it in recipes if it["scorer"] and f"{column}_".startswith(f"{it['column']}_")]
    recipe = max(made, key=lambda it: len(it["column"]), default={})
    exact: dict[str, Any] = _without_places(json.loads(json.dumps(recipe)))
    return exact


def _without_places(recipe: Any) -> Any:
    """A recipe with the exact weights, but not where they lay."""
    if not isinstance(recipe, dict):
        return recipe
    places = ("model", "revision") if recipe.get("identity") or "digest" in recipe else ()
    return {name: _without_places(value) for name, value in recipe.items() if name not in places}
