"""The ledger: finished shards on disk, with what made them."""

import glob
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features

from hf_vitselect.errors import StaleRunError

ROWS = b"hf_vitselect.rows"
"""Metadata of a shard's schema, where nothing else says so: a digest of the rows that it was made from."""


class Ledger:
    """A folder of Parquet shards that only ever holds results of the same settings.

    Args:
        folder: made if it is not there.
        settings: plain JSON; what the shards' contents depend on.

    Raises:
        StaleRunError: if the folder was made with other settings, naming those that changed.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "ledger.json"
        if not record.exists():
            # Another rank may be faster; then its settings hold.
            with suppress(FileExistsError):
                _create_atomically(record, json.dumps(settings, indent=2).encode())
        refuse_changes(json.loads(record.read_text()), settings, [self.folder])

    def finished(self) -> set[int]:
        """The numbers of the shards that are there."""
        return {int(path.stem.removeprefix("shard-")) for path in self.folder.glob("shard-*.parquet")}

    def path(self, shard: int) -> Path:
        """Where a shard lies, or will lie."""
        return self.folder / f"shard-{shard:05d}.parquet"

    def write(self, shard: int, table: pa.Table) -> None:
        """Keeps a finished shard; it appears whole or not at all. One that is there already stays."""
        if not self.path(shard).exists():
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            # Another rank may have finished the run meanwhile, and tidied up.
            with suppress(FileNotFoundError):
                write_atomically(self.path(shard), sink.getvalue())

    def refuse_other_rows(self, shard: int, digest: str) -> None:
        """Refuses to go on with a shard that was made from other rows.

        Args:
            shard: a finished one, whose schema has the metadata `ROWS`.
            digest: of the rows that it should have been made from.

        Raises:
            StaleRunError: if it was not.
        """
        if (pq.read_schema(self.path(shard)).metadata or {}).get(ROWS) != digest.encode():
            raise StaleRunError(
                f"{self.path(shard)} was made from other rows, or other image files, than come now; "
                f"give another output folder, or delete {self.folder}"
            )

    def refuse_more_than(self, shards: int) -> None:
        """Refuses shards that are left of a longer pool.

        Raises:
            StaleRunError: if there are any.
        """
        if more := self.finished() - set(range(shards)):
            raise StaleRunError(
                f"expected {shards} shards, got shard {max(more)} of a longer pool too; give another output "
                f"folder, or delete {self.folder}"
            )

    def read(self, shards: int, features: Features, *, in_memory: bool = False) -> Dataset:
        """All shards, in order. What killed writers have left is removed.

        Args:
            shards: how many there are.
            features: their columns.
            in_memory: whether the data set outlives the folder; else it is memory-mapped, from a copy in
                Arrow's format in the folder ``joined``.
        """
        files = [glob.escape(str(self.path(shard))) for shard in range(shards)]  # `datasets` globs them
        for unfinished in self.folder.glob(".shard-*"):
            unfinished.unlink(missing_ok=True)
        copy = str(self.folder / "joined")
        return Dataset.from_parquet(files, features=features, cache_dir=copy, keep_in_memory=in_memory)


def refuse_changes(made_with: Mapping[str, Any], settings: Mapping[str, Any], made: Sequence[Path]) -> None:
    """Refuses results that were made with other settings.

    Args:
        made_with: the settings then.
        settings: the settings now.
        made: the files and folders that hold the results.

    Raises:
        StaleRunError: naming every setting that differs.
    """
    # Through JSON and back, as the recorded ones went: a tuple comes back as a list.
    then, now = _flat(made_with), _flat(json.loads(json.dumps(settings)))
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        differences = "; ".join(f"{name}: {then.get(name)!r} then, {now.get(name)!r} now" for name in changed)
        raise StaleRunError(
            f"{made[0]} was made with other settings ({differences}); give another output folder, "
            f"or delete {' and '.join(map(str, made))}"
        )


def _flat(settings: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by their full names, such as ``scorers[0].dtype``."""
    if isinstance(settings, Mapping):
        items = [(f"{name}.{key}".removeprefix("."), value) for key, value in settings.items()]
    elif isinstance(settings, list):
        items = [(f"{name}[{i}]", value) for i, value in enumerate(settings)]
    else:
        return {name: settings}
    return {full: value for key, inner in items for full, value in _flat(inner, key).items()}


def write_atomically(path: Path, content: bytes | pa.Buffer) -> None:
    """Writes a file that a reader sees whole or not at all, also after a crash."""
    os.replace(_write_beside(path, content), path)


def _create_atomically(path: Path, content: bytes) -> None:
    """As `write_atomically`, but a file that is there stays.

    Raises:
        FileExistsError: if one is there, even if it came just now.
    """
    temporary = _write_beside(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # A mounted drive or bucket may have no hard links; there the last one to come stays.
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_beside(path: Path, content: bytes | pa.Buffer) -> Path:
    """Writes a temporary file in the same folder."""
    # Process ids of two machines can be the same.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
