"""Selections with other recipes."""

from dataclasses import replace
from typing import Any

from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.selection import Selection


def with_recipe(selection: Selection, **changes: Any) -> Selection:
    """The selection with other fields in the JSON of its recipe."""
    return replace(selection, recipe=Recipe.from_json(selection.recipe.to_json() | changes))
