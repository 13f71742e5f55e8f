"""From scored rows to a chosen subset and the recipe that rebuilds it."""

from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

__all__ = ["Recipe", "Selection", "select_diverse"]
