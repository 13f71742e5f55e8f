"""A seed model that knows less than how frequent each answer is: a warning, in recipe and card."""

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets

from hf_vitselect import select_diverse
from hf_vitselect.data import with_record
from hf_vitselect.filters import LossTail, NearDuplicates
from hf_vitselect.report.dataset_card import dataset_card
from hf_vitselect.selection import CleanBalanced, Method

LOSSES = CleanBalanced(filters=(LossTail(),))


def scored(loss, answers=("red", "blue") * 300, scorer="NecessityScorer", tokens=2, turns=1):
    """Questions with these answers and about this loss a token."""
    messages = [
        [{"role": "user", "content": f"what color is thing {i}?"}, {"role": "assistant", "content": answer}]
        * turns
        for i, answer in enumerate(answers)
    ]
    count = len(messages)
    losses = loss * np.random.default_rng(0).uniform(0.9, 1.1, count)
    dataset = Dataset.from_dict(
        {"messages": messages, "necessity": losses, "necessity_status": ["ok"] * count}
        | ({"response_tokens": [tokens] * count} if tokens else {})
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
        (scored(0.5, answers=("red", "blue") * 200), LOSSES),
        (scored(0.5, answers=[f"answer {i // 2}" for i in range(600)]), LOSSES),
        (scored(0.5, answers=["red"] * 600), LOSSES),
        (scored(0.5, turns=2), LOSSES),
        (scored(0.5, tokens=None), LOSSES),
        (scored(0.5), CleanBalanced(filters=(NearDuplicates(),))),
        (scored(0.5), Method(filters=(LossTail(),), by="necessity")),
    ],
    ids=["scorer", "few", "rare", "equal", "turns", "tokens", "filters", "kinds"],
)
def test_skill_may_be_unknown(pool, method):
    assert select_diverse(pool, 40, method=method).recipe.skill is None


def test_copies_do_not_count():
    once = scored(0.1)
    twice = concatenate_datasets([once, *[once.select([0] * 300)] * 4])
    twice.info.description = once.info.description
    method = CleanBalanced(filters=(NearDuplicates(), LossTail()))
    assert select_diverse(twice, 60, method=method).recipe.skill == pytest.approx(
        select_diverse(once, 60, method=method).recipe.skill, abs=1e-3
    )


def test_skill_is_a_ratio_of_sums():
    colors, common = scored(0.1), scored(0.2, answers=["yes"] * 495 + ["no"] * 5)
    other = common.map(
        lambda row: {"messages": [{**row["messages"][0], "content": "is it?"}, row["messages"][1]]}
    )
    both = concatenate_datasets([colors, other])
    both.info.description = colors.info.description
    entropy = 600 * (np.log(2) + 1 / 1200) + 500 * (0.056 + 1 / 1000)
    expected = 1 - (600 * 0.2 + 500 * 0.4) / entropy
    assert select_diverse(both, 60, method=LOSSES).recipe.skill == pytest.approx(expected, abs=0.02)
