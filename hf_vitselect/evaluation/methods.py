"""The methods to compare: each selects a subset for a budget and a seed."""

import os
import re
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.call_text import write_call
from hf_vitselect.data.columns import LENGTHS, read_column
from hf_vitselect.data.row_ids import column_digest, pool_digest
from hf_vitselect.data.rows import answer_characters
from hf_vitselect.errors import UsageError, nearest_path
from hf_vitselect.rules import LengthMatchedRandom
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.judge_pool import judge_pool
from hf_vitselect.selection.method import Method, read_method
from hf_vitselect.selection.pick import JudgedPool
from hf_vitselect.selection.selection import Selection

RANDOM, MATCHED, FULL = "random", "random, lengths of {}", "full data"
CHARACTERS, MARKS = "response_characters", "resembled"
"""Columns that a comparison adds to the pool."""
_NAMED = re.compile(r"([^=()]+)=(.+)")


@dataclass(frozen=True, eq=False)
class Chosen:
    """A method whose rows depend on the seed, on a pool with these row ids."""

    method: Method
    pool: Dataset
    ids: list[str]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The parts of the method and digests of the columns that it reads, as plain JSON."""
        method = self.method
        named = [*method.required_columns, method.by, *method.filter_columns]
        named += [method.over] * method.uses_image_features
        reads = [column for name in dict.fromkeys(named) for column in (name, f"{name}_status")]
        digests = {name: column_digest(self.pool, name) for name in reads if name in self.pool.column_names}
        parts = {item.name: write_call(getattr(method, item.name), whole=True) for item in fields(method)}
        return {"method": parts, "columns": digests}

    def select(self, rows: int, seed: int) -> Selection:
        """Select this number of rows; for the same number again the pool is not judged again."""
        judged = self._judged.get(rows)
        if judged is None or judged.seed not in (None, seed):
            self._judged.clear()  # it may hold the features of all rows
            judged = judge_pool(self.pool, self.ids, rows, method=self.method, seed=seed)
            self._judged[rows] = judged
        return Selection.of(self.pool, self.ids, judged.pick(seed))

    @cached_property
    def usable(self) -> int:
        """The number of rows that random ones are drawn from."""
        return len(Candidates.read(self.pool, self.method.by, None).with_untried().usable)

    @cached_property
    def _judged(self) -> dict[int, JudgedPool]:
        """The pool as it was judged last, by the number of rows."""
        return {}


@dataclass(frozen=True, eq=False)
class Fixed:
    """A finished selection: the same rows for every seed."""

    selection: Selection

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The ids of its rows, as plain JSON."""
        return {"row_ids": pool_digest(self.selection.row_ids)}

    def select(self, rows: int, seed: int) -> Selection:
        """Return the selection itself."""
        return self.selection


def parse_method(text: str, by: str | None = None) -> tuple[str, Method | Selection]:
    """Read a method and its name, the part before the first `=` or the whole text.

    Args:
        text: a method such as `CleanBalanced()`, a rule alone, or a selection's folder.
        by: the score column of a rule alone whose text names none.

    Examples:
        >>> parse_method("easy=TopScore(lowest=True)")
        ('easy', Method(filters=(), kinds=None, ..., rule=TopScore(lowest=True), ...))
    """
    name, given = method_name(text), _after_name(text)
    if os.path.isdir(given):
        return name, Selection.load_from_disk(given)
    if names_folder(text):
        raise UsageError(
            f"expected a method such as CleanBalanced, or a selection's folder, got {given!r}, which is not "
            f"there{nearest_path(given)}"
        )
    try:
        return name, read_method(given, by)
    except UsageError as error:
        raise UsageError(
            "expected a method such as CleanBalanced or easy=TopScore(lowest=True), or a selection's folder, "
            f"got {text!r}: {error}{nearest_path(given)}"
        ) from error


def method_name(text: str) -> str:
    """Return the name in a method's text: what stands before the first `=`, a folder's name, or the text."""
    given = _after_name(text)
    if _NAMED.fullmatch(text):
        return text.partition("=")[0].strip()
    return os.path.basename(os.path.normpath(given)) if names_folder(text) else given


def names_folder(text: str) -> bool:
    """Return whether a text names a folder, which may not exist yet, and not a method."""
    given = _after_name(text)
    return os.path.isdir(given) or os.sep in given.partition("(")[0]


def _after_name(text: str) -> str:
    named = _NAMED.fullmatch(text)
    return (named[2] if named else text).strip()


def with_lengths(pool: Dataset, by: str) -> tuple[Dataset, str]:
    """Return the pool with a column of response lengths: in tokens if a scorer counted those of all rows.

    Otherwise they are in characters. A row whose score in `by` failed needs no length.
    """
    if LENGTHS in pool.column_names:
        rows = Candidates.read(pool, by, None).with_untried().usable
        if read_column(pool.select(rows), LENGTHS).null_count == 0:
            return pool, LENGTHS
    lengths = [count or 0 for count in answer_characters(pool)]
    return pool.add_column(CHARACTERS, lengths, feature=Value("int64")), CHARACTERS


def length_matched(uniform: Chosen, lengths: str, picked: NDArray[np.int64]) -> Chosen:
    """Random rows with the response lengths of the picked rows, given random rows of the same pool."""
    marks = np.zeros(len(uniform.pool), dtype=np.bool_)
    marks[picked] = True
    rule = LengthMatchedRandom(like=MARKS, lengths=lengths)
    pool = uniform.pool.add_column(rule.like, marks.tolist(), feature=Value("bool"))
    return Chosen(replace(uniform.method, rule=rule), pool, uniform.ids)
