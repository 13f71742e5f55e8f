"""The skill of a model that knows nothing, the answers' frequencies, or the answers."""

import numpy as np
import pytest

from hf_vitselect.filters.base import Rows
from hf_vitselect.filters.skill import skills

ANSWERS = np.array(["yes"] * 75 + ["no"] * 25, dtype=object)


def skill_of(losses, answers=ANSWERS, **others):
    return skills(Rows.of(np.ones(len(answers)), answers=answers, **others), losses)


@pytest.mark.parametrize(
    ("losses", "skill"),
    [
        (np.zeros(100), 1.0),
        (-np.log([0.75] * 75 + [0.25] * 25), 0.0),
        (np.full(100, np.log(2)), 1 - np.log(2) / 0.562335),
        (np.append(np.zeros(99), np.nan), 1.0),
    ],
    ids=["answers", "frequencies", "guesses", "unknown"],
)
def test_skill_is_beyond_frequencies(losses, skill):
    found, closed = skill_of(losses)
    assert found == pytest.approx([skill], abs=1e-6)
    assert closed.tolist() == [True]


def test_kinds_have_their_own_skill():
    kinds = np.repeat([0, 1, 2, 3], 25)
    answers = np.array(["a", "b"] * 25 + [f"answer {i}" for i in range(25)] + ["a"] * 25, dtype=object)
    answers[49] = "b"
    found, closed = skill_of(
        np.repeat([0.0, 1.0, 2.0, 3.0], 25), answers, kinds=kinds, kind_names=list("wxyz")
    )
    assert found[:2] == pytest.approx([1.0, 1 - 1 / np.log(2)], abs=0.01)
    assert found[3] == -np.inf
    assert closed.tolist() == [True, True, False, True]
