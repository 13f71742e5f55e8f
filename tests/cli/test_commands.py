"""Pools and rules from flags."""

import pytest
from pools import mixed_pool

from hf_vitselect.cli.arguments import SelectArguments, parse_section
from hf_vitselect.cli.commands import load_pool, make_rule
from hf_vitselect.rules import GroupedSampling, KCenter, NeighborPenalty, TopScore


def test_load_pool_reads_saved_splits(tmp_path):
    from datasets import DatasetDict

    DatasetDict({"train": mixed_pool(3), "test": mixed_pool(2)}).save_to_disk(tmp_path)
    assert len(load_pool(SelectArguments(str(tmp_path), dataset_train_split="test"))) == 2
    with pytest.raises(ValueError, match="got 'nope'"):
        load_pool(SelectArguments(str(tmp_path), dataset_train_split="nope"))


def test_rule_from_flags():
    assert make_rule(SelectArguments("x", gamma=0.5)) == NeighborPenalty(gamma=0.5)
    assert make_rule(SelectArguments("x", rule="TopScore", lowest=True)) == TopScore(lowest=True)
    for groups in ("5", 5):
        made = make_rule(SelectArguments("x", rule="GroupedSampling", groups=groups))
        assert made == GroupedSampling(groups=5)
    assert make_rule(SelectArguments("x", rule="KCenter", rule_kwargs='{"weighted": true}')) == KCenter(
        weighted=True
    )
    by_source = SelectArguments("x", rule="GroupedSampling", groups="source", quota="uniform")
    assert make_rule(by_source) == GroupedSampling(groups="source", quota="uniform")
    with pytest.raises(ValueError, match=r"TopScore has no \['gamma'\]"):
        make_rule(SelectArguments("x", rule="TopScore", gamma=0.5))
    with pytest.raises(ValueError, match=r"expected one of .*TopScore"):
        make_rule(SelectArguments("x", rule="Best"))


def test_a_list_in_yaml_may_hold_numbers_or_be_a_single_text():
    section = {"dataset_name": "x", "eval_dataset_name": "y", "model_name_or_path": "m", "use_cpu": True}
    args, *_ = parse_section("compare", {**section, "budgets": [4, 0.5], "evaluations": "token_f1"})
    assert (args.budgets, args.evaluations) == (["4", "0.5"], ["token_f1"])


def test_load_pool_reads_a_single_file(tmp_path):
    mixed_pool(3).to_parquet(tmp_path / "pool.parquet")
    pool = load_pool(SelectArguments(str(tmp_path / "pool.parquet")))
    assert len(pool) == 3
    assert pool.features == mixed_pool(3).features
