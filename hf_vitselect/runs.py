"""A run: stages in a folder. Finished ones are not repeated, stale ones are refused."""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hf_vitselect.engines.ledger import refuse_changes, write_atomically
from hf_vitselect.errors import StaleRunError

_SECRET = re.compile(r"(?i)^token$|(hub|auth|access)_token|secret|password|api_?key(?!_env)")


class Run:
    """A folder of stages, each with a record of the settings that made it.

    A stage depends on the settings of all stages before it, so a change upstream makes it stale.

    Args:
        folder: made if it is not there.

    Attributes:
        seconds: for every stage so far, what it took when it was done.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = {}
        self._before: dict[str, Any] = {}

    def refuse_stale(self, stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Looks at all stages before the first one costs anything.

        Args:
            stages: the settings of every stage that is to come, in order.

        Raises:
            StaleRunError: as `stage` does.
        """
        before: dict[str, Any] = {}
        for name, settings in stages.items():
            self._state(name, _plain({**settings, "stages_before": before}))
            before[name] = settings

    def stage(self, name: str, settings: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Does the work, unless it is done already with these settings.

        Args:
            name: of the stage and its folder.
            settings: plain JSON; what the result depends on.
            work: writes the result into the folder that it is given; after a crash it is called again
                and finds there what it had written.

        Raises:
            StaleRunError: if the stage was made with other settings, naming those that changed, or by nobody
                knows which.
        """
        folder, record = self.folder / name, self.folder / f"{name}.json"
        wanted = _plain({**settings, "stages_before": self._before})
        self._before[name] = settings
        state = self._state(name, wanted)
        if "seconds" in state:
            self.seconds[name] = state["seconds"]
            return folder
        write_atomically(record, json.dumps({"settings": wanted}, indent=2).encode())
        start = time.perf_counter()
        work(folder)
        self.seconds[name] = round(time.perf_counter() - start, 1)
        finished = {"settings": wanted, "seconds": self.seconds[name]}
        write_atomically(record, json.dumps(finished, indent=2).encode())
        return folder

    def _state(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What a stage's record says, if it was made with these settings."""
        folder, record = self.folder / name, self.folder / f"{name}.json"
        # A stage that stopped before it left anything, at a wrong setting say, binds nobody.
        left = any(path.is_file() for path in folder.rglob("*"))
        try:
            state: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
            made_with = state.get("settings")
        except (ValueError, AttributeError):
            state, made_with = {}, None
        if made_with is None:
            if left:
                raise StaleRunError(
                    f"expected a record of the settings that made {folder}, got none in {record}; "
                    f"give another output folder, or delete {folder}"
                )
            return {}
        if "seconds" in state or left:
            refuse_changes(made_with, wanted, [folder, record])
        return state


def without_secrets(settings: Any) -> Any:
    """Plain settings but for tokens, passwords and keys, at any depth."""
    if isinstance(settings, Mapping):
        return {
            name: without_secrets(value) for name, value in settings.items() if not _SECRET.search(str(name))
        }
    if isinstance(settings, list):
        return [without_secrets(value) for value in settings]
    return settings


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint of a training that was written to its end, or None.

    A killed process leaves a broken one, which `transformers.trainer_utils.get_last_checkpoint` takes; the
    trainer writes ``trainer_state.json`` last.
    """
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            json.loads(Path(path, "trainer_state.json").read_text())
        except (OSError, ValueError):
            continue
        return str(path)
    return None


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain
