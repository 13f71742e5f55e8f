"""The base class of a command, and the table of all commands."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hf_vitselect.errors import UsageError

if TYPE_CHECKING:
    from hf_vitselect.cli.summary import Summary

COMMANDS = {
    "demo": "Run the whole chain on a pool that it renders itself: in minutes, offline, on a CPU.",
    "run": "Run a chain of commands from a YAML file with a section for each, and resume it.",
    "seed": "Fine-tune a model on a random part of a pool: the seed model, which then scores the pool.",
    "score": "Add score and embedding columns to a pool.",
    "score_net": "Train a score net together with a model, and add its difficulty to the pool.",
    "filter": "Drop rows of a scored pool: copies, unused images, doubtful answers.",
    "select": "Select a subset of a scored pool.",
    "train": "Fine-tune a model on a selection.",
    "export": "Write a selection in the format of another trainer: LLaVA, LLaMA-Factory, ms-swift, TRL.",
    "push": "Push a selection and its card to the Hub.",
    "compare": "Fine-tune on selections and on random rows, evaluate, and report which is better.",
    "report": "Write a page that shows a selection, and its card, to a folder.",
    "explore": "Explore a scored pool or a selection in a browser, or export it as a site.",
}
"""What every command is for. Each is a class in a module of its name, imported when it is needed."""


@dataclass(frozen=True)
class PoolFacts:
    """Facts of a pool, known before any stage of a run has started, also if a stage will make it."""

    columns: tuple[str, ...]
    rows: int


class Command(ABC):
    """One command: a dataclass whose fields are its flags."""

    example: ClassVar[str]  # flags that work next to the demo's folder
    least: ClassVar[Mapping[str, int]] = {}  # the lowest numbers of flags that have one
    positional: ClassVar[str | None] = None  # the flag whose name may be left out if it comes first
    part_types: ClassVar[Mapping[str, type]] = {}  # further dataclasses of flags; parsing sets their objects
    checked_by_trl: ClassVar[frozenset[str]] = frozenset()  # parts of TRL's flags, which need no check here
    usual_flags: ClassVar[Sequence[str]] = ()  # those of TRL's flags that the help names
    needed: ClassVar[frozenset[str]] = frozenset()  # required flags that have a default

    def check(self) -> None:  # noqa: B027
        """Refuse flags that cannot be followed, before any work."""

    def check_inputs(self, pool: PoolFacts | None) -> None:  # noqa: B027
        """Refuse rows and columns that cannot be used, as `run` will, before other stages of a run start.

        The pool is as the command will find it; None if nothing is known of it.
        """

    def added_columns(self) -> list[str]:
        """The columns that the command adds to its pool, known before any work."""
        return []

    @abstractmethod
    def run(self) -> "Summary":
        """Do the work."""

    def execute(self) -> "Summary":
        """Run the command once its output folder is known to be writable, and time it."""
        start = time.perf_counter()
        for part in (self, *(getattr(self, name) for name in self.part_types)):
            if folder := getattr(part, "output_dir", None):
                refuse_unwritable(folder)
        summary = self.run()
        return replace(summary, facts={**summary.facts, "seconds": f"{time.perf_counter() - start:.1f}"})


def find_command(name: str) -> type[Command]:
    """The command of this name, one of `COMMANDS`."""
    module = import_module(f"hf_vitselect.cli.{name}")
    types = [kind for kind in vars(module).values() if isinstance(kind, type)]
    return next(kind for kind in types if issubclass(kind, Command) and kind.__module__ == module.__name__)


def refuse_unwritable(folder: str) -> None:
    """Refuse an output folder that cannot be made or written to."""
    place = Path(folder)
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"output_dir: expected a folder, got {folder!r}, but {str(place)!r} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"output_dir: expected a folder to write to, got {folder!r}, but {str(place)!r} is read-only"
        )
