"""The parts of `hf_vitselect.data` that scripts outside of the package import from here."""

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import Picture
from hf_vitselect.data.layouts import find_layout, read_mapping, read_table, undecoded
from hf_vitselect.data.row_ids import row_ids

__all__ = [
    "Conversation",
    "Picture",
    "Turn",
    "find_layout",
    "read_mapping",
    "read_table",
    "row_ids",
    "undecoded",
]
