"""The only decoder: encoded images to upright RGB pixels, for scores, embeddings and training."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hf_vitselect.errors import RowError

MOST_PIXELS = 178_956_970
"""The most pixels of an image: Pillow's own limit, enforced even where Pillow's is lifted."""

MOST_RESIZED = 33_554_432
"""The most pixels after a processor resizes the shorter side: at 336, an image 297 times as long as wide."""

_PNG = b"\x89PNG\r\n\x1a\n"
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339


def decode(data: bytes, least: int | None = None) -> Image.Image:
    """Decode an image to RGB, upright: the first of an animation or of a file of several pages.

    Args:
        data: the encoded bytes.
        least: the pixels that each side must keep, if a smaller image will do. A JPEG is then decoded at a
            half, a quarter or an eighth of its size, which is faster.

    Raises:
        RowError: `image_error` if it does not decode, has more than `MOST_PIXELS`, or memory runs out.
    """
    with image_error(f"{len(data)} bytes that do not decode"):
        try:
            return _open(data, least)
        except ValueError:
            # Pillow refuses a PNG with a long text or color profile, although neither is needed.
            if not data.startswith(_PNG):
                raise
            return _open(_without_texts(data), least)


def upright_rgb(image: Image.Image) -> Image.Image:
    """An image that is already decoded in RGB, upright."""
    with image_error(f"an image of mode {image.mode} that does not become RGB"):
        _refuse_size(image)
        return to_rgb(ImageOps.exif_transpose(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode in RGB.

    - Gray with more than 8 bits: the range of the type, such as 0 to 65,535, is scaled to 0 to 255.
    - 32-bit integers: unchanged if all are in 0 to 255; otherwise the lowest becomes 0, the highest 255.
    - Floats: 0 to 1 is scaled to 0 to 255 if all are in it; otherwise the lowest becomes 0, the highest 255.
      Infinities become black and white, NaN black.
    - Transparency (an alpha channel, a transparent color): composited on white, as viewers do. Plain TRL
      drops the channel and so shows the colors hidden under it.
    - All others (palettes, CMYK, YCbCr, LAB, HSV): Pillow's own conversion. Color profiles are not applied.
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
    """Refuse a thin image that would become very large before it is cropped.

    The processors of CLIP and LLaVA resize the shorter side to a fixed length.

    Raises:
        RowError: `image_error` if the resized image would have more than `MOST_RESIZED` pixels.
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
    """Turn any exception into `image_error`."""
    try:
        yield
    except RowError:
        raise
    except Exception as error:  # Pillow's plugins raise anything, even struct.error.
        raise RowError("image_error", f"{what}: {str(error) or type(error).__name__}") from error


def _open(data: bytes, least: int | None) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        _refuse_size(image)
        if least is not None:
            image.draft(None, (least, least))
        ImageOps.exif_transpose(image, in_place=True)
        return to_rgb(image)


@cache
def _formats() -> list[str]:
    """All formats that Pillow reads itself. EPS is a program, which Pillow would hand to Ghostscript."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _refuse_size(image: Image.Image) -> None:
    """Refuse an image that would take too much memory, before it is decoded."""
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
    """Gray of 16 or 32 bits, or of floats, as uint8 of shape (height, width); see `to_rgb`."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    bits, sample = tags.get(_BITS_PER_SAMPLE, (0,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0]
    if values.dtype.itemsize == 2:
        low, high = 0.0, 2.0 ** (bits or 16) - 1
    else:
        if image.mode == "I" and (bits, sample) == (32, 1):
            values = values.view(np.uint32)  # Pillow reads these as signed.
        low, high = _range(values)
    whole = values.astype(np.float64)
    scaled = np.nan_to_num((whole - low) * (255 / max(high - low, 1e-300)), posinf=255, neginf=0)
    gray = scaled.round().clip(0, 255).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # WhiteIsZero
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
