"""Planted: picking wrong answers is worse than random, and another random subset is no better or worse."""

import numpy as np
import pytest
from pools import assistant, png, pool, user

from hf_vitselect.demo.stages import small_training
from hf_vitselect.evaluation import ExactMatch, Generated, LogLikelihood, compare
from hf_vitselect.rules import GroupedSampling, TopScore
from hf_vitselect.selection.method import Method

pytestmark = pytest.mark.slow

QUESTIONS, ANSWERS = ("first", "second", "third"), ("red", "green", "blue")
ROWS = 96


def asked(kinds, shifts):
    rows = [
        ([user(QUESTIONS[kind], 1), assistant(ANSWERS[(kind + shift) % 3])], [png(i)])
        for i, (kind, shift) in enumerate(zip(kinds, shifts, strict=True))
    ]
    return pool(rows)


@pytest.fixture(scope="module")
def result(tiny, tmp_path_factory):
    """Three of ten answers are wrong; one rule picks only these, another one at random within one group."""
    rng = np.random.default_rng(0)
    wrong = rng.permutation(ROWS) < 0.3 * ROWS
    made = asked(rng.integers(3, size=ROWS), np.where(wrong, 1, 0)).add_column("wrong", wrong.astype(float))
    held_out = asked(np.arange(24) % 3, np.zeros(24, dtype=int))
    folder = tmp_path_factory.mktemp("planted")
    return compare(
        made,
        {"wrong": TopScore(), "chance": Method(rule=GroupedSampling(groups=1, within="random"), by="wrong")},
        tiny("llava").folder,
        {
            "exact match": ExactMatch(held_out),
            "log-likelihood": LogLikelihood(held_out),
            "written": Generated(held_out, metric=same, max_new_tokens=8),
        },
        folder,
        budgets=[24],
        seeds=3,
        args=small_training(folder, epochs=13, batch_size=8, learning_rate=1e-2),
        by="wrong",
        matched=[],
    )


def same(answers, right):
    return [float(one == other) for one, other in zip(answers, right, strict=True)]


@pytest.mark.parametrize("evaluation", ["exact match", "log-likelihood"])
def test_wrong_answers_are_worse_than_random(evaluation, result):
    line = next(line for line in result.lines[evaluation] if line.method == "wrong")
    assert line.random.verdict == "worse"
    assert line.verdict.startswith("wrong, 24 rows: worse than random, -")


@pytest.mark.parametrize("evaluation", ["exact match", "log-likelihood"])
def test_another_random_subset_is_indistinguishable(evaluation, result):
    line = next(line for line in result.lines[evaluation] if line.method == "chance")
    assert line.random.verdict == "not distinguishable"


def test_exact_match_agrees_with_generation(result):
    matched, written = ([line.means for line in result.lines[name]] for name in ("exact match", "written"))
    assert matched == written
    assert np.ptp(matched) > 0.3
