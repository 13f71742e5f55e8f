"""Bars appear on terminals and in notebooks, and only for work of more than a second."""

import io
import re
import sys

import datasets
import pytest
from datasets import Dataset
from pools import mixed_pool
from trainings import training
from transformers.utils import logging

from hf_vitselect import NecessityScorer, compare, score, select_diverse
from hf_vitselect import progress as module
from hf_vitselect.progress import no_library_bars, progress
from hf_vitselect.rules import Random


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, monkeypatch, seconds, **how):
    """What a bar over three items of work writes."""
    monkeypatch.setattr(sys, "stderr", stream)
    now = [0.0]
    with progress(title="Work", unit="row", total=3, mininterval=0, file=stream, **how) as bar:
        bar._time = lambda: now[0]
        bar.start_t = bar.last_print_t = 0.0
        for _ in range(3):
            now[0] += seconds
            bar.update()
    return stream.getvalue()


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def test_long_work_shows_one_bar(monkeypatch):
    text = shown(Terminal(), monkeypatch, 1.0)
    assert re.findall(r"Work: +\d+%", text)[-1] == "Work: 100%"
    assert text.count("\n") == 1


def test_short_work_shows_nothing(monkeypatch):
    assert shown(Terminal(), monkeypatch, 0.3) == ""


def test_files_get_no_bar(monkeypatch):
    assert shown(io.StringIO(), monkeypatch, 1.0) == ""


def test_environment_hides_all_bars(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert shown(Terminal(), monkeypatch, 1.0) == ""


def test_notebooks_show_bars(monkeypatch):
    monkeypatch.setattr(
        module, "tqdm", type("Widget", (module.tqdm_notebook,), {"__new__": lambda _, *a, **how: how})
    )
    assert progress(title="Work", unit="row")["disable"] is False


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


def test_overlapping_blocks_restore_the_bars(bars, capsys):
    first, second = no_library_bars(), no_library_bars()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    list(logging.tqdm(range(3), desc="Loading weights"))
    assert datasets.are_progress_bars_disabled()
    assert capsys.readouterr().err == ""
    second.__exit__(None, None, None)
    assert not datasets.are_progress_bars_disabled()
    list(logging.tqdm(range(3), desc="Loading weights"))
    assert "Loading weights" in capsys.readouterr().err


def test_streams_without_isatty_show_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", object())
    assert not module.bars_are_visible()


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


def test_calls_write_no_bar_to_files(bars, capfd, tiny, tmp_path):
    pool = mixed_pool(8)
    model = tiny("llava").folder
    capfd.readouterr()
    scorers = NecessityScorer(model)
    scored = score(pool, scorers, tmp_path / "scores")
    assert score(pool, scorers)["necessity"] == scored["necessity"]
    selection = select_diverse(scored, 4, rule=Random())
    selection.save_to_disk(tmp_path / "selection")
    args = training(tmp_path)
    folder, evaluations = tmp_path / "compared", {"constant": _constant}
    compare(scored, {"mine": selection}, model, evaluations, folder, seeds=2, args=args)
    assert "%|" not in capfd.readouterr().err


def _constant(model):
    return 0.5
