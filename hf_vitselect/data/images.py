"""A row's images as they are stored, and the only decoder.

Nothing here decodes an image before somebody asks for it, because `datasets` re-encodes every image of a
column that a mapped function has touched.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hf_vitselect.errors import RowError

MOST_PIXELS = 178_956_970
"""Pixels of an image that is decoded; Pillow's own limit, unless somebody has lifted that one."""

MOST_RESIZED = 33_554_432
"""Pixels of an image whose shorter side a processor has made its own: 297 times as long as wide, at 336."""

_URL = re.compile(r"(https?|ftp|hf|s3|gs|az)://", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339


@dataclass(frozen=True)
class RowImage:
    """A picture as the data set holds it.

    Attributes:
        data: the encoded bytes, if the row carries them.
        path: a file to read them from otherwise.
        decoded: a picture that a stream has decoded already, loaded.
        roots: the folders whose files `path` may name; None for any.
    """

    data: bytes | None = None
    path: str | None = None
    decoded: Image.Image | None = None
    roots: Sequence[str] | None = None

    def encoded(self) -> bytes:
        """The encoded bytes; of a decoded picture a PNG of what `decode` gives.

        Raises:
            RowError: `image_missing` if the row carries none and no file can be read, `image_remote` if
                it is a URL, `image_error` if a decoded picture does not become RGB.
        """
        if self.data is not None:
            return self.data
        if self.decoded is not None:
            file = io.BytesIO()
            self.decode().save(file, "PNG")
            return file.getvalue()
        if self.path is None:
            raise RowError("image_missing", "neither bytes nor a path in the row")
        try:
            return Path(find_file(self.path, self.roots)).read_bytes()
        except (OSError, MemoryError) as error:
            raise RowError("image_missing", f"cannot read the file {self.path!r}: {error}") from error

    def digest(self) -> str | None:
        """sha256 of the encoded bytes, None if there are none; of a decoded picture that of its pixels."""
        if self.data is None and self.decoded is not None:
            kind = (self.decoded.mode, self.decoded.size, self.decoded.getpalette())
            return hashlib.sha256(repr(kind).encode() + self.decoded.tobytes()).hexdigest()
        try:
            return hashlib.sha256(self.encoded()).hexdigest()
        except RowError:
            return None

    def decode(self) -> Image.Image:
        """The image in RGB, upright (EXIF rotation applied, as `datasets` does); `to_rgb` says how.

        Of an animation or a file of several pages this is the first.

        Raises:
            RowError: `image_missing`, `image_remote`, or `image_error` if it is no whole image, has
                more than `MOST_PIXELS`, or does not fit into memory.
        """
        if self.decoded is not None:
            with image_error(f"an image of mode {self.decoded.mode} that does not become RGB"):
                _refuse_size(self.decoded)
                return to_rgb(ImageOps.exif_transpose(self.decoded))
        data = self.encoded()
        with image_error(f"{len(data)} bytes that do not decode"):
            try:
                return _decode(data)
            except ValueError:
                # Pillow refuses a PNG with a long text or color profile, although nobody asks for them.
                if not data.startswith(_PNG):
                    raise
                return _decode(_without_texts(data))


def find_file(path: str, roots: Sequence[str] | None) -> str:
    """The file that a row names.

    Args:
        path: as it stands in the row.
        roots: the folders that may hold it, where a relative path begins; None for any, and for relative ones
            the working directory. Neither `..` nor a link leads out of them.

    Raises:
        RowError: `image_missing` if there is none, or it is not one of those that the row may name;
            `image_remote` for a URL.
    """
    if _URL.match(path):
        raise RowError("image_remote", f"a URL, and images are not fetched: {path}")
    files = [path] if roots is None else [file for root in roots if (file := _inside(root, path))]
    if not files:
        raise RowError(
            "image_missing",
            f"rows of a pool from the Hub cannot name files of this machine, got {path!r}; "
            "the pool must hold the images themselves",
        )
    found = next(filter(os.path.isfile, files), None)
    if found is None:
        where = "" if roots is not None or os.path.isabs(path) else " in the working directory"
        raise RowError("image_missing", f"no file at {path!r}{where}")
    return found


def _inside(root: str, path: str) -> str | None:
    """The file that a path names in a folder; None if it leads out of it."""
    if "\0" in path:
        return None
    root, file = os.path.realpath(root), os.path.realpath(os.path.join(root, path))
    return file if os.path.commonpath((root, file)) == root else None


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode in RGB.

    - Gray of more than 8 bits: the range of its type, such as 0 to 65,535, becomes 0 to 255.
    - 32-bit integers: taken as they are if all are in 0 to 255; else the lowest becomes 0, the highest 255.
    - Floats: 0 to 1 becomes 0 to 255 if all are in it; else the lowest becomes 0, the highest 255. Infinities
      become black and white, NaN black.
    - Transparency (an alpha channel, a transparent color): laid on white, as viewers show it. Plain TRL drops
      the channel, and so shows what lies hidden under it.
    - All others (palettes, CMYK, YCbCr, LAB, HSV): Pillow's own conversion. Color profiles are not applied.

    Raises:
        RowError: `image_error` if no value is finite.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


def refuse_resize(image: Image.Image, processor: Any) -> None:
    """Refuses an image that a processor would make very large before it cuts it: a thin one, of which it
    fixes the shorter side alone, as those of CLIP and LLaVA do.

    Args:
        image: decoded.
        processor: a `transformers` image processor.

    Raises:
        RowError: `image_error` if it would then have more than `MOST_RESIZED` pixels.
    """
    size: Any = getattr(processor, "size", None)
    edge = size.get("shortest_edge") if hasattr(size, "get") else None
    if edge is None or size.get("longest_edge") is not None:
        return
    short, long = sorted(image.size)
    if edge**2 * long > MOST_RESIZED * short:
        raise RowError(
            "image_error",
            f"{image.width} x {image.height}: more than {MOST_RESIZED:,} pixels once its shorter side is the "
            f"processor's {edge}",
        )


@contextmanager
def image_error(what: str) -> Iterator[None]:
    """Turns whatever is raised into the row's `image_error`."""
    try:
        yield
    except RowError:
        raise
    except Exception as error:  # Pillow's plugins raise what they like, on broken EXIF even struct.error.
        raise RowError("image_error", f"{what}: {str(error) or type(error).__name__}") from error


def _decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        _refuse_size(image)
        ImageOps.exif_transpose(image, in_place=True)
        return to_rgb(image)


@cache
def _formats() -> list[str]:
    """All that Pillow reads itself. It would hand EPS, which is a program, to Ghostscript."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _refuse_size(image: Image.Image) -> None:
    """Refuses what would take too much memory, before it is decoded."""
    if image.width * image.height > MOST_PIXELS:
        raise RowError("image_error", f"{image.width} x {image.height}: more than {MOST_PIXELS:,} pixels")


def _without_texts(data: bytes) -> bytes:
    """A PNG without the chunks that Pillow limits: texts and the color profile."""
    kept, at = [data[: len(_PNG)]], len(_PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Gray of 16 or 32 bits, or of floats, as uint8 of shape (height, width); `to_rgb` says how."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    bits, sample = tags.get(_BITS_PER_SAMPLE, (0,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0]
    if values.dtype.itemsize == 2:
        low, high = 0.0, 2.0 ** (bits or 16) - 1
    else:
        if image.mode == "I" and (bits, sample) == (32, 1):
            values = values.view(np.uint32)  # Pillow reads it as signed.
        low, high = _range(values)
    whole = values.astype(np.float64)
    scaled = np.nan_to_num((whole - low) * (255 / max(high - low, 1e-300)), posinf=255, neginf=0)
    gray = scaled.round().clip(0, 255).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        gray = 255 - gray
    if (transparent := image.info.get("transparency")) is not None:
        gray[values == transparent] = 255
    return gray


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """The values that become black and white."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise RowError("image_error", "no value of the image is finite")
    low, high = float(finite.min()), float(finite.max())
    usual = 1.0 if values.dtype.kind == "f" else 255.0
    return (0.0, usual) if low >= 0 and high <= usual else (low, high)
