"""The methods to compare: each selects a subset for a budget and a seed."""

import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.call_text import parse_call
from hf_vitselect.data.columns import LENGTHS
from hf_vitselect.data.row_ids import column_digest, pool_digest
from hf_vitselect.data.rows import answer_characters
from hf_vitselect.errors import UsageError, nearest_path
from hf_vitselect.rules import RULES, LengthMatchedRandom, Rule
from hf_vitselect.selection.recipe import RuleCall
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

RANDOM, MATCHED, FULL = "random", "random, lengths of {}", "full data"
CHARACTERS, MARKS = "response_characters", "resembled"
"""Columns that a comparison adds to the pool."""


@dataclass(frozen=True)
class Method:
    """A rule with the columns that it reads.

    Attributes:
        rule: from `hf_vitselect.rules`.
        by: the score column; no rule picks rows without a usable score.
        over: the embedding column.

    Example:
        >>> from hf_vitselect.rules import NeighborPenalty
        >>> Method(NeighborPenalty(rescale="minmax"), by="score_net", over="clip").by
        'score_net'
    """

    rule: Rule
    by: str = "necessity"
    over: str = "embedding"

    def settings(self, pool: Dataset) -> dict[str, Any]:
        """The method and digests of the columns that it reads, as plain JSON."""
        reads = [self.by, f"{self.by}_status", *self.rule.uses_columns]
        if self.rule.uses_features:
            reads += [self.over, f"{self.over}_status"]
        digests = {name: column_digest(pool, name) for name in reads if name in pool.column_names}
        return {
            "rule": RuleCall.of(self.rule).to_json(),
            "by": self.by,
            "over": self.over,
            "columns": digests,
        }

    def select(self, pool: Dataset, rows: int, seed: int) -> Selection:
        """Select this number of rows."""
        return select_diverse(pool, rows, by=self.by, over=self.over, rule=self.rule, seed=seed)


@dataclass(frozen=True)
class Fixed:
    """A finished selection: the same rows for every seed."""

    selection: Selection

    def settings(self, pool: Dataset) -> dict[str, Any]:
        """The ids of its rows, as plain JSON."""
        return {"row_ids": pool_digest(self.selection.row_ids)}

    def select(self, pool: Dataset, rows: int, seed: int) -> Selection:
        """Return the selection itself."""
        return self.selection


def parse_method(text: str, by: str) -> tuple[str, Method | Selection]:
    """Read a method and its name, the part before the first `=` or the whole text.

    Args:
        text: a rule with its arguments and optionally `by` and `over`, or a selection's folder.
        by: the score column if the text has none.

    Example:
        >>> parse_method("easy=TopScore(lowest=True)", "necessity")
        ('easy', Method(rule=TopScore(lowest=True), by='necessity', over='embedding'))
    """
    named = re.fullmatch(r"([^=()]+)=(.+)", text)
    name, given = (part.strip() for part in (named.groups() if named else (text, text)))
    if os.path.isdir(given):
        return name if named else os.path.basename(os.path.normpath(given)), Selection.load_from_disk(given)
    if os.sep in given.partition("(")[0]:
        raise UsageError(
            f"expected a rule such as TopScore, or a selection's folder, got {given!r}, which is not there"
            f"{nearest_path(given)}"
        )
    try:
        call = parse_call(given)
        columns = {"by": by} | {key: call.keywords.pop(key) for key in ("by", "over") if key in call.keywords}
        if wrong := [key for key, column in columns.items() if not isinstance(column, str)]:
            raise UsageError(f'{wrong[0]}: expected a quoted column, such as {wrong[0]}="score"')
        return name, Method(call.make(RULES), **columns)
    except UsageError as error:
        raise UsageError(
            f"expected a rule such as TopScore or easy=TopScore(lowest=True), or a selection's folder, got "
            f"{text!r}: {error}{nearest_path(given)}"
        ) from error


def with_lengths(pool: Dataset) -> tuple[Dataset, str]:
    """Return the pool with a column of response lengths, in characters unless a scorer counted tokens."""
    if LENGTHS in pool.column_names:
        return pool, LENGTHS
    lengths = [count or 0 for count in answer_characters(pool)]
    return pool.add_column(CHARACTERS, lengths, feature=Value("int64")), CHARACTERS


def length_matched(pool: Dataset, lengths: str, picked: NDArray[np.int64], by: str) -> tuple[Method, Dataset]:
    """Random rows with the response lengths of the picked rows: the method, and the pool to pick from."""
    marks = np.zeros(len(pool), dtype=np.bool_)
    marks[picked] = True
    rule = LengthMatchedRandom(like=MARKS, lengths=lengths)
    return Method(rule, by), pool.add_column(rule.like, marks.tolist(), feature=Value("bool"))
