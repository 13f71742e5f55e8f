"""A row's images as the dataset stores them: paths, bytes, base64, open images. Nothing is decoded early.

`datasets` re-encodes every image of a column that a mapped function has decoded.
"""

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from hf_vitselect.data.fetching import is_url, without_query
from hf_vitselect.data.image_access import NO_ACCESS, ImageAccess, ImageFile
from hf_vitselect.data.pixels import decode, image_error, upright_rgb
from hf_vitselect.data.stored import JsonText, from_text, is_empty, is_record_of_lists, records, short
from hf_vitselect.errors import RowError

# The base64 of PNG, JPEG, GIF, WebP, TIFF and BMP begins like this.
_BASE64 = re.compile(r"(iVBORw0KGgo|[/_]9j[/_]|R0lGOD|UklGR|SUkqA|TU0AK|Qk[0-3])[A-Za-z0-9+/_\s-]{40}")
IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
_SUFFIX = re.compile(r"\.\w{2,5}$")
_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class RowImage:
    """An image as the dataset holds it.

    Attributes:
        data: the encoded bytes, if the row carries them.
        path: otherwise, the file to read them from.
        decoded: an image that a stream has already decoded, loaded.
        access: the files that `path` may name.
        in_feature: whether the path is stored as the feature `Image` stores it.
        failure: why the image could not be read where its files are, on another machine.
    """

    data: bytes | None = None
    path: str | None = None
    decoded: Image.Image | None = None
    access: ImageAccess = field(default=NO_ACCESS, compare=False)
    in_feature: bool = False
    failure: RowError | None = None

    @property
    def name(self) -> str | None:
        """The last part of a path, of a member's in an archive, or of a URL's without its query."""
        if not self.path:
            return self.path
        return PureWindowsPath(
            without_query(self.path) if is_url(self.path) else self.path.rpartition("::")[2]
        ).name

    def encoded(self) -> bytes:
        """The encoded bytes; for a decoded image, a PNG of what `decode` returns.

        Raises:
            RowError: `image_missing`, `image_remote`, or `image_error` for one that does not become RGB.
        """
        if self.data is not None:
            return self.data
        if self.decoded is not None:
            file = io.BytesIO()
            self.decode().save(file, "PNG")
            return file.getvalue()
        if self.failure is not None:
            raise self.failure
        if self.path is None:
            raise RowError("image_missing", "neither bytes nor a path in the row")
        try:
            return self.file().read()
        except (OSError, ValueError, MemoryError) as error:
            raise RowError("image_missing", f"cannot read the file {self.path!r}: {error}") from error

    def file(self) -> ImageFile:
        """The file that `path` names; errors as those of `ImageAccess.find`."""
        return self.access.find(self.path or "", self.in_feature)

    def digest(self) -> str | None:
        """sha256 of the encoded bytes, None if they are missing; for a decoded image, of its pixels."""
        if self.data is None and self.decoded is not None:
            kind = (self.decoded.mode, self.decoded.size, self.decoded.getpalette())
            return hashlib.sha256(repr(kind).encode() + self.decoded.tobytes()).hexdigest()
        try:
            return hashlib.sha256(self.encoded()).hexdigest()
        except RowError:
            return None

    def decode(self, least: int | None = None) -> Image.Image:
        """The image in RGB, upright (EXIF rotation applied, as `datasets` does); see `pixels.to_rgb`.

        Args:
            least: the pixels that each side must keep, if a smaller image will do; see `pixels.decode`.

        Raises:
            RowError: `image_missing`, `image_remote` or `image_error`.
        """
        return decode(self.encoded(), least) if self.decoded is None else upright_rgb(self.decoded)


def image_cells(cell: Any) -> list[Any]:
    """The images of a cell, one or a list in any stored form, including the empty ones."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{", '"'):
        with suppress(ValueError):  # A file name may begin like that.
            cell = from_text(cell)
    if is_record_of_lists(cell):
        cell = records(cell)
    cells = list(cell) if isinstance(cell, (list, tuple, np.ndarray)) else [cell]
    cells = [from_text(one) if isinstance(one, JsonText) else one for one in cells]
    if any(isinstance(one, (list, tuple, np.ndarray)) and not is_empty(one) for one in cells):
        raise ValueError("expected encoded images, got nested lists, as of pixels")
    return cells


def read_image(cell: Any, access: ImageAccess = NO_ACCESS) -> RowImage:
    """An image from its cell: a path, base64, bytes, a record of bytes and path, or an open image.

    Args:
        cell: of the image.
        access: the files that a path may name.
    """
    if is_empty(cell):
        return RowImage(access=access)
    if isinstance(cell, str):
        if cell.startswith("data:") or (_BASE64.match(cell) and not _SUFFIX.search(cell)):
            return RowImage(data=from_base64(cell), access=access)
        return RowImage(path=cell.removeprefix("file://"), access=access)
    if isinstance(cell, bytes):
        return RowImage(data=cell, access=access)
    if isinstance(cell, Image.Image):
        with image_error("an image that does not load"):
            cell.load()  # Otherwise several threads might read its file at once.
        return RowImage(decoded=cell, access=access)
    if isinstance(cell, Mapping) and cell.keys() <= {"bytes", "path"}:
        data, path = cell.get("bytes"), cell.get("path")
        if not data and path:  # Empty bytes without a path are a broken image, not a missing one.
            return RowImage(path=path, access=access, in_feature=True)
        return RowImage(from_base64(data) if isinstance(data, str) else data, path, access=access)
    if isinstance(cell, Mapping):
        raise ValueError(f"expected an image's bytes and path, got a record of {sorted(map(str, cell))}")
    raise ValueError(f"expected an image, got {type(cell).__name__}")


def from_base64(text: Any) -> bytes:
    """The bytes of a data URI, or of plain base64."""
    try:
        text = "".join((text.partition("base64,")[2] or text).split())
        return base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except (AttributeError, TypeError, binascii.Error) as error:
        raise RowError("image_error", f"expected an image in base64, got {short(text)}: {error}") from error
