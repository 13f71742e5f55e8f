"""Groups of rows whose texts are the same or, where long, similar."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.text import normalized
from hf_vitselect.errors import RowError
from hf_vitselect.filters.base import Rows
from hf_vitselect.filters.min_hash import SIGNATURE, bands, signature
from hf_vitselect.rules.clusters import rows_by_label


@dataclass(frozen=True, eq=False)
class TextGroups:
    """The rows of n worth comparing, by their texts.

    Attributes:
        groups: Rows of the same number of images, roles and short turns, whose long turns may be similar; at
            least two each.
        images: int64 `[n]`, each row's images.
        long: int64 `[n]`, the position of its signature, or -1 for a row without long turns.
        signatures: uint32 `[long rows, 128]`.
    """

    groups: list[NDArray[np.int64]]
    images: NDArray[np.int64]
    long: NDArray[np.int64]
    signatures: NDArray[np.uint32]

    @classmethod
    def read(cls, rows: Rows, least_words: int) -> "TextGroups":
        """Group the rows that are left or picked; turns of at least `least_words` words are long."""
        n = len(rows)
        keys, images, long = np.zeros(n, dtype=np.uint64), np.zeros(n, np.int64), np.full(n, -1)
        usable = np.zeros(n, dtype=np.bool_)
        signatures, count = bytearray(), 0
        compared = rows.left | np.isin(np.arange(n), rows.picked)
        for i, row in enumerate(rows.texts()):
            if not compared[i] or isinstance(row, RowError):
                continue
            usable[i], images[i] = True, len(row.images)
            keys[i], words = _key(row, least_words)
            if words:
                long[i], count = count, count + 1
                signatures += signature(words).tobytes()
        signed = np.frombuffer(signatures, dtype=np.uint32).reshape(count, SIGNATURE)
        keys[long >= 0] = _joined_by_bands(bands(signed, keys[long >= 0]))
        indices = np.flatnonzero(usable)
        groups = rows_by_label(np.unique(keys[indices], return_inverse=True)[1])
        return cls([indices[group] for group in groups if len(group) > 1], images, long, signed)

    def signatures_of(self, group: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The signatures of a group's long texts, uint32 `[m, 128]`; `[m, 0]` for short ones."""
        at = self.long[group]
        return self.signatures[at] if (at >= 0).all() else np.empty((len(group), 0), dtype=np.uint32)


def _key(row: Conversation, least_words: int) -> tuple[int, list[str]]:
    """A hash of a row's number of images, roles and short turns; and the words of its long turns."""
    digest = hashlib.blake2b(f"{len(row.images)} {row.tools}".encode("utf-8", "surrogatepass"), digest_size=8)
    long: list[str] = []
    for turn in row.turns:
        text = normalized(turn.text)
        words = text.split(" ")
        is_long = len(words) >= least_words
        long += words if is_long else []
        part = f"\0{turn.role}\0{'' if is_long else text}"
        digest.update(part.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest()), long


def _joined_by_bands(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One key for all rows that share bands, directly or through others, from uint64 `[n, bands]`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, number = hashes.shape
    distinct, columns = np.unique(hashes, return_inverse=True)
    at = (np.repeat(np.arange(n), number), columns.ravel() + n)
    graph = coo_array((np.ones(hashes.size, np.bool_), at), shape=(n + len(distinct),) * 2)
    _, labels = connected_components(graph, directed=False)
    keys = np.zeros(len(labels), dtype=np.uint64)
    keys[labels[:n]] = hashes[:, 0]
    joined: NDArray[np.uint64] = keys[labels[:n]]
    return joined
