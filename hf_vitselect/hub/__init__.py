"""Publishing of selections on the Hub, and rebuilding of published ones."""

from hf_vitselect.hub.apply import apply_selection
from hf_vitselect.hub.push import check_target, push_to_hub

__all__ = ["apply_selection", "check_target", "push_to_hub"]
