"""The files and URLs that the rows of a pool may name, and the way to what they name.

Rows may be written by strangers. Neither `..`, an absolute path nor a link leads out of the image root.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from hf_vitselect.data import archives, fetching
from hf_vitselect.errors import RowError


@dataclass(frozen=True)
class ImageFile:
    """A file of this machine that holds an image: as it is, or as a member of an archive."""

    path: str
    member: str | None = None

    def read(self) -> bytes:
        """The encoded bytes. Raises OSError, or RowError for a damaged archive."""
        if self.member is not None:
            return archives.read_member(self.path, self.member)
        with open(self.path, "rb") as file:
            return file.read()

    def state(self) -> tuple[int, int]:
        """Size in bytes and modification time in ns, for a member those of its archive."""
        state = os.stat(self.path)
        return state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class ImageAccess:
    """The files and URLs that the rows of a pool may name. By default none.

    Attributes:
        roots: Folders where relative paths start.
        allow_paths: Other folders whose files may be named, absolute or by a link in a root.
        fetch_urls: Whether URLs are fetched.
        allow_addresses: Private addresses and networks that may be fetched from, such as `10.0.0.0/8`.
        from_hub: Whether the roots are the downloads of a pool from the Hub.
        image_features: Whether a column of images has the feature `Image`: `datasets` itself opens any file
            that it names. It is so for a pool without roots only.
    """

    roots: tuple[str, ...] = ()
    allow_paths: tuple[str, ...] = ()
    fetch_urls: bool = False
    allow_addresses: tuple[str, ...] = ()
    from_hub: bool = False
    image_features: bool = False

    def find(self, path: str, in_feature: bool = False) -> ImageFile:
        """The file that a row names, fetched first if it is behind a URL.

        Args:
            path: As the row has it: relative, absolute, a member of an archive (`images.zip::a.jpg`), a URL.
            in_feature: Whether it is stored as the feature `Image` stores paths.

        Raises:
            RowError: `image_missing` if it does not exist or may not be named; `image_remote` for a URL that
                may not be fetched; `image_error` for a damaged archive or a web page.
        """
        if fetching.is_url(path):
            if not self.fetch_urls:
                shown = fetching.without_query(path)
                raise RowError("image_remote", f"a URL, and fetch_urls is not set: {shown}")
            return ImageFile(fetching.fetch(path, self.allow_addresses))
        if "\0" in path:
            raise RowError("image_missing", f"no file at {path!r}")
        anywhere = self.image_features and in_feature and not self.roots
        if not anywhere and not self.roots:
            raise RowError(
                "image_missing",
                f"no image root is known for {path!r}; load the pool with load_pool, or give its folder with "
                "with_image_root",
            )
        for name, member in _ways(path):
            files = [name] if anywhere else self._inside(name)
            if file := next(filter(os.path.isfile, files), None):
                if member is not None:
                    archives.refuse_member(file, member)
                return ImageFile(file, member)
        raise RowError("image_missing", self._reason(path, anywhere))

    def tried(self, path: str) -> str:
        """The path or URL that `find` looks at first, for the user of this machine alone."""
        if fetching.is_url(path):
            return fetching.without_query(path)
        return os.path.join(*self.roots[:1], path)

    def prefetch(self, paths: Iterable[str | None]) -> None:
        """Fetch the URLs among some paths in parallel, if they are to be fetched."""
        if self.fetch_urls:
            fetching.prefetch(filter(fetching.is_url, filter(None, paths)), self.allow_addresses)

    def _inside(self, path: str) -> list[str]:
        """The files that a path names in allowed folders, one for each root."""
        allowed = [_real_folder(folder) for folder in (*self.roots, *self.allow_paths)]
        files = [os.path.realpath(os.path.join(root, path)) for root in self.roots]
        return [file for file in files if any(os.path.commonpath((file, in_)) == in_ for in_ in allowed)]

    def _reason(self, path: str, anywhere: bool) -> str:
        if not anywhere and not any(self._inside(name) for name, _ in _ways(path)):
            if self.from_hub:
                return (
                    f"rows of a pool from the Hub cannot name files of this machine, got {path!r}; "
                    "the pool must hold the images themselves"
                )
            return f"{path!r} leads out of the image root; allow its folder with allow_paths"
        where = " in the working directory" if anywhere and not os.path.isabs(path) else ""
        return f"no file at {path!r}{where}"


def _ways(path: str) -> list[tuple[str, str | None]]:
    """The file that a path names, then the archive and its member."""
    archive, _, member = path.partition("::")
    outside = member.startswith("/") or ".." in member.split("/")
    return [(path, None), (archive, member.removeprefix("./"))] if member and not outside else [(path, None)]


def _real_folder(folder: str) -> str:
    """The folder without links. Every image asks for it."""
    try:
        state = os.stat(folder)
    except OSError:
        return os.path.realpath(folder)
    return _resolved(folder, state.st_dev, state.st_ino)


@lru_cache(maxsize=64)
def _resolved(folder: str, device: int, inode: int) -> str:
    """The same, kept while the path leads to this folder of the disk."""
    return os.path.realpath(folder)


NO_ACCESS = ImageAccess()
"""No file and no URL."""
