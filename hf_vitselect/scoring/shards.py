"""The ledger: finished shards on disk with the settings that made them. A killed run resumes from it."""

import glob
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features

from hf_vitselect.errors import StaleRunError
from hf_vitselect.resume import create_atomically, refuse_changes, write_atomically

_ROWS = b"hf_vitselect.rows"
"""Metadata key of a shard: the digest of the rows that it was made from."""


class Ledger:
    """A folder of Parquet shards, all made with the same settings.

    The settings are recorded with the first shard; a run that fails earlier does not bind the next one.

    Args:
        folder: created if missing.
        settings: what the shards' contents depend on, as plain JSON.

    Raises:
        StaleRunError: if the folder holds shards of other settings, naming those that changed.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record = self.folder / "ledger.json"
        self._settings = settings
        if self._record.exists() or self.finished():
            try:
                self._refuse_changes()
            except StaleRunError:
                if self.finished():
                    raise
                self._record.unlink(missing_ok=True)

    def finished(self) -> set[int]:
        """Numbers of the shards in the folder."""
        return {int(path.stem.removeprefix("shard-")) for path in self.folder.glob("shard-*.parquet")}

    def has(self, shard: int, rows: int, digest: str, *, settled: bool) -> bool:
        """Whether a shard exists and is whole. A damaged one is removed with a warning.

        Args:
            shard: its number.
            rows: its expected number of rows.
            digest: of the rows that it must have been made from.
            settled: whether the settings determine the rows: a shard of others is then damaged, else stale.
        """
        path = self.path(shard)
        try:
            length, made_from = _read_whole(path)
        except FileNotFoundError:
            return False
        except PermissionError:
            raise
        except (pa.ArrowException, OSError) as error:
            fault = str(error).strip().partition("\n")[0]
        else:
            if made_from != digest and not settled:
                raise StaleRunError(
                    f"{path} was made from other rows, or other image files, than those of this run; "
                    f"give another output folder, or delete {self.folder}"
                )
            fault = "it was made from other rows" if made_from != digest else ""
            fault = fault or (f"{length} rows instead of {rows}" if length != rows else "")
        if fault:
            warnings.warn(f"{path} is damaged ({fault}); its rows are scored again", stacklevel=2)
            path.unlink(missing_ok=True)
        return not fault

    def path(self, shard: int) -> Path:
        """Path of a shard, finished or not."""
        return self.folder / f"shard-{shard:05d}.parquet"

    def write(self, shard: int, table: pa.Table, digest: str) -> None:
        """Write a finished shard, whole or not at all, unless it exists.

        Raises StaleRunError if another process has begun to fill the folder with other settings.
        """
        if self.path(shard).exists():
            return
        if not self._record.exists():
            # Another rank may be faster; then its settings hold.
            with suppress(FileExistsError):
                create_atomically(self._record, json.dumps(self._settings, indent=2).encode())
        self._refuse_changes()
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({_ROWS: digest}), sink, write_page_checksum=True)
        # Another rank may have finished the run in the meantime and cleaned up.
        with suppress(FileNotFoundError):
            write_atomically(self.path(shard), sink.getvalue())

    def refuse_more_than(self, shards: int) -> None:
        """Raise StaleRunError if the folder holds shards of a longer pool."""
        if more := self.finished() - set(range(shards)):
            raise StaleRunError(
                f"expected {shards} shards, also got shard {max(more)} of a longer pool; give another output "
                f"folder, or delete {self.folder}"
            )

    @classmethod
    def discard(cls, folder: str | os.PathLike[str]) -> None:
        """Remove all shards and their settings, so that they do not bind the next run."""
        for path in [*Path(folder).glob("shard-*.parquet"), Path(folder, "ledger.json")]:
            path.unlink(missing_ok=True)

    def read(self, shards: int, features: Features, *, in_memory: bool = False) -> Dataset:
        """Read this number of shards in order, and remove the unfinished files of killed writers.

        The dataset is memory-mapped from a copy in the subfolder `joined`; in memory, it outlives the folder.
        """
        files = [glob.escape(str(self.path(shard))) for shard in range(shards)]  # `datasets` globs them
        for unfinished in self.folder.glob(".shard-*"):
            unfinished.unlink(missing_ok=True)
        copy = self.folder / "joined"
        for _ in range(2):
            try:
                return Dataset.from_parquet(
                    files, features=features, cache_dir=str(copy), keep_in_memory=in_memory
                )
            except (pa.ArrowException, OSError) as error:
                if not copy.exists():
                    raise
                warnings.warn(f"{copy} cannot be read ({error}); it is created again", stacklevel=2)
                shutil.rmtree(copy)
        raise AssertionError("the second try returns or raises")

    def _refuse_changes(self) -> None:
        try:
            made_with = json.loads(self._record.read_text())
        except (OSError, ValueError) as error:
            raise StaleRunError(
                f"expected the settings of the shards of {self.folder} in {self._record.name}, which cannot "
                f"be read ({error}); give another output folder, or delete {self.folder}"
            ) from error
        refuse_changes(made_with, self._settings, [self.folder])


def _read_whole(path: Path) -> tuple[int, str | None]:
    """Read every page of a shard, which verifies the checksums; raise ArrowException or OSError if damaged.

    Returns:
        Its number of rows, and the digest of the rows that it was made from, if recorded.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        rows = sum(len(batch) for batch in file.iter_batches())
        digest: bytes | None = (file.schema_arrow.metadata or {}).get(_ROWS)
    return rows, None if digest is None else digest.decode("utf-8", "replace")
