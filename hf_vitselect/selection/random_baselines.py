"""The subsets that a selection must beat: random rows, and random rows with answers of the same lengths."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_column
from hf_vitselect.rules import LengthMatchedRandom, Random
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.selection import Selection


def random_baselines(selection: Selection) -> dict[str, NDArray[np.int64]]:
    """Draw subsets of the selection's size from the rows that could have been picked, dropped ones included.

    Returns:
        Positions in the pool, int64 of shape (picked,), in random order: `random`, and `length_matched` if
        `Selection.length_column` is not None. They depend only on the recipe's seed.
    """
    scores, recipe = selection.scores, selection.recipe
    pool = Candidates.read(scores, recipe.by, recipe.over)
    free = (pool.statuses == "ok") | pool.untried
    if "excluded" in scores.column_names:
        free &= ~read_column(scores, "excluded").to_numpy()
    rows, budget, seed = np.union1d(np.flatnonzero(free), selection.indices), len(selection), recipe.seed or 0
    columns: dict[str, NDArray[Any]] = {"selected": np.isin(rows, selection.indices)}
    picks = {"random": Random()(None, None, budget, np.random.default_rng(seed), columns)[0]}
    if (name := selection.length_column) is not None:
        columns[name] = read_column(scores, name).to_numpy()[rows]
        rule = LengthMatchedRandom(lengths=name)
        picks["length_matched"] = rule(None, None, budget, np.random.default_rng(seed), columns)[0]
    return {name: rows[picked] for name, picked in picks.items()}
