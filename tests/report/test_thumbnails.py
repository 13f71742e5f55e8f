"""Thumbnails are small, bounded and without metadata."""

import io

import numpy as np
import pytest
from PIL import Image
from pools import encode

from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError
from hf_vitselect.report.thumbnails import thumbnail


def noise(side: int) -> RowImage:
    pixels = np.random.default_rng(0).integers(0, 256, (side, 2 * side, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x010E] = "taken by Jane at 52.5 N"
    return RowImage(data=encode(image, "JPEG", quality=95, exif=exif.tobytes()))


def test_thumbnail_fits_and_says_nothing() -> None:
    content = thumbnail(noise(400), 128)
    small = Image.open(io.BytesIO(content))
    assert small.size == (128, 64)
    assert not small.getexif()
    assert b"Jane" not in content


@pytest.mark.parametrize("most", [16_000, 3_000, 900])
def test_thumbnail_has_at_most_these_bytes(most: int) -> None:
    assert len(thumbnail(noise(400), 256, most)) <= most


def test_broken_image_has_no_thumbnail() -> None:
    with pytest.raises(RowError, match="image_error"):
        thumbnail(RowImage(data=b"x"), 64)
