"""Whether the seed model knows enough for its losses to mean something."""

import warnings
from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from hf_vitselect.data.columns import LENGTHS, read_values
from hf_vitselect.filters.base import Rows
from hf_vitselect.filters.skill import skills
from hf_vitselect.selection.groups import Groups
from hf_vitselect.selection.kinds import OTHERS
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.scorer_recipes import ScorerRecipe

_FEWEST = 500  # rows of closed kinds, to say anything


def seed_skill(
    dataset: Dataset, rows: Rows, method: Method, groups: Groups | None, scorers: Sequence[ScorerRecipe]
) -> float | None:
    """Return the mean skill of the seed model over the rows of closed kinds with one answer each.

    Args:
        dataset: The n rows that could be picked.
        rows: The same rows as filters see them.
        method: Says which score is the loss.
        groups: Their kinds.
        scorers: Those of the pool's columns.

    Returns:
        At most 1; see `skills`. None if no filter reads answers, if the loss is not that of
        `NecessityScorer`, if the kinds are not those of `QuestionKinds`, or if there are fewer than 500 such
        rows.
    """
    reads_answers = any(each.uses_answers for each in method.filters)
    is_loss = any(each.column == method.by and each.scorer == "NecessityScorer" for each in scorers)
    if not (reads_answers and is_loss and groups and groups.kinds and LENGTHS in dataset.column_names):
        return None
    losses = rows.scores * read_values(dataset, LENGTHS).astype(np.float64)
    skill, closed = skills(rows, losses)
    alike = [not kind.several_turns and kind.question != OTHERS for kind in groups.kinds.kinds]
    alike += [False] * (len(skill) - len(alike))  # rows without a readable question
    used = closed & np.isfinite(skill) & np.array(alike)
    weights = np.bincount(rows.kinds, rows.weights * np.isfinite(losses), minlength=len(skill)) * used
    if weights.sum() < _FEWEST:
        return None
    return round(float(np.average(np.where(used, skill, 0.0), weights=weights)), 4)


def warn_without_skill(skill: float | None) -> None:
    """Warn if the seed model knows less than how frequent each answer is."""
    if skill is not None and skill < 0:
        warnings.warn(
            "the seed model knows less about the answers than how frequent each one is (a skill of "
            f"{skill:.2f}): its losses say little, and the picks may be no better than random rows; train it "
            "on more rows, or for more epochs",
            stacklevel=3,
        )
