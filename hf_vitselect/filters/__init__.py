"""Reasons to leave rows of a pool out: arrays and conversations in, dropped rows with a reason each out.

A filter that is imported and listed here is also one of the command line, by its name.
"""

from hf_vitselect.filters.base import Drops, Filter, NothingToGoByError, Rows
from hf_vitselect.filters.contamination import Contamination
from hf_vitselect.filters.loss_tail import LossTail
from hf_vitselect.filters.near_duplicates import NearDuplicates
from hf_vitselect.filters.prefers_other_answer import PrefersOtherAnswer
from hf_vitselect.filters.unused_image import UnusedImage

__all__ = [
    "Contamination",
    "Drops",
    "Filter",
    "LossTail",
    "NearDuplicates",
    "NothingToGoByError",
    "PrefersOtherAnswer",
    "Rows",
    "UnusedImage",
]

_NOT_FILTERS = {"Drops", "Filter", "NothingToGoByError", "Rows"}

FILTERS: dict[str, type[Filter]] = {name: globals()[name] for name in __all__ if name not in _NOT_FILTERS}
"""Every filter by its name."""
