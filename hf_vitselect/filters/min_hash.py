"""MinHash: similar texts found by equal parts of their signatures, without comparing all pairs."""

import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = 128
"""Numbers in a signature. The similarity that they estimate has a standard deviation of at most 0.045."""

BAND = 8
"""Numbers in a band."""

_SHINGLE = 5  # words
_rng = np.random.default_rng(0)
_FACTORS = _rng.integers(2**63, size=SIGNATURE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _rng.integers(2**63, size=SIGNATURE, dtype=np.uint64)
_WORD_FACTORS = _rng.integers(2**63, size=_SHINGLE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_TOP_BITS = np.uint64(32)


def signature(words: list[str]) -> NDArray[np.uint32]:
    """Sign a text by the lowest hashes of its shingles of five words (MinHash, Broder 1997).

    The share of equal numbers in two signatures estimates the Jaccard similarity of their shingles.

    Args:
        words: At least five.

    Returns:
        uint32 `[128]`.
    """
    hashes = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=np.uint64)
    shingles = np.zeros(len(hashes) - _SHINGLE + 1, dtype=np.uint64)
    for i, factor in enumerate(_WORD_FACTORS):
        shingles += hashes[i : i + len(shingles)] * factor
    shingles = _mixed(shingles)
    lowest: NDArray[np.uint64] = ((shingles[:, None] * _FACTORS + _OFFSETS) >> _TOP_BITS).min(axis=0)
    return lowest.astype(np.uint32)


def bands(signatures: NDArray[np.uint32], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash the bands of signatures: rows with an equal band are worth comparing.

    Two rows of similarity 0.9 share one of 16 bands of eight numbers with probability 0.9999, two of 0.5
    with 0.06.

    Args:
        signatures: uint32 `[n, 128]`.
        keys: uint64 `[n]`: only rows of equal keys are to share a band.

    Returns:
        uint64 `[n, 16]`; different bands have different numbers.
    """
    parts = signatures.reshape(len(signatures), SIGNATURE // BAND, BAND).astype(np.uint64)
    numbers = np.arange(parts.shape[1], dtype=np.uint64)
    hashes: NDArray[np.uint64] = np.add(keys[:, None], numbers)
    for i in range(parts.shape[2]):
        hashes = _mixed(hashes ^ parts[:, :, i])
    return hashes


def similarities(signatures: NDArray[np.uint32], others: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Estimate the similarities of texts, float32 `[n, m]`.

    Args:
        signatures: uint32 `[n, 128]`; `[n, 0]` for texts that are all the same.
        others: uint32 `[m, 128]` or `[m, 0]`.
    """
    length = signatures.shape[1]
    equal = np.zeros((len(signatures), len(others)), dtype=np.float32)
    for i in range(length):
        equal += signatures[:, i, None] == others[:, i]
    return equal / np.float32(length) if length else equal + 1


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread bits evenly (the finalizer of SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))
