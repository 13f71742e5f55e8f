"""From scored rows to a chosen subset and the recipe that rebuilds it."""

from hf_vitselect.selection.selection import Selection, select_diverse

__all__ = ["Selection", "select_diverse"]
