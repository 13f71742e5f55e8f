"""Reasons to leave a row out, one a file."""

from hf_vitselect.filters.base import Filter

FILTERS: dict[str, type[Filter]] = {}
"""Every filter by its name."""
