"""Selections: chosen subsets of scored pools, with the recipes that rebuild them."""

from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

__all__ = ["Recipe", "Selection", "select_diverse"]
