"""A run: stages in a folder. Finished ones are not repeated, stale ones are refused."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hf_vitselect.engines.ledger import refuse_changes, write_atomically


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
        self._before = ""

    def stage(self, name: str, settings: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Does the work, unless it is done already with these settings.

        Args:
            name: of the stage and its folder.
            settings: plain JSON; what the result depends on.
            work: writes the result into the folder that it is given; after a crash it is called again
                and finds there what it had written.

        Raises:
            StaleRunError: if the stage was made with other settings, naming those that changed.
        """
        folder, record = self.folder / name, self.folder / f"{name}.json"
        wanted = json.loads(json.dumps({**settings, "stages_before": self._before}))
        self._before = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
        if record.exists():
            state = json.loads(record.read_text())
            # A stage that stopped before it left anything, at a wrong setting say, binds nobody.
            if "seconds" in state or folder.exists():
                refuse_changes(state["settings"], wanted, [folder, record])
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
