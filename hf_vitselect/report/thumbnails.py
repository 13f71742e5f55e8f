"""Small JPEG copies of rows' images: pixels only, no metadata of their files."""

import io

from hf_vitselect.data.images import RowImage

_QUALITIES = (85, 70, 50, 30)


def thumbnail(image: RowImage, side: int, most_bytes: int | None = None) -> bytes:
    """Shrink an image to a JPEG of at most `side` pixels a side.

    Args:
        image: Any row's.
        side: In pixels.
        most_bytes: If given, quality and then size are reduced until the file has at most this many bytes.

    Raises:
        RowError: If it cannot be read or decoded.
    """
    pixels = image.decode(least=2 * side)  # Smaller ones look rough.
    while True:
        pixels.thumbnail((side, side))
        for quality in _QUALITIES:
            file = io.BytesIO()
            pixels.copy().save(file, "JPEG", quality=quality, exif=b"", icc_profile=None)
            content = file.getvalue()
            if most_bytes is None or len(content) <= most_bytes or side <= 16:
                return content
        side //= 2
