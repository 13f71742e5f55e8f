"""Rows of a group that are compared with each other by their images and long texts."""

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.image_hash import HASH_BITS
from hf_vitselect.filters.min_hash import BAND, SIGNATURE, similarities
from hf_vitselect.rules.clusters import kmeans, rows_by_label, unit_rows

LARGEST = 4096
"""Rows of a group that are compared with each other; larger groups are divided."""

_PER_CLUSTER = 1000


@dataclass(frozen=True, eq=False)
class ComparedRows:
    """Rows of a group.

    Attributes:
        images: float32 `[m, images, d]`; one vector for all images of a row if they are averaged.
        signatures: uint32 `[m, 128]` of long texts; `[m, 0]` of short ones, which are all the same.
        hashed: Whether the vectors are image hashes, 1 and -1.
    """

    images: NDArray[np.float32]
    signatures: NDArray[np.uint32]
    hashed: bool

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> "ComparedRows":
        """Some of these rows."""
        return replace(self, images=self.images[rows], signatures=self.signatures[rows])

    def content(self) -> NDArray[np.float64]:
        """A number for each row that only its content decides, to order rows of equal scores."""
        images = np.einsum("mkd,kd->m", self.images, _weights(self.images.shape[1:]), dtype=np.float64)
        texts = np.einsum("md,d->m", self.signatures / 2**32, _weights(self.signatures.shape[1:]))
        content: NDArray[np.float64] = images + texts
        return content

    def divide(self) -> list[NDArray[np.int64]]:
        """Divide rows into parts of about 4,096 at most, by a band of their texts, then by their images."""
        parts = [np.arange(len(self))]
        for labels in (ComparedRows._bands, ComparedRows._clusters):
            large = [len(part) > LARGEST for part in parts]
            parts = [
                part[rows]
                for part, divided in zip(parts, large, strict=True)
                for rows in (rows_by_label(labels(self.take(part))) if divided else [np.arange(len(part))])
            ]
        return [part for part in parts if len(part)]  # k-means may leave clusters empty

    def compare(
        self, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The similarities of texts and of images, float32 `[rows, others]` each.

        Both are 1 if nothing can differ; that of several images is their lowest.
        """
        texts = similarities(self.signatures[rows], self.signatures[others])
        images = np.ones(texts.shape, dtype=np.float32)
        for i in range(self.images.shape[1]):
            cosines = self._units[rows, i] @ self._units[others, i].T
            if self.hashed:
                differing = np.rint((1 - cosines) * HASH_BITS / 2)  # exact, whatever the order of the sums
                set_in_either = (self._set[rows, i, None] + self._set[others, i] + differing) / 2
                cosines[5 * differing > 2 * set_in_either] = -1
            images = np.minimum(images, cosines.astype(np.float32))  # digits that depend on the order go
        return texts, images

    def compare_pairs(
        self, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same of pairs that `compare` has let pass, float32 `[rows]` each."""
        equal = np.count_nonzero(self.signatures[rows] == self.signatures[others], axis=1)
        texts = equal / SIGNATURE if self.signatures.shape[1] else np.ones(len(rows))
        cosines = np.einsum("mkd,mkd->mk", self._units[rows], self._units[others]).astype(np.float32)
        return texts.astype(np.float32), cosines.min(axis=1, initial=1.0)

    @cached_property
    def _units(self) -> NDArray[np.float64]:
        exact = self.images.astype(np.float64)
        lengths = np.linalg.norm(exact, axis=2, keepdims=True)
        return exact / np.where(lengths > 0, lengths, 1.0)

    @cached_property
    def _set(self) -> NDArray[np.float64]:
        """The bits that are set in each hash, float64 `[m, images]`."""
        bits: NDArray[np.float64] = np.count_nonzero(self.images > 0, axis=2).astype(np.float64)
        return bits

    def _bands(self) -> NDArray[np.int64]:
        return np.unique(self.signatures[:, :BAND], axis=0, return_inverse=True)[1]

    def _clusters(self) -> NDArray[np.int64]:
        units = unit_rows(self.images.reshape(len(self), -1))
        if not units.shape[1]:
            return np.zeros(len(self), dtype=np.int64)
        return kmeans(units, len(self) // _PER_CLUSTER, np.random.default_rng(0))[0]


@cache
def _weights(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(shape)
