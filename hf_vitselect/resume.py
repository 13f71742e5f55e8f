"""A run as stages in a folder: finished ones are kept, stale ones refused, files written atomically."""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from hf_vitselect.errors import StaleRunError

_SECRET = re.compile(r"(?i)^token$|(hub|auth|access)_token|secret|password|api_?key(?!_env)")
_HEX = re.compile(r"[0-9a-f]{16,64}")
_MOST_DIFFERENCES = 6


class Run:
    """A folder of stages, each with a record of the settings that made it.

    A stage depends on the settings of all stages before it, so a change upstream makes it stale.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = {}  # of every stage so far, as measured when it ran
        self._before: dict[str, Any] = {}

    def refuse_stale(self, stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Check the settings of all stages, in order, before the first one starts."""
        before: dict[str, Any] = {}
        for name, settings in stages.items():
            self._state(name, _plain({**settings, "stages_before": before}))
            before[name] = settings

    def stage(
        self,
        name: str,
        settings: Mapping[str, Any],
        work: Callable[[Path], None],
        part: Mapping[str, Any] | None = None,
    ) -> Path:
        """Run a stage, unless it has finished with these settings. Refuse one made with others.

        Args:
            name: Of the stage and its folder.
            settings: Everything the result depends on, as plain JSON.
            work: Writes into the folder it is given; after a crash it is called again and finds its
                unfinished work there. The seconds before an error or an interrupt count, those before a kill
                are lost.
            part: Says which part of the result is needed, as plain JSON; None for the whole. Where the stage
                has finished with another part, `work` is called again, to add to it.
        """
        folder, record = self.folder / name, self.folder / f"{name}.json"
        current = _plain({**settings, "stages_before": self._before})
        self._before[name] = settings
        state = self._state(name, current)
        wanted, before = part and _plain(part), state.get("seconds", state.get("spent", 0.0))
        if "seconds" in state and state.get("part") in (None, wanted):
            self.seconds[name] = before
            return folder
        start = time.perf_counter() - before
        unfinished = {"settings": current, "spent": round(before, 1)}
        write_atomically(record, json.dumps(unfinished, indent=2).encode())
        try:
            work(folder)
        except BaseException:
            unfinished["spent"] = round(time.perf_counter() - start, 1)
            write_atomically(record, json.dumps(unfinished, indent=2).encode())
            raise
        self.seconds[name] = round(time.perf_counter() - start, 1)
        finished = {"settings": current, "seconds": self.seconds[name]} | ({"part": wanted} if wanted else {})
        write_atomically(record, json.dumps(finished, indent=2).encode())
        return folder

    def _state(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a stage made with these settings; empty if it has not started."""
        folder, record = self.folder / name, self.folder / f"{name}.json"
        try:
            state: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
            made_with = state.get("settings")
        except (ValueError, AttributeError):
            state, made_with = {}, None
        # A stage that stopped before it wrote anything, say at a wrong setting, may change its settings.
        started = any(path.is_file() for path in folder.rglob("*"))
        if made_with is None and started:
            raise StaleRunError(
                f"expected a record of the settings that made {folder}, got none in {record}; "
                f"give another output folder, or delete {folder}"
            )
        if made_with is not None and ("seconds" in state or started):
            refuse_changes(made_with, settings, [folder, record])
        return {} if made_with is None else state


def without_secrets(settings: Any) -> Any:
    """Drop tokens, passwords and keys from plain settings, at any depth."""
    if isinstance(settings, Mapping):
        kept = {name: value for name, value in settings.items() if not _SECRET.search(str(name))}
        return {name: without_secrets(value) for name, value in kept.items()}
    if isinstance(settings, list):
        return [without_secrets(value) for value in settings]
    return settings


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint of a training, or None."""
    # A killed process leaves a broken one, which `transformers.trainer_utils.get_last_checkpoint` accepts.
    # The trainer writes `trainer_state.json` last.
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            json.loads(Path(path, "trainer_state.json").read_text())
        except (OSError, ValueError):
            continue
        return str(path)
    return None


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they come back from a JSON file: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def refuse_changes(made_with: Mapping[str, Any], settings: Mapping[str, Any], made: Sequence[Path]) -> None:
    """Raise StaleRunError, naming the settings that differ, if results have other settings."""
    then, now = _flat(made_with), _flat(_plain(settings))
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        differences = [_difference(name, then, now) for name in changed[:_MOST_DIFFERENCES]]
        if more := len(changed) - len(differences):
            differences.append(f"and {more} more")
        raise StaleRunError(
            f"{made[0]} was made with other settings ({'; '.join(differences)})\n"
            "resume with the old settings, give another output folder, "
            f"or delete {' and '.join(map(str, made))}"
        )


def _difference(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """One setting then and now, and what a digest stands for."""
    plain = f"{name}: {_short(then.get(name))} then, {_short(now.get(name))} now"
    parent, _, last = name.rpartition(".")
    if last == "digest":
        model = now.get(f"{parent}.model")
        same = model is not None and model == then.get(f"{parent}.model")
        return f"{plain}: the files of {model} have changed" if same else plain
    if last in ("pool", "dataset_name") and _HEX.fullmatch(str(now.get(name))):
        return f"{plain}: the pool has other rows, or the same in another order"
    if parent.rpartition(".")[2] == "reads":
        return f"{plain}: the column {last!r} has other values"
    return plain


def _short(value: Any) -> str:
    return f"{value[:8]}…" if isinstance(value, str) and _HEX.fullmatch(value) else repr(value)


def _flat(settings: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by their full names, such as `scorers[0].dtype`."""
    if isinstance(settings, Mapping):
        items = [(f"{name}.{key}".removeprefix("."), value) for key, value in settings.items()]
    elif isinstance(settings, list):
        items = [(f"{name}[{i}]", value) for i, value in enumerate(settings)]
    else:
        return {name: settings}
    return {full: value for key, inner in items for full, value in _flat(inner, key).items()}


def write_atomically(path: Path, content: bytes | pa.Buffer) -> None:
    """Write a file so that readers see all of it or none, also after a crash."""
    os.replace(_write_temporary(path, content), path)


def create_atomically(path: Path, content: bytes) -> None:
    """Write a file as `write_atomically` does, but raise FileExistsError instead of replacing one."""
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # Mounted drives and buckets may lack hard links; there the last writer wins.
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Write a folder whole or not at all, in place of an older one: give a temporary folder to write into."""
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def refuse_other_contents(folder: Path, record: str, what: str) -> None:
    """Raise FileExistsError if a folder holds files, but not the `record` that marks it as `what`."""
    if folder.is_dir() and not (folder / record).exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty and holds no {what}; give another folder")


def _write_temporary(path: Path, content: bytes | pa.Buffer) -> Path:
    """Write a temporary file in the same folder."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # two machines may share a folder
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
