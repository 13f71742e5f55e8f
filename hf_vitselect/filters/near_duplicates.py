"""Rows that repeat another row: the same text about nearly the same images."""

import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hf_vitselect.errors import RowError
from hf_vitselect.filters.base import Drops, Filter, Rows, quoted
from hf_vitselect.filters.compared_rows import LARGEST, ComparedRows
from hf_vitselect.filters.image_hash import HASH_BITS, LEAST_SIDE, ImageHashes, image_hash
from hf_vitselect.filters.same_text import TextGroups
from hf_vitselect.rules.blocks import blocks

_BLOCK = 512
_MOST_PAIRS = 2**24  # to compare at once
_SAMPLE = 512  # rows of divided groups that are compared with all rows of their group


@dataclass(frozen=True, kw_only=True)
class NearDuplicates(Filter):
    """Rows with the same text and nearly the same images as another row, which stays.

    Texts are the same if all turns are, whatever their case and whitespace. Turns of at least `long` words
    may differ a little: the Jaccard similarity of their shingles of five words, estimated by MinHash, must be
    at least `jaccard`. Images are the same if the cosine of the rows' image features (several images
    averaged) is at least `cosine`. In a pool without features by `ClipEmbedding`, at most `bits` of the 384
    bits of an image's hash may differ (`image_hash`), and at most two fifths of those that are set in either
    hash, which are few in plain or gray images; each of several images in order. Features of unknown origin
    are ignored with a warning. Rows must have the same number of images; rows without image are compared by
    text alone. Rows that cannot be read, or whose image cannot be decoded, repeat nothing.

    Of rows that repeat each other the one with the lowest score stays, a loss as a rule; a row that is picked
    already stays anyway. Every dropped row repeats a row that stays unless a later filter drops it. The most
    similar are dropped first.

    Rows are grouped by their texts' hashes, and only rows of a group are compared. A group of more than 4,096
    rows is divided by k-means of its images, as `SemDeDup` does, unless `approximate=False`; copies that fall
    into different clusters are not found. The filter's record then has the `recall`, measured on 512 random
    rows of such groups: of those that repeat another row, the share that repeats one of its cluster. In
    groups that are not divided, time grows with the square of the rows, and their features are held in
    float64.

    Args:
        cosine: Least cosine of the image features, above 0, at most 1.
        bits: Most bits of 384 in which the hashes of two images may differ.
        jaccard: Least similarity of long turns, above 0, at most 1.
        long: Least words of a long turn, 5 or more.
        approximate: Whether groups of more than 4,096 rows are divided.

    Examples:
        >>> from datasets import Dataset
        >>> from hf_vitselect.filters.base import Rows
        >>> questions = ["How many legs?", "how many wings?", "how  many legs?"]
        >>> pool = Dataset.from_dict({"question": questions, "answer": ["two"] * 3})
        >>> rows = Rows.of(np.array([0.3, 0.1, 0.2]), pool=pool)
        >>> drops = NearDuplicates().find(rows)
        >>> drops.rows, drops.repeats
        (array([0]), array([2]))
    """

    uses_image_features: ClassVar[bool] = True

    cosine: float = 0.95
    bits: int = 24
    jaccard: float = 0.9
    long: int = 50
    approximate: bool = True

    def __post_init__(self) -> None:
        for name in ("cosine", "jaccard"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected above 0, at most 1, got {getattr(self, name)!r}")
        if not 0 <= self.bits < HASH_BITS:
            raise ValueError(f"bits: expected 0 to {HASH_BITS - 1}, got {self.bits!r}")
        if self.long < 5:
            raise ValueError(f"long: expected 5 or more, got {self.long!r}")

    def find(self, rows: Rows) -> Drops:
        """Find the rows that repeat a row that stays, the most similar first."""
        texts = TextGroups.read(rows, self.long)
        ignored = rows.unknown_features if texts.images.any() else None
        if ignored is not None:
            warnings.warn(
                f"the column {ignored!r} is ignored: no record says that ClipEmbedding made it, so "
                "NearDuplicates compares images by a hash; score() leaves a record, map does not, but "
                "select_diverse takes the scorer itself as over=",
                stacklevel=2,
            )
        hashes = _hash_images(rows, texts) if rows.image_features is None else None
        picked = np.isin(np.arange(len(rows)), rows.picked)
        repeats = np.full(len(rows), -1, dtype=np.int64)
        alike = np.ones((2, len(rows)), dtype=np.float32)  # of texts, of images
        fraction = _SAMPLE / max(_SAMPLE, sum(len(group) for group in texts.groups if len(group) > LARGEST))
        sampled = []  # of divided groups: copies among some rows, and those that lie in the same part
        with threadpool_limits(1):  # with several threads sums could differ
            for group in texts.groups:
                group, members = _compared(rows, group, texts, hashes)
                if len(group) < 2:  # Images without a hash, such as blank ones, are not compared.
                    continue
                order = np.lexsort((members.content(), rows.scores[group], ~picked[group]))
                group, members = group[order], members.take(order)
                parts = members.divide() if self.approximate else [np.arange(len(members))]
                if len(parts) > 1:
                    sampled.append(self._copies_found(members, parts, fraction))
                for part in parts:
                    at, compared = group[part], members.take(part)
                    kept = self._find_repeats(compared, int(np.count_nonzero(picked[at])))
                    again = np.flatnonzero(kept >= 0)
                    repeats[at[again]] = at[kept[again]]
                    alike[:, at[again]] = compared.compare_pairs(again, kept[again])
        dropped = np.flatnonzero(repeats >= 0)
        dropped = dropped[np.lexsort((dropped, -rows.scores[dropped], -alike[:, dropped].min(axis=0)))]
        reasons = [
            _reason(text, image, texts.images[row] > 0, hashes is not None)
            for row, (text, image) in zip(dropped, alike[:, dropped].T.tolist(), strict=True)
        ]
        thresholds: dict[str, Any] = {} if ignored is None else {"ignored": ignored}
        if sampled:
            copies, near = np.sum(sampled, axis=0).tolist()
            thresholds |= {"copies": copies, "recall": round(near / copies, 4) if copies else None}
        return Drops(rows=dropped, reasons=reasons, repeats=repeats[dropped], thresholds=thresholds)

    def describe(self, thresholds: Mapping[str, Any]) -> str:
        """Name the features that were ignored, and say how many copies are found in large groups."""
        lines = []
        if (ignored := thresholds.get("ignored")) is not None:
            made = f"no record says that ClipEmbedding made {quoted(str(ignored))}"
            lines.append(f"images are compared by a hash: {made}")
        if (recall := thresholds.get("recall")) is not None:
            sample = f"estimated from {thresholds['copies']:,} copies"
            lines.append(
                f"of copies in groups of more than {LARGEST:,} rows {recall:.1%} are found, {sample}"
            )
        return "; ".join(lines)

    def _find_repeats(self, members: ComparedRows, picked: int) -> NDArray[np.int64]:
        """The most similar row before each that is kept, int64 `[m]`; -1 for a row to keep.

        The first `picked` rows are kept in any case.
        """
        repeats = np.full(len(members), -1, dtype=np.int64)
        kept = np.arange(picked)
        for block in blocks(len(members) - picked, min(_BLOCK, max(1, _MOST_PAIRS // len(members)))):
            rows = np.arange(block.start, block.stop) + picked
            if len(kept):
                to_kept = self._alike(members, rows, kept)
                again = to_kept.max(axis=1) >= 0
                repeats[rows[again]] = kept[to_kept[again].argmax(axis=1)]
                rows = rows[~again]
            among = self._alike(members, rows, rows)
            new: list[int] = []
            for i in range(len(rows)):
                earlier = among[i, new]
                if earlier.max(initial=-1) >= 0:
                    repeats[rows[i]] = rows[new[earlier.argmax()]]
                else:
                    new.append(i)
            kept = np.concatenate([kept, rows[new]])
        return repeats

    def _alike(
        self, members: ComparedRows, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The similarity of rows to others, float32 `[rows, others]`; -1 where they are no copies."""
        least = 1 - 2 * self.bits / HASH_BITS if members.hashed else self.cosine
        texts, images = members.compare(rows, others)
        return np.where((texts >= self.jaccard) & (images >= least), np.minimum(texts, images), -1)

    def _copies_found(
        self, members: ComparedRows, parts: list[NDArray[np.int64]], fraction: float
    ) -> tuple[int, int]:
        """Count the rows of a random part that repeat another row, and those that do in their part."""
        labels = np.empty(len(members), dtype=np.int64)
        for label, part in enumerate(parts):
            labels[part] = label
        count = math.ceil(fraction * len(members))
        sample = np.sort(np.random.default_rng(0).choice(len(members), count, replace=False))
        copies, near = np.zeros((2, count), dtype=np.bool_)
        for block in blocks(len(members), LARGEST):
            others = np.arange(block.start, block.stop)
            both = members.take(np.concatenate([sample, others]))
            repeat = self._alike(both, np.arange(count), count + np.arange(len(others))) >= 0
            repeat &= sample[:, None] != others
            copies |= repeat.any(axis=1)
            near |= (repeat & (labels[sample, None] == labels[others])).any(axis=1)
        return int(copies.sum()), int(near.sum())


def _compared(
    rows: Rows, group: NDArray[np.int64], texts: TextGroups, hashes: ImageHashes | None
) -> tuple[NDArray[np.int64], ComparedRows]:
    """The rows of a group whose images can be compared, and what they are compared by."""
    if hashes is not None:
        group = group[hashes.first[group] >= 0]
        vectors = hashes.of(group, int(texts.images[group[0]]) if len(group) else 0)
    elif rows.image_features is not None and texts.images[group[0]]:
        vectors = rows.image_features[group][:, None]
    else:
        vectors = np.empty((len(group), 0, 1), dtype=np.float32)
    return group, ComparedRows(vectors, texts.signatures_of(group), hashes is not None)


def _hash_images(rows: Rows, texts: TextGroups) -> ImageHashes:
    """The hashes of the images of rows in groups, for rows all of whose images have one."""
    in_groups = np.sort(np.concatenate([*texts.groups, np.empty(0, np.int64)]))
    without, compared = (in_groups[(texts.images[in_groups] > 0) == has] for has in (False, True))
    first = np.full(len(rows), -1, dtype=np.int64)
    first[without] = 0
    codes, count = bytearray(), 0
    for i, row in zip(compared.tolist(), rows.conversations(compared), strict=True):
        if not isinstance(row, RowError):
            with suppress(RowError):
                hashes = [image_hash(image.decode(LEAST_SIDE)) for image in row.images]
                known = [one for one in hashes if one is not None]
                if len(known) == len(hashes):
                    first[i], count = count, count + len(known)
                    codes += np.packbits(known).tobytes()
    return ImageHashes(first, np.frombuffer(codes, dtype=np.uint8).reshape(count, HASH_BITS // 8))


def _reason(text: float, image: float, has_image: bool, hashed: bool) -> str:
    """Say what is the same, and how nearly."""
    texts = "the same text" if text == 1 else f"a text of similarity {text:.2f}"
    if not has_image:
        return texts
    if hashed:
        return (
            f"{texts}, images whose hashes differ in {round((1 - image) * HASH_BITS / 2)} of {HASH_BITS} bits"
        )
    return f"{texts}, images of cosine {image:.3f}"
