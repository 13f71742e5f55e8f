"""A row's images as they are stored, and the only decoder.

Nothing here decodes an image before somebody asks for it, because `datasets` re-encodes every image of a
column that a mapped function has touched.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from hf_vitselect.errors import RowError


@dataclass(frozen=True)
class Picture:
    """A picture as the data set holds it.

    Attributes:
        data: the encoded bytes, if the row carries them.
        path: a file to read them from otherwise.
        decoded: a picture that a stream has decoded already, loaded.
    """

    data: bytes | None = None
    path: str | None = None
    decoded: Image.Image | None = None

    def encoded(self) -> bytes:
        """The encoded bytes; of a decoded picture a PNG of what `decode` gives.

        Raises:
            RowError: ``image_missing`` if the row carries none and no file can be read, ``image_remote`` if
                it is a URL, ``image_error`` if a decoded picture does not become RGB.
        """
        if self.data is not None:
            return self.data
        if self.decoded is not None:
            file = io.BytesIO()
            self.decode().save(file, "PNG")
            return file.getvalue()
        if self.path is not None and "://" in self.path:
            raise RowError("image_remote", f"{self.path[:80]} is a URL, and nothing is fetched")
        if self.path is None or not os.path.isfile(self.path):
            raise RowError("image_missing", f"no bytes in the row and no file at {self.path!r}")
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise RowError("image_missing", f"cannot read the file: {error}") from error

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
        """The picture in RGB, upright (EXIF rotation applied, as `datasets` does).

        Raises:
            RowError: ``image_missing``, ``image_remote``, or ``image_error`` if it is no whole picture.
        """
        if self.decoded is not None:
            with image_error(f"a picture of mode {self.decoded.mode} that does not become RGB"):
                return self.decoded.convert("RGB")
        data = self.encoded()
        with image_error(f"{len(data)} bytes that do not decode"), Image.open(io.BytesIO(data)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")


@contextmanager
def image_error(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Pillow's plugins raise what they like, on broken EXIF even struct.error.
        raise RowError("image_error", f"{what}: {error}") from error
