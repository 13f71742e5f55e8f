"""Bars appear on terminals and in notebooks, and only for work of more than a second."""

import io
import re
import sys

import pytest

from hf_vitselect import progress as module
from hf_vitselect.progress import progress


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
