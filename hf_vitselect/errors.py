"""The errors of this package.

VitSelectError
├── UsageError      flags or a configuration that a command cannot follow         (also a ValueError)
├── PoolError       a pool that is not there, or cannot be read                   (also a ValueError)
├── LayoutError     a data set whose columns are no conversation layout we know   (also a ValueError)
├── ColumnError     a column that is missing, or that would be overwritten        (also a ValueError)
├── AllRefusedError rows of which none can be used                                (also a ValueError)
├── BudgetError     a budget that cannot be met                                   (also a ValueError)
├── RowSetError     rows, named by their ids, that do not fit the pool            (also a ValueError)
├── ModelError      a model or processor that cannot be used for the job          (also a ValueError)
├── StaleRunError   a run's folder that was made with other settings              (also a ValueError)
├── WorkerError     workers that die whatever they are given                      (also a RuntimeError)
├── SelectionError  a selection whose parts do not fit together                   (also a ValueError)
├── HubError        a repository that is not what was expected                    (also a ValueError)
└── RowError        one row that cannot be used; carries a status, never ends a scoring run
"""

import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

_SHOWN = 3  # rows that a message names
_ADDRESS = re.compile(r" ?<[\w.]+ object at 0x[0-9a-f]+>")  # in libraries' messages another one each time

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
]

STATUSES: dict[RowStatus, tuple[str, str]] = {
    "ok": ("The row has its score.", ""),
    "no_response": (
        "No assistant turn has any text.",
        "Leave the row out, or give it an answer.",
    ),
    "image_missing": (
        "A placeholder has no image: its cell is null, there is no file of that name, or a row of a pool "
        "from the Hub names a file of this machine.",
        "Bring the files to where the rows name them, and score again: a cached status does not stay.",
    ),
    "image_remote": (
        "The image is a URL. Nothing is fetched while rows are scored.",
        "Download the images first, and put the files' names or bytes into the rows.",
    ),
    "image_error": (
        "The image's bytes are no whole image that can be decoded, or it is too large or too thin.",
        "Repair, shrink or replace the file.",
    ),
    "media_unsupported": (
        "The row uses video or audio: a placeholder, a part of the content, or a column that is not empty. "
        "Or it has an image, and the model's processor is a tokenizer alone.",
        "Leave the row out, put frames of the video into `images`, or give a processor of images as "
        "`processor=`.",
    ),
    "placeholder_mismatch": (
        "There are more or fewer placeholders than images, their numbers are not 1 to n, or a placeholder is "
        "spelled in a way that is not read.",
        "Write `<image>` once for each image, or nowhere.",
    ),
    "control_tokens": (
        "A turn spells one of the model's special tokens.",
        "Take it out of the text, or leave the row out.",
    ),
    "too_long": (
        "The row has more tokens than the model, or `max_length`, takes.",
        "Raise `max_length`, or leave the row out. Nothing is truncated.",
    ),
    "bad_row": (
        "The cells are no conversation that is understood, or the processor or its template refuses it.",
        "Repair what the reason names.",
    ),
    "non_finite": (
        "The score is not a finite number.",
        "Score in float32, or leave the row out.",
    ),
    "worker_died": (
        "The worker process died each time it scored this row.",
        "Look at the row: its image is often very large.",
    ),
}
"""Of each status when it is given, and what to do; docs/rows.md is made from it."""


class VitSelectError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(VitSelectError, ValueError):
    """A command's flags or its configuration cannot be followed."""


class PoolError(VitSelectError, ValueError):
    """There is no pool of that name, or it cannot be read."""


class LayoutError(VitSelectError, ValueError):
    """The columns are none of the known conversation layouts."""


class ColumnError(VitSelectError, ValueError):
    """A column is missing, has the wrong type, is another scorer's, or would be overwritten."""


class AllRefusedError(VitSelectError, ValueError):
    """Not one row can be used.

    Attributes:
        scored: where rows were scored, the pool with every row's status and reason; else None.
    """

    def __init__(self, message: str, scored: Any = None) -> None:
        super().__init__(message)
        self.scored = scored


class BudgetError(VitSelectError, ValueError):
    """The budget is not a number of rows, or a share, that the pool can give."""


class RowSetError(VitSelectError, ValueError):
    """Rows that are named by their ids are not in the pool, or are named for two ends."""


class ModelError(VitSelectError, ValueError):
    """The model or its processor lacks something that the job needs."""


class StaleRunError(VitSelectError, ValueError):
    """A run's folder holds results that were made with other settings."""


class WorkerError(VitSelectError, RuntimeError):
    """Workers die before they have scored anything."""


class SelectionError(VitSelectError, ValueError):
    """A selection that was read from somewhere is damaged or none."""


class HubError(VitSelectError, ValueError):
    """A repository on the Hub is not what was expected."""


class RowError(VitSelectError):
    """A row that cannot be scored or trained on.

    Attributes:
        status: the row's status; never `ok`.
        message: why it has that status, in a few words.
        known: values that the row has nevertheless, by column.
    """

    def __init__(self, status: RowStatus, message: str, known: Mapping[str, Any] | None = None) -> None:
        super().__init__(status, message, known)  # so that it can be pickled
        self.status: RowStatus = status
        self.message = _ADDRESS.sub("", message)
        self.known: Mapping[str, Any] = known or {}

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def counted(errors: Mapping[int, RowError]) -> dict[str, int]:
    """How many rows have which status.

    Args:
        errors: by row.
    """
    return dict(sorted(Counter(error.status for error in errors.values()).items()))


def shown(errors: Mapping[int, RowError], ids: Sequence[str] | None = None) -> str:
    """The first rows with their reasons.

    Args:
        errors: by row.
        ids: of all rows, if they are known.
    """
    first = list(errors.items())[:_SHOWN]
    named = [f"row {i}{'' if ids is None else f' ({ids[i]})'}: {error}" for i, error in first]
    return "; ".join(named) + f"; and {len(errors) - _SHOWN} more" * (len(errors) > _SHOWN)


def nearest_path(path: str | os.PathLike[str]) -> str:
    """What is there under a name like that of a path that is not, as a question to end a message with."""
    missing = Path(path).expanduser()
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        return nearest(missing.name, os.listdir(missing.parent), lambda name: str(missing.with_name(name)))
    except OSError:
        return ""


def nearest(name: str, names: Iterable[str], whole: Callable[[str], str] = str) -> str:
    """The likeliest of some names, as a question to end a message with; empty if none is near.

    Args:
        name: what was typed.
        names: what there is.
        whole: how a name is shown.
    """
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.7)
    return f"; did you mean {whole(close[0])!r}?" if close else ""


def first_line(error: BaseException) -> str:
    """What went wrong first, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".removesuffix(": ")
