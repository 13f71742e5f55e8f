"""The subsets that a selection must beat: random rows, and random rows with answers as long."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.columns import LENGTHS, read_column, read_scores, read_statuses
from hf_vitselect.rules import LengthMatchedRandom, Random
from hf_vitselect.selection.selection import Selection


def baselines(selection: Selection) -> dict[str, NDArray[np.int64]]:
    """Random subsets of the selection's size, from the rows that could have been picked.

    Returns:
        Positions in the pool, int64 of shape (picked,), in random order: `random`, and
        `length_matched` if the lengths of the answers are known (see `length_column`). They depend on
        the recipe's seed only.
    """
    rows, budget, seed = _usable(selection), len(selection), int(selection.recipe.get("seed") or 0)
    columns: dict[str, NDArray[Any]] = {"selected": _column(selection, "selected")[rows]}
    picks = {"random": Random()(None, None, budget, np.random.default_rng(seed), columns)[0]}
    if (name := length_column(selection)) is not None:
        columns[name] = _column(selection, name)[rows]
        rule = LengthMatchedRandom(lengths=name)
        picks["length_matched"] = rule(None, None, budget, np.random.default_rng(seed), columns)[0]
    return {name: rows[picked] for name, picked in picks.items()}


def length_column(selection: Selection) -> str | None:
    """The column of `selection.scores` that says how long a row's answers are."""
    names = (LENGTHS, "answer_characters")
    return next((name for name in names if name in selection.scores.column_names), None)


def _usable(selection: Selection) -> NDArray[np.int64]:
    """The rows that the rule could have picked: with a score and features, and not excluded."""
    scores, usable = selection.scores, np.ones(len(selection.scores), dtype=np.bool_)
    by, over = selection.recipe.get("by"), selection.recipe.get("over")
    if by is not None and by in scores.column_names:
        usable &= read_scores(scores, by)[1] == "ok"
    if over is not None and (statuses := read_statuses(scores, over)) is not None:
        usable &= statuses == "ok"
    if "excluded" in scores.column_names:
        usable &= ~_column(selection, "excluded")
    return np.flatnonzero(usable | _column(selection, "selected"))


def _column(selection: Selection, name: str) -> NDArray[Any]:
    values: NDArray[Any] = read_column(selection.scores, name).to_numpy()
    return values
