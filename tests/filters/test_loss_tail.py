"""LossTail: ranks inside cells, the cut for a budget, and the seed model's skill."""

import numpy as np
import pytest

from hf_vitselect.filters import LossTail, NothingToGoByError, Rows


def make_rows(cells, **others):
    """Rows of cells, each a kind, an answer and its losses."""
    names = sorted({kind for kind, _, _ in cells})
    return Rows.of(
        np.array([loss for _, _, losses in cells for loss in losses], dtype=np.float64),
        kinds=np.array([names.index(kind) for kind, _, losses in cells for _ in losses]),
        kind_names=names,
        answers=np.array([answer for _, answer, losses in cells for _ in losses], dtype=object),
        **others,
    )


TEN = np.arange(1.0, 11.0)
TWO_ANSWERS = [("sure", "yes", TEN), ("sure", "no", 100 + TEN)]


def test_each_answer_loses_its_highest():
    drops = LossTail(cut=0.9, smallest=5).find(make_rows(TWO_ANSWERS))
    assert sorted(drops.rows.tolist()) == [9, 19]
    assert (
        drops.reasons[1] == "a loss of 10.000 is above 90.0% of the rows of kind 'sure' with the answer 'yes'"
    )
    assert drops.thresholds == {"cut": 0.9, "cells": [["sure", "no", 109.0], ["sure", "yes", 9.0]]}


def test_rare_answers_share_a_cell():
    rare = [("what", f"answer {i}", [loss]) for i, loss in enumerate(TEN)]
    drops = LossTail(cut=0.8, smallest=5).find(make_rows([*rare, *TWO_ANSWERS[:1]]))
    assert sorted(drops.rows.tolist()) == [8, 9, 18, 19]
    assert ["what", None, 8.0] in drops.thresholds["cells"]
    assert any(reason.endswith("of kind 'what' with a rare answer") for reason in drops.reasons)


def test_equal_losses_go_together():
    losses = [1, 2, 3, 3, 3, 3, 3, 3, 9, 9]
    drops = LossTail(cut=0.3, smallest=1).find(make_rows([("what", "a", losses)]))
    assert drops.rows.tolist() == [8, 9]
    assert drops.thresholds["cells"] == [["what", "a", 3.0]]


def test_rows_dropped_earlier_are_ranked():
    left = np.arange(10) < 9
    drops = LossTail(cut=0.8, smallest=5).find(make_rows([("what", "a", TEN)], left=left))
    assert drops.rows.tolist() == [8]


@pytest.mark.parametrize(
    ("budget", "cut", "dropped"),
    [(1, 0.5, 5), (4, 0.5, 5), (5, 0.7, 3), (6, 0.8, 2), (7, 0.9, 1), (8, 1.0, 0), (10, 1.0, 0)],
)
def test_cut_rises_with_the_budget(budget, cut, dropped):
    drops = LossTail(cut=0.5, smallest=5, spare=1.25).find(make_rows([("what", "a", TEN)], budget=budget))
    assert len(drops.rows) == dropped
    assert drops.rows.tolist() == [9, 8, 7, 6, 5][:dropped]
    assert drops.thresholds["cut"] == cut


def test_cut_rises_in_all_cells():
    drops = LossTail(cut=0.5, smallest=5, spare=1).find(make_rows(TWO_ANSWERS, budget=16))
    assert sorted(drops.rows.tolist()) == [8, 9, 18, 19]


SKILLS = make_rows(
    [("seen", "yes", TEN / 100), ("seen", "no", TEN / 100), ("blind", "yes", TEN), ("blind", "no", TEN)],
    columns={"response_tokens": np.full(40, 2)},
)


def test_kinds_without_skill_are_spared():
    drops = LossTail(cut=0.9, smallest=5, min_skill=0.5).find(SKILLS)
    assert {SKILLS.kind_names[SKILLS.kinds[row]] for row in drops.rows} == {"seen"}
    seen = 1 - 2 * TEN.mean() / 100 / np.log(2)
    assert drops.thresholds["skills"] == {
        "seen": pytest.approx(seen, abs=1e-3),
        "blind": pytest.approx(1 - 2 * TEN.mean() / np.log(2), abs=1e-3),
    }
    assert ["blind", "yes", None] in drops.thresholds["cells"]
    assert LossTail(min_skill=0.5).describe(drops.thresholds) == (
        "losses from quantile 0.9 up of their kind and answer; "
        "none of 'blind', where the seed model has too little skill"
    )
    assert len(LossTail(cut=0.9, smallest=5).find(SKILLS).rows) == 4


def test_one_answer_needs_no_skill():
    rows = make_rows([("what", "a", TEN)], columns={"response_tokens": np.ones(10)})
    drops = LossTail(cut=0.5, smallest=5, min_skill=0.1).find(rows)
    assert (drops.rows.tolist(), drops.thresholds["skills"]) == ([], {})


def test_new_rows_go_by_their_cell():
    each = LossTail(cut=0.9, smallest=5)
    rare = [("sure", f"maybe {i}", [loss]) for i, loss in enumerate(TEN)]
    thresholds = each.find(make_rows([*TWO_ANSWERS, *rare])).thresholds
    new = [
        ("sure", "yes", [9.0, 9.5]),
        ("sure", "no", [50.0, 109.5]),
        ("sure", "never seen", [9.0, 12.0]),
        ("a new kind", "yes", [1e6]),
    ]
    drops = each.find_more(make_rows(new), thresholds)
    losses = make_rows(new).scores[drops.rows]
    assert losses.tolist() == [12.0, 9.5, 109.5]
    assert drops.reasons[1] == (
        "a loss of 9.500 is above 9.000, the highest kept of kind 'sure' with such an answer"
    )


def test_equal_losses_decide_nothing():
    with pytest.raises(NothingToGoByError, match="scores that differ"):
        LossTail(smallest=1).find(make_rows([("what", "a", [1, 1]), ("what", "b", [2, 2])]))


@pytest.mark.parametrize(
    "arguments", [{"cut": 0.0}, {"cut": 1.5}, {"smallest": 0}, {"spare": 0.5}, {"min_skill": 2.0}], ids=str
)
def test_invalid_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: expected"):
        LossTail(**arguments)
