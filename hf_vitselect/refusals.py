"""Why rows were refused: the reason of one row, and what is said of many."""

import re
from collections.abc import Collection

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.columns import read_column
from hf_vitselect.errors import RowError

LONGEST_REASON = 200
_QUOTED_FOLDERS = re.compile(r"""(?<=['"])(?:file://)?(?:[A-Za-z]:)?[\\/~][^'"]*[\\/](?=[^'"\\/]*['"])""")
_FOLDERS = re.compile(r"""(?<![\w:/.\\])(?:file://|~|[A-Za-z]:)?[\\/]{1,2}(?:[^\s\\/'":,;]+[\\/])+""")


def reason_of(error: RowError) -> str:
    """A row's reason as a column holds it: one short line, and files of this machine by their name only."""
    text = _FOLDERS.sub("", _QUOTED_FOLDERS.sub("", " ".join(error.message.split())))
    if len(text) > LONGEST_REASON:
        text = f"{text[: LONGEST_REASON - 1]}…"
    return text.encode("utf-8", "replace").decode()


def read_reasons(
    dataset: Dataset, columns: Collection[str], statuses: NDArray[np.object_]
) -> NDArray[np.object_]:
    """Why rows cannot be used, in words: what the reason column of a column of the same status says.

    Args:
        dataset: with the columns.
        columns: that were read; the first that explains a row counts.
        statuses: of shape (rows,), as they were read or merged from several.

    Returns:
        Texts of shape (rows,), None where the status is ``ok``.
    """
    reasons = np.full(len(dataset), None, dtype=object)
    refused = statuses != "ok"
    for column in columns:
        names = (f"{column}_status", f"{column}_reason")
        if refused.any() and all(dataset.features.get(name) == Value("string") for name in names):
            status, reason = (np.array(read_column(dataset, name).to_pylist(), object) for name in names)
            unknown = refused & (status == statuses) & np.equal(reasons, None)
            reasons[unknown] = reason[unknown]
    reasons[refused & np.equal(reasons, None)] = f"no usable value in {' or '.join(columns)}"
    return reasons
