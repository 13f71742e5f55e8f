"""Publishes selections on the Hub, and rebuilds a subset from what was published."""

from hf_vitselect.hub.apply import apply_selection
from hf_vitselect.hub.push import check_target, push_to_hub

__all__ = ["apply_selection", "check_target", "push_to_hub"]
