"""Rows: their conversation, the layouts that hold one, their images and ids."""

from hf_vitselect.data.columns import read_scores
from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.image_roots import with_image_root
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pools import load_pool
from hf_vitselect.data.provenance import with_record
from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.data.rows import read_rows, read_texts

__all__ = [
    "Conversation",
    "RowImage",
    "Turn",
    "load_pool",
    "pool_digest",
    "read_rows",
    "read_scores",
    "read_texts",
    "row_ids",
    "with_image_root",
    "with_record",
]
