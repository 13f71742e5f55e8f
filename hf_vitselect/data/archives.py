"""Images inside zip and tar archives, read where they lie. Nothing is unpacked to disk."""

import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from hf_vitselect.errors import RowError, first_line

MOST_BYTES = 2**27
"""Size limit of an image in an archive or behind a URL: 128 MiB."""

_DAMAGED = (
    *(OSError, EOFError, MemoryError, OverflowError, RuntimeError, ValueError, struct.error),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)
# Zip's other compressions cannot be decompressed up to a limit.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def refuse_member(archive: str, member: str) -> None:
    """Raise the RowError that `read_member` would, as far as the archive's index shows."""
    _in_archive(archive, member, read=False)


def read_member(archive: str, member: str) -> bytes:
    """The bytes of one file in an archive.

    Raises:
        RowError: `image_missing` if the archive has no such member; `image_error` if it is a link, too large
            or damaged, or the archive is not a zip or an uncompressed tar.
    """
    return _in_archive(archive, member, read=True)


def _in_archive(archive: str, member: str, read: bool) -> bytes:
    name = os.path.basename(archive)
    try:
        state = os.stat(archive)
        # A forked process needs a file of its own: two processes would share one position in it.
        opened = _open(archive, state.st_size, state.st_mtime_ns, os.getpid())
        size = opened.size(member)
        if size is None:
            raise RowError("image_missing", f"no {member!r} in the archive {name}")
        if size > MOST_BYTES:
            raise RowError(
                "image_error", f"{member!r} in {name} has {size:,} bytes, more than {MOST_BYTES:,}"
            )
        data = opened.read(member) if read else b""
    except _DAMAGED as error:
        raise RowError("image_error", f"cannot read {member!r} in {name}: {first_line(error)}") from error
    if read and len(data) != size:
        raise RowError("image_error", f"{member!r} in {name} has {len(data):,} bytes, not {size:,}")
    return data


class _Archive(Protocol):
    def size(self, member: str) -> int | None:
        """Size of a member in bytes; None if it does not exist. A link raises RowError."""

    def read(self, member: str) -> bytes:
        """The bytes of a member, at most as many as `size` says."""


@lru_cache(maxsize=32)
def _open(path: str, size: int, time: int, process: int) -> _Archive:
    if zipfile.is_zipfile(path):
        return _Zip(zipfile.ZipFile(path))
    try:
        return _Tar.of(path)
    except tarfile.ReadError as error:
        raise RowError(
            "image_error",
            f"expected a zip or an uncompressed tar, got {os.path.basename(path)}; unpack or repack it",
        ) from error


@dataclass(frozen=True)
class _Zip:
    file: zipfile.ZipFile

    def size(self, member: str) -> int | None:
        info = self.file.NameToInfo.get(member)
        if info is None or info.is_dir():
            return None
        if stat.S_ISLNK(info.external_attr >> 16):
            raise RowError("image_error", f"a link in an archive: {member!r}")
        if info.compress_type not in _BOUNDED:
            raise RowError(
                "image_error",
                f"expected a stored or deflated file, got compression {info.compress_type} of {member!r}; "
                "repack the zip",
            )
        return info.file_size

    def read(self, member: str) -> bytes:
        info = self.file.getinfo(member)
        with self.file.open(info) as file:
            return file.read(info.file_size + 1)  # With a number, no more is decompressed.


@dataclass(frozen=True)
class _Tar:
    path: str
    extents: dict[str, tuple[int, int] | None]  # offset and size; None for a link or another special file

    @classmethod
    def of(cls, path: str) -> "_Tar":
        extents: dict[str, tuple[int, int] | None] = {}
        with tarfile.open(path, "r:") as tar:
            while info := tar.next():
                if not info.isdir():
                    plain = info.isreg() and not info.issparse()
                    extents[info.name.removeprefix("./")] = (info.offset_data, info.size) if plain else None
                tar.members.clear()  # type: ignore[attr-defined]  # each would keep a kilobyte
        return cls(path, extents)

    def size(self, member: str) -> int | None:
        if member not in self.extents:
            return None
        if (extent := self.extents[member]) is None:
            raise RowError("image_error", f"a link or a special file in an archive: {member!r}")
        return extent[1]

    def read(self, member: str) -> bytes:
        offset, size = self.extents[member] or (0, 0)
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)
