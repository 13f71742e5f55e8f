"""A folder holds the results of one set of settings, whoever comes at the same time."""

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Features, Value

from hf_vitselect.engines.ledger import Ledger
from hf_vitselect.errors import StaleRunError


def test_ranks_that_start_together_with_other_settings_are_refused(tmp_path, monkeypatch):
    Ledger(tmp_path, {"pool": "ours"})
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as it was when both looked
    Ledger(tmp_path, {"pool": "ours"})
    with pytest.raises(StaleRunError, match="pool: 'ours' then, 'theirs' now"):
        Ledger(tmp_path, {"pool": "theirs"})
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


def test_a_file_system_without_hard_links_does(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EOPNOTSUPP, "no hard links")

    monkeypatch.setattr(os, "link", link)
    Ledger(tmp_path, {"pool": "ours"})
    with pytest.raises(StaleRunError, match="pool: 'ours' then, 'theirs' now"):
        Ledger(tmp_path, {"pool": "theirs"})
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


def test_a_folder_s_name_is_no_pattern(tmp_path):
    for name, number in (("run1", 1), ("run[1]", 2)):
        ledger = Ledger(tmp_path / name, {})
        ledger.write(0, pa.table({"number": [number]}))
    assert ledger.read(1, Features({"number": Value("int64")}))["number"][:] == [2]
