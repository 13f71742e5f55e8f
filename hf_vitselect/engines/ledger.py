"""The ledger: finished shards on disk, with what made them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_vitselect.errors import StaleRunError


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
        if record.exists():
            refuse_changes(json.loads(record.read_text()), settings, [self.folder])
        else:
            write_atomically(record, json.dumps(settings, indent=2).encode())

    def path(self, shard: int) -> Path:
        """Where a shard lies, or will lie."""
        return self.folder / f"shard-{shard:05d}.parquet"

    def write(self, shard: int, table: pa.Table) -> None:
        """Keeps a finished shard; it appears whole or not at all."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomically(self.path(shard), sink.getvalue().to_pybytes())


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


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file that a reader sees whole or not at all, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
