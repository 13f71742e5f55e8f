"""A seed model that knows less than how frequent each answer is: a warning, in recipe and card."""

import numpy as np
import pytest
from datasets import Dataset

from hf_vitselect import select_diverse
from hf_vitselect.data import with_record
from hf_vitselect.filters import LossTail, NearDuplicates
from hf_vitselect.report.dataset_card import dataset_card
from hf_vitselect.selection import CleanBalanced, Method

LOSSES = CleanBalanced(filters=(LossTail(),))


def scored(loss, rows=600, scorer="NecessityScorer", tokens=2):
    """Questions about two colors, with about this loss a token."""
    answers = ["red", "blue"] * (rows // 2)
    one = [
        [{"role": "user", "content": f"what color is thing {i}?"}, {"role": "assistant", "content": answer}]
        for i, answer in enumerate(answers)
    ]
    losses = loss * np.random.default_rng(0).uniform(0.9, 1.1, rows)
    dataset = Dataset.from_dict(
        {"messages": one, "necessity": losses, "necessity_status": ["ok"] * rows}
        | ({"response_tokens": [tokens] * rows} if tokens else {})
    )
    record = {"source": None, "scorers": [{"column": "necessity", "scorer": scorer}]}
    dataset.info.description = with_record("", record)
    return dataset


def test_model_without_skill_is_warned_of():
    with pytest.warns(UserWarning, match=r"a skill of -0\.4\d\): its losses say little"):
        selection = select_diverse(scored(0.5), 60, method=LOSSES)
    assert selection.recipe.skill == pytest.approx(1 - 2 * 0.5 / np.log(2), abs=0.01)
    assert f"Skill of the seed model: {selection.recipe.skill:.2f}" in dataset_card(selection)


def test_skill_is_in_recipe_and_card():
    selection = select_diverse(scored(0.1), 60, method=LOSSES)
    assert selection.recipe.skill == pytest.approx(1 - 2 * 0.1 / np.log(2), abs=0.01)
    assert f"Skill of the seed model: {selection.recipe.skill:.2f}" in dataset_card(selection)


@pytest.mark.parametrize(
    ("pool", "method"),
    [
        (scored(0.5, scorer="Own"), LOSSES),
        (scored(0.5, rows=400), LOSSES),
        (scored(0.5, tokens=None), LOSSES),
        (scored(0.5), CleanBalanced(filters=(NearDuplicates(),))),
        (scored(0.5), Method(filters=(LossTail(),), by="necessity")),
    ],
    ids=["scorer", "few", "tokens", "filters", "kinds"],
)
def test_skill_may_be_unknown(pool, method):
    assert select_diverse(pool, 40, method=method).recipe.skill is None
