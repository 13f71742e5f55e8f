"""A perceptual hash of images, for pools without image features, and the hashes of many rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_BITS = 384
"""The length of a hash: 8 x 8 differences in two directions of three channels."""

LEAST_SIDE = 96
"""The pixels that each side of a larger image keeps, for a hash that differs in few bits from that of all."""

_SIDE = 8
_LEAST_STEP = 4  # levels of 256; smaller differences are noise of compression


def image_hash(image: Image.Image) -> NDArray[np.bool_] | None:
    """Hash an image by the signs of its gradients (dHash) in brightness and in color.

    The image, in RGB, is resized to 9 x 8 and 8 x 9 pixels in YCbCr; a large one first, which saves time, to
    one or two times `LEAST_SIDE` on its shorter side. A bit says whether a pixel is brighter, bluer or redder
    than its neighbor. Resized, recompressed or slightly brighter copies differ in few bits.

    Returns:
        bool `[384]`, or None for an image without any such difference, which has nothing to compare.
    """
    if (factor := min(image.size) // LEAST_SIDE) > 1:
        image = image.resize((image.width // factor, image.height // factor), Image.Resampling.HAMMING)
    color = image.convert("YCbCr")
    bits = [_steps(color, (_SIDE + 1, _SIDE), axis=1), _steps(color, (_SIDE, _SIDE + 1), axis=0)]
    joined = np.concatenate([step.ravel() for step in bits])
    return joined if joined.any() else None


@dataclass(frozen=True, eq=False)
class ImageHashes:
    """The hashes of n rows' images, 48 bytes an image.

    Attributes:
        first: int64 `[n]`, the position of a row's first hash; 0 for a row without images, -1 for one whose
            hashes are not known.
        codes: uint8 `[hashes, 48]`, eight bits each.
    """

    first: NDArray[np.int64]
    codes: NDArray[np.uint8]

    def of(self, rows: NDArray[np.int64], images: int) -> NDArray[np.float32]:
        """The hashes of rows with this many images each, 1 and -1, float32 `[rows, images, 384]`."""
        bits = np.unpackbits(self.codes[self.first[rows, None] + np.arange(images)], axis=2)
        return bits.astype(np.float32) * 2 - 1


def _steps(image: Image.Image, size: tuple[int, int], axis: int) -> NDArray[np.bool_]:
    levels = np.asarray(image.resize(size, Image.Resampling.LANCZOS)).astype(np.int16)
    return np.diff(levels, axis=axis) > _LEAST_STEP
