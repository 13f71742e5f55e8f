"""Errors as short messages that say what to do."""

import errno
import traceback
from collections.abc import Iterator
from pathlib import Path

from hf_vitselect.errors import VitSelectError

_MOST_LINES = 3
_WIDEST = 600
_PACKAGE = Path(__file__).parents[1]
_MORE = "(--debug shows where it comes from)"
_UNEXPECTED = "this is unexpected: run the command again with --debug for the traceback, and please report it"
_RESUMED = {
    "score": "finished shards are kept: the same command resumes",
    **dict.fromkeys(("run", "demo"), "finished stages are kept: the same command resumes"),
    "compare": "finished trials are kept: the same command resumes",
    **dict.fromkeys(
        ("seed", "train", "score_net"),
        "the same command with --resume_from_checkpoint true resumes from the last checkpoint, if any",
    ),
}


def describe_error(error: BaseException, command: str) -> tuple[str, int]:
    """Describe the error that a command ended with, in at most three lines, and give the exit status.

    The status is 2 for what the user can act on, 1 for an unexpected error, 130 for an interrupt.
    """
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {_RESUMED.get(command, 'nothing was written')}", 130
    causes = list(_causes(error))
    if ours := next((cause for cause in causes if isinstance(cause, VitSelectError)), None):
        return _lines(str(ours)), 2
    if any(isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError" for cause in causes):
        return f"out of memory: {_line(error)}\n{_less_memory(command)}", 2
    if full := next((cause for cause in causes if _is_of_full_disk(cause)), None):
        return f"no space left on the disk: {_line(full)}\nmake room, or give another --output_dir", 2
    if any(type(cause).__module__.startswith(("httpx", "httpcore")) for cause in causes):
        return f"no connection: {_line(error)}\ncheck the network, or name local files and folders", 2
    if isinstance(error, (ValueError, OSError, ImportError)) or "pip install" in str(error):
        shown, frames = _lines(str(error) or type(error).__name__), traceback.extract_tb(error.__traceback__)
        if frames and _PACKAGE in Path(frames[-1].filename).parents:  # the message is ours, for the user
            return shown, 2
        return f"{_lines(shown, _MOST_LINES - 1)}\n{_MORE}", 2
    return f"{_lines(_line(error), 1)}\n{_UNEXPECTED}", 1


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_of_full_disk(error: BaseException) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)


def _less_memory(command: str) -> str:
    if command in ("score", "run"):
        return "lower --batch_size or --batch_tokens, or --dtype bfloat16; finished shards are kept"
    return "lower --per_device_train_batch_size, or train an adapter with --use_peft"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {_lines(str(error), 1)}".removesuffix(": ")


def _lines(text: str, most: int = _MOST_LINES) -> str:
    """The first lines that are not blank."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…" for line in lines[:most])
