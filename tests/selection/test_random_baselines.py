"""The random subsets that a selection is compared with."""

import numpy as np
import pytest
from datasets import Dataset, Value
from pools import mixed_pool

from hf_vitselect.filters import LossTail
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.random_baselines import random_baselines
from hf_vitselect.selection.select_diverse import select_diverse


def test_baselines_have_size_and_usable_rows(scored_pool: Dataset) -> None:
    drawn = random_baselines(select_diverse(scored_pool, 30, rule=TopScore()))
    assert list(drawn) == ["random", "length_matched"]
    for rows in drawn.values():
        assert len(set(rows.tolist())) == 30
        assert not {3, 17} & set(rows.tolist())


def test_lengths_are_those_of_the_selection() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    pool = mixed_pool(200).add_column("response_tokens", lengths.tolist(), feature=Value("int32"))
    pool = pool.add_column("necessity", lengths.astype(float).tolist())
    selection = select_diverse(pool, 40, rule=TopScore())
    drawn = random_baselines(selection)
    assert selection.length_column == "response_tokens"
    picked = lengths[selection.indices].mean()
    assert lengths[drawn["length_matched"]].mean() == pytest.approx(picked, rel=0.1)
    assert lengths[drawn["random"]].mean() < 0.8 * picked


def test_lengths_fall_back_to_characters() -> None:
    selection = select_diverse(mixed_pool(20), 5, rule=Random())
    assert selection.length_column == "answer_characters"
    assert selection.scores["answer_characters"][1] == len("red or green")


def test_baselines_depend_on_seed_only(scored_pool: Dataset) -> None:
    first, again, other = (
        random_baselines(select_diverse(scored_pool, 9, seed=seed, rule=NeighborPenalty()))
        for seed in (1, 1, 2)
    )
    assert {name: rows.tolist() for name, rows in first.items()} == {
        name: rows.tolist() for name, rows in again.items()
    }
    assert first["random"].tolist() != other["random"].tolist()


def test_dropped_rows_are_drawn_too() -> None:
    pool = mixed_pool(200).add_column("necessity", [float(i % 100) for i in range(200)])
    selection = select_diverse(pool, 60, method=Method(filters=(LossTail(cut=0.5, smallest=200),)))
    dropped = {row for row, name in enumerate(selection.scores["dropped_by"]) if name}
    assert len(dropped) > 50
    assert not dropped & set(selection.indices.tolist())
    for rows in random_baselines(selection).values():
        assert len(dropped & set(rows.tolist())) > 10


def test_excluded_rows_are_never_drawn(scored_pool: Dataset) -> None:
    never = select_diverse(scored_pool, 20, rule=Random())
    drawn = random_baselines(select_diverse(scored_pool, 15, rule=TopScore(), exclude=never))
    for rows in drawn.values():
        assert not set(never.indices.tolist()) & set(rows.tolist())
