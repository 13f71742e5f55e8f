"""Other libraries' bars are hidden for a time, and come back."""

import io

import datasets
import pytest
from datasets import Dataset
from transformers.utils import logging

from hf_vitselect.models.library_bars import no_library_bars


@pytest.fixture
def bars(monkeypatch):
    """The bars of datasets, as a user has them."""
    monkeypatch.delenv("HF_DATASETS_DISABLE_PROGRESS_BARS", raising=False)
    datasets.enable_progress_bars()
    yield
    datasets.disable_progress_bars()


def test_bars_are_hidden_and_restored(bars, capsys):
    rows = Dataset.from_dict({"a": [1, 2]})
    with no_library_bars(), no_library_bars():
        rows.map(lambda row: {"b": row["a"]}, load_from_cache_file=False)
        list(logging.tqdm(range(3), desc="Loading weights"))
    assert "Map" not in capsys.readouterr().err
    rows.map(lambda row: {"b": row["a"]}, load_from_cache_file=False)
    list(logging.tqdm(range(3), desc="Loading weights"))
    assert {"Map:", "weights:"} <= set(capsys.readouterr().err.split())


def test_errors_restore_the_bars(bars):
    with pytest.raises(KeyError), no_library_bars():
        raise KeyError
    assert not datasets.are_progress_bars_disabled()
    file = io.StringIO()
    list(logging.tqdm(range(3), file=file))
    assert file.getvalue()


def test_environment_has_the_last_word(bars, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "0")
    with no_library_bars():
        assert not datasets.are_progress_bars_disabled()
