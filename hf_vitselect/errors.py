"""The errors of this package, the statuses of rows, and the words that messages share."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

_SHOWN = 3  # rows that a message names
_ADDRESS = re.compile(r" ?<[\w.]+ object at 0x[0-9a-f]+>")  # differs each time in libraries' messages

RowStatus = Literal[
    "ok",
    "no_response",
    "image_missing",
    "image_remote",
    "image_error",
    "media_unsupported",
    "placeholder_mismatch",
    "control_tokens",
    "too_long",
    "bad_row",
    "non_finite",
    "worker_died",
    "not_scored",
    "repeats",
]

NOT_SCORED: RowStatus = "not_scored"
REPEATS: RowStatus = "repeats"
UNTRIED = frozenset({NOT_SCORED, REPEATS})
"""Statuses of rows that nobody has tried to score."""

STATUSES: dict[RowStatus, tuple[str, str]] = {
    "ok": ("The row has its score.", ""),
    "no_response": ("No assistant turn has any text.", "Leave the row out, or give it an answer."),
    "image_missing": (
        "A placeholder has no image: its cell is null, no file of that name exists below the image root, the "
        "path leads out of it, or nothing comes back from a URL.",
        "Put the files where the rows name them, or give their folder (`image_root`, `allow_paths`), and "
        "score again: this status is not cached.",
    ),
    "image_remote": (
        "The image is a URL, and `fetch_urls` is not set, its protocol is not one of those fetched, or its "
        "address is not public.",
        "Set `fetch_urls`, and `allow_addresses` for private addresses, or download the images first.",
    ),
    "image_error": (
        "The bytes cannot be decoded to a whole image, the image is too large or too thin, its archive is "
        "damaged, or a URL gives a web page.",
        "Repair, shrink or replace the file.",
    ),
    "media_unsupported": (
        "The row uses video or audio: a placeholder, a content part, or a column that is not empty. "
        "Or it has an image and the model's processor is only a tokenizer.",
        "Leave the row out, put frames of the video into `images`, or pass a processor with images as "
        "`processor=`.",
    ),
    "placeholder_mismatch": (
        "The numbers of placeholders and images differ, numbered placeholders are not 1 to n, or a "
        "placeholder has an unknown spelling.",
        "Write `<image>` once for each image, or nowhere.",
    ),
    "control_tokens": (
        "A turn spells one of the model's special tokens.",
        "Take it out of the text, or leave the row out.",
    ),
    "too_long": (
        "The row has more tokens than the model or `max_length` allows.",
        "Raise `max_length`, or leave the row out. Nothing is truncated.",
    ),
    "bad_row": (
        "The cells are not a known kind of conversation, or the processor or its template refuses them.",
        "Fix what the reason names.",
    ),
    "non_finite": ("The score is not a finite number.", "Score in float32, or leave the row out."),
    "worker_died": (
        "The worker process died each time it scored this row.",
        "Inspect the row: its image is often very large.",
    ),
    "not_scored": (
        "`score_candidates` did not need the row: its draw comes too late, or the images of its kind are not "
        "used.",
        "Nothing, or score the whole pool.",
    ),
    "repeats": (
        "`score_candidates` did not need the row: it has nearly the same text and images as another row.",
        "Nothing, or score the whole pool.",
    ),
}
"""What each status means and what to do about it; docs/guides/rows.md is made from this."""


class VitSelectError(Exception):
    """The base of every error that this package raises on purpose. Most are also a ValueError."""


class UsageError(VitSelectError, ValueError):
    """A command's flags or its configuration cannot be followed."""


class PoolError(VitSelectError, ValueError):
    """A pool does not exist or cannot be read."""


class LayoutError(VitSelectError, ValueError):
    """The columns are not a known conversation layout."""


class ColumnError(VitSelectError, ValueError):
    """A column is missing, has the wrong type, belongs to another scorer, or would be overwritten."""


class AllRefusedError(VitSelectError, ValueError):
    """No row can be used. `scored` is the pool with every row's status, or None if nothing was scored."""

    def __init__(self, message: str, scored: Any = None) -> None:
        super().__init__(message)
        self.scored = scored


class BudgetError(VitSelectError, ValueError):
    """The budget is not a number of rows or a share that the pool can give."""


class RowSetError(VitSelectError, ValueError):
    """Rows named by their ids are not in the pool, or are both included and excluded."""


class ModelError(VitSelectError, ValueError):
    """The model or its processor lacks something the job needs."""


class StaleRunError(VitSelectError, ValueError):
    """A run's folder holds results made with other settings."""


class WorkerError(VitSelectError, RuntimeError):
    """Workers die before they score anything."""


class SelectionError(VitSelectError, ValueError):
    """A stored selection or recipe is invalid or damaged."""


class ExportError(VitSelectError, ValueError):
    """A selection that cannot be exported as asked."""


class HubError(VitSelectError, ValueError):
    """A repository on the Hub is not what was expected."""


class RowError(VitSelectError):
    """A row cannot be scored or trained on. Scoring records the status and continues.

    Attributes:
        status: the row's status; never `ok`.
        message: the reason, in a few words.
        known: values of columns that the row has nevertheless, by column.
    """

    def __init__(self, status: RowStatus, message: str, known: Mapping[str, Any] | None = None) -> None:
        super().__init__(status, message, known)  # all arguments, so that it can be pickled
        self.status: RowStatus = status
        self.message = _ADDRESS.sub("", message)
        self.known: Mapping[str, Any] = known or {}

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def counted(errors: Mapping[int, RowError]) -> dict[str, int]:
    """The number of rows with each status, given the errors by row."""
    return dict(sorted(Counter(error.status for error in errors.values()).items()))


def shown(errors: Mapping[int, RowError], ids: Sequence[str] | None = None) -> str:
    """The first few rows with their reasons, and with their ids if known."""
    first = list(errors.items())[:_SHOWN]
    named = [f"row {i}{'' if ids is None else f' ({ids[i]})'}: {error}" for i, error in first]
    return "; ".join(named) + f"; and {len(errors) - _SHOWN} more" * (len(errors) > _SHOWN)


def nearest_path(path: str | os.PathLike[str]) -> str:
    """An existing path with a name like that of a missing one, as a question to end a message with."""
    missing = Path(path).expanduser()
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        return nearest(missing.name, os.listdir(missing.parent), lambda name: str(missing.with_name(name)))
    except OSError:
        return ""


def nearest(name: str, names: Iterable[str], whole: Callable[[str], str] = str) -> str:
    """The most similar name, as a question to end a message with; empty if none is close."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.7)
    return f"; did you mean {whole(close[0])!r}?" if close else ""


def first_line(error: BaseException) -> str:
    """The type and first line of an error's root cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".removesuffix(": ")
