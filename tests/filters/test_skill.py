"""The losses of a model that knows nothing, the answers' frequencies, or the answers."""

import numpy as np
import pytest

from hf_vitselect.filters.base import Rows
from hf_vitselect.filters.skill import Guessing

ANSWERS = np.array(["yes"] * 75 + ["no"] * 25, dtype=object)


def guessing(losses, answers=ANSWERS, **others):
    return Guessing.of(Rows.of(np.ones(len(answers)), answers=answers, **others), losses)


@pytest.mark.parametrize(
    ("losses", "skill"),
    [
        (np.zeros(100), 1.0),
        (-np.log([0.75] * 75 + [0.25] * 25), 0.0),
        (np.full(100, np.log(2)), 1 - np.log(2) / 0.562335),
        (np.append(np.zeros(99), np.nan), 1.0),
    ],
    ids=["answers", "frequencies", "halves", "unknown"],
)
def test_skill_is_beyond_frequencies(losses, skill):
    assert guessing(losses).skills == pytest.approx([skill], abs=1e-6)


def test_kinds_are_apart():
    kinds = np.repeat([0, 1, 2, 3], 25)
    answers = np.array(["a"] * 25 + ["a", "b"] * 12 + ["c"] + [f"answer {i}" for i in range(25)] + ["a"] * 25)
    losses = np.repeat([0.0, 1.0, 2.0, np.nan], 25)
    found = guessing(losses, answers.astype(object), kinds=kinds, kind_names=list("wxyz"))
    assert found.rows.tolist() == [25, 25, 25, 0]
    assert found.losses.tolist() == [0, 1, 2, 0]
    assert found.answers.tolist() == [1, 3, 25, 0]
    assert found.rare == pytest.approx([0, 0.04, 1, 0])
    assert found.entropies[[0, 2, 3]] == pytest.approx([0, np.log(25), 0])
    assert found.skills[0] == found.skills[3] == -np.inf
