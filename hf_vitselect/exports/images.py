"""The images of an export: written next to the data file, or referenced where they lie."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from hf_vitselect.data.fetching import is_url
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pixels import image_error
from hf_vitselect.errors import RowError

Images = Literal["write", "reference"]
"""How a data file names its images: as files written next to it, or as the files where they lie."""

_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}


@dataclass(frozen=True)
class ImageStore:
    """The place of an export's images.

    Attributes:
        folder: The folder to write them to.
        name: How the data file names that folder.
        how: Whether to write them.
    """

    folder: Path
    name: str
    how: Images

    def place(self, image: RowImage) -> str:
        """The path by which the data file names an image. Equal images are written once.

        Raises:
            RowError: If it cannot be read, or if it is not in a file and should be referenced.
        """
        if self.how == "reference":
            return _file_of(image)
        data = image.encoded()
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.{suffix_of(data)}"
        file = self.folder / name
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return f"{self.name}/{name}"


def suffix_of(data: bytes) -> str:
    """The suffix of the file of an image, by its content and not by its name.

    Raises:
        RowError: `image_error` if it is not an image.
    """
    with image_error("not an image"), Image.open(io.BytesIO(data)) as image:
        return _SUFFIXES.get(image.format or "", (image.format or "").lower())


def _file_of(image: RowImage) -> str:
    if image.data is not None or image.path is None:
        raise RowError("image_missing", "the image is not in a file of its own; write it (images='write')")
    file = image.file()
    if file.member is not None or is_url(image.path):
        raise RowError("image_missing", "in an archive or behind a URL; write it (images='write')")
    return os.path.realpath(file.path)


def stored_image(image: RowImage) -> dict[str, Any]:
    """The cell of an image as `datasets` stores it, with its bytes, and its name without folders.

    Raises:
        RowError: If it cannot be read.
    """
    return {"bytes": image.encoded(), "path": image.name}
