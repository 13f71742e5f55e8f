"""Pools and selections by their flags."""

import pytest
from datasets import DatasetDict
from pools import mixed_pool

from hf_vitselect.cli.flags import PoolFlags
from hf_vitselect.cli.pool import load_rows, load_selection, read_pool
from hf_vitselect.errors import UsageError
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse


def test_saved_splits_are_read(tmp_path):
    DatasetDict({"train": mixed_pool(3), "test": mixed_pool(2)}).save_to_disk(tmp_path)
    assert len(read_pool(PoolFlags(dataset_name=str(tmp_path), dataset_train_split="test"))) == 2
    with pytest.raises(ValueError, match="got 'nope'"):
        read_pool(PoolFlags(dataset_name=str(tmp_path), dataset_train_split="nope"))


def test_a_single_file_is_read(tmp_path):
    mixed_pool(3).to_parquet(tmp_path / "pool.parquet")
    pool = read_pool(PoolFlags(dataset_name=str(tmp_path / "pool.parquet")))
    assert len(pool) == 3
    assert pool.features == mixed_pool(3).features


def test_columns_flag_renames_columns(tmp_path):
    mixed_pool(3).rename_column("messages", "dialog").to_parquet(tmp_path / "pool.parquet")
    name = str(tmp_path / "pool.parquet")
    renamed = read_pool(PoolFlags(dataset_name=name, dataset_columns=["messages=dialog"]))
    assert renamed["messages"][:] == mixed_pool(3)["messages"][:]
    with pytest.raises(UsageError, match="dataset_columns: expected new=old"):
        read_pool(PoolFlags(dataset_name=name, dataset_columns=["dialog"]))


def test_rows_are_those_of_a_selection(scored_pool, tmp_path):
    selection = select_diverse(scored_pool, 3, rule=TopScore())
    selection.save_to_disk(tmp_path / "selection")
    assert load_rows(scored_pool, None) == ()
    assert load_rows(scored_pool, str(tmp_path / "selection")).row_ids == selection.row_ids
    with pytest.raises(UsageError, match="did you mean"):
        load_selection(str(tmp_path / "selecton"))
