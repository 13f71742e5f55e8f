"""Whether the seed model knows enough for its losses to mean something."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.columns import LENGTHS, read_values
from hf_vitselect.filters.base import Rows
from hf_vitselect.filters.skill import Guessing
from hf_vitselect.selection.groups import Groups
from hf_vitselect.selection.kinds import OTHERS
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.scorer_recipes import ScorerRecipe

_FEWEST = 500  # rows with known answers, to say anything
_FEWEST_OF_KIND = 50
_MOST_RARE = (
    0.1  # of a kind's rows have a rare answer; where more have, nobody knows how frequent answers are
)


def seed_skill(
    rows: Rows,
    copies: NDArray[np.bool_],
    method: Method,
    groups: Groups | None,
    scorers: Sequence[ScorerRecipe],
) -> float | None:
    """Return the skill of the seed model in kinds of question with recurring answers, one a row.

    It is 1 less the mean loss of a whole response divided by the mean entropy of the answers inside kinds:
    0 is that of a guess by how frequent each answer is, 1 that of a model that knows every answer.

    Args:
        rows: The n rows that could be picked.
        copies: bool `[n]`, rows that repeat another one and do not count.
        method: Says which score is the loss.
        groups: Their kinds.
        scorers: Those of the pool's columns.

    Returns:
        At most 1. None if no filter reads answers, if the loss is not that of `NecessityScorer`, if the kinds
        are not those of `QuestionKinds`, or if fewer than 500 rows have recurring answers.
    """
    reads_answers = any(each.uses_answers for each in method.filters)
    is_loss = any(each.column == method.by and each.scorer == "NecessityScorer" for each in scorers)
    if not (reads_answers and is_loss and groups and groups.kinds):
        return None
    if rows.pool is None or LENGTHS not in rows.pool.column_names:
        return None
    losses = rows.scores * read_values(rows.pool, LENGTHS).astype(np.float64)
    guessing = Guessing.of(rows, np.where(copies, np.nan, losses))
    alike = [not kind.several_turns and kind.question != OTHERS for kind in groups.kinds.kinds]
    alike += [False] * (len(guessing.rows) - len(alike))  # rows without a readable question
    used = np.array(alike) & (guessing.rows >= _FEWEST_OF_KIND) & (guessing.rare <= _MOST_RARE)
    if guessing.rows[used].sum() < _FEWEST:
        return None
    weights = np.bincount(rows.kinds, rows.weights * ~copies, minlength=len(used))[used]
    # The entropy of a sample is too low by about this much (Miller and Madow).
    entropies = (guessing.entropies + (guessing.answers - 1) / (2 * np.maximum(guessing.rows, 1)))[used]
    if not weights @ entropies > 0:
        return None
    return round(1 - float(weights @ guessing.losses[used]) / float(weights @ entropies), 4)


def warn_without_skill(skill: float | None) -> None:
    """Warn if the seed model is worse than a guess."""
    if skill is not None and skill < 0:
        warnings.warn(
            "the seed model predicts answers worse than a guess by how frequent each one is (a skill of "
            f"{skill:.2f}): its losses say little, and the picks may be no better than random rows; train it "
            "on more rows, or for more epochs",
            stacklevel=3,
        )
