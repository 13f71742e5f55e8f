"""A folder holds whole results of one set of settings, whoever comes at the same time."""

import errno
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value
from lengths import Length, calls, words

from hf_vitselect import score
from hf_vitselect.errors import StaleRunError
from hf_vitselect.scoring.shards import Ledger

TABLE = pa.table({"number": [1]})


def test_concurrent_other_settings_are_refused(tmp_path):
    one, two, other = (Ledger(tmp_path, {"pool": name}) for name in ("ours", "ours", "theirs"))
    one.write(0, TABLE, "digest")
    two.write(1, TABLE, "digest")
    with pytest.raises(StaleRunError, match="pool: 'ours' then, 'theirs' now"):
        other.write(2, TABLE, "digest")
    assert {path.name for path in tmp_path.glob("*.parquet")} == {
        "shard-00000.parquet",
        "shard-00001.parquet",
    }


def test_file_system_without_hard_links(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EOPNOTSUPP, "no hard links")

    monkeypatch.setattr(os, "link", link)
    Ledger(tmp_path, {"pool": "ours"}).write(0, TABLE, "digest")
    with pytest.raises(StaleRunError, match="pool: 'ours' then, 'theirs' now"):
        Ledger(tmp_path, {"pool": "theirs"})
    assert {path.name for path in tmp_path.iterdir()} == {"ledger.json", "shard-00000.parquet"}


def test_settings_without_shards_are_replaced(tmp_path):
    Ledger(tmp_path, {"dtype": "float17"})
    assert not list(tmp_path.iterdir())
    (tmp_path / "ledger.json").write_text(
        '{"dtype": "float17"}'
    )  # as a kill before the first shard leaves it
    Ledger(tmp_path, {"dtype": "float32"}).write(0, TABLE, "digest")
    with pytest.raises(StaleRunError, match="dtype: 'float32' then, 'float16' now"):
        Ledger(tmp_path, {"dtype": "float16"})


def test_changed_digests_are_explained(tmp_path):
    scorer = {"identity": {"model": "seed", "digest": "a" * 64}}
    Ledger(tmp_path, {"pool": "1" * 64, "scorers": [scorer]}).write(0, TABLE, "digest")
    changed = {"identity": {"model": "seed", "digest": "b" * 64}}
    with pytest.raises(StaleRunError) as error:
        Ledger(tmp_path, {"pool": "2" * 64, "scorers": [changed]})
    assert "11111111… then, 22222222… now: the pool has other rows" in str(error.value)
    assert "aaaaaaaa… then, bbbbbbbb… now: the files of seed have changed" in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_damaged_record_is_refused_by_name(tmp_path):
    Ledger(tmp_path, {}).write(0, TABLE, "digest")
    (tmp_path / "ledger.json").write_text("{")
    with pytest.raises(StaleRunError, match=r"in ledger\.json, which cannot be read"):
        Ledger(tmp_path, {})


def test_folder_name_is_no_pattern(tmp_path):
    for name, number in (("run1", 1), ("run[1]", 2)):
        ledger = Ledger(tmp_path / name, {})
        ledger.write(0, pa.table({"number": [number]}), "digest")
    assert ledger.read(1, Features({"number": Value("int64")}))["number"][:] == [2]


def flip(path):
    content, column = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "no Parquet": lambda path: path.write_text("<html>not found</html>"),
    "one bit": flip,
    "other rows": lambda path: shutil.copy(path.with_name("shard-00000.parquet"), path),
    "fewer rows": lambda path: pq.write_table(pq.read_table(path).slice(0, 1), path),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("streamed", [False, True], ids=["pool", "stream"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_shard_is_scored_again(damage, streamed, tmp_path, recwarn):
    rows = words("a", "bb", "ccc", "dddd", "eeeee", "ffffff")
    pool = rows.to_iterable_dataset() if streamed else rows
    whole = score(pool, Length(tmp_path), tmp_path / "run", shard_size=2)["length"][:]
    (tmp_path / f"calls-{os.getpid()}").unlink()
    damage(tmp_path / "run" / "shard-00001.parquet")
    if streamed and damage is DAMAGES["other rows"]:  # or the stream is another one now: nobody knows
        with pytest.raises(StaleRunError, match="was made from other rows"):
            score(pool, Length(tmp_path), tmp_path / "run", shard_size=2)
        return
    assert score(pool, Length(tmp_path), tmp_path / "run", shard_size=2)["length"][:] == whole
    assert calls(tmp_path) == {f"calls-{os.getpid()}": ["ccc", "dddd"]}
    said = [str(one.message) for one in recwarn if "is damaged" in str(one.message)]
    assert len(said) == (damage is not DAMAGES["gone"])
    assert all("shard-00001.parquet" in text and "scored again" in text for text in said)


def test_damaged_copy_is_made_again(tmp_path):
    rows = words("a", "bb")
    score(rows, Length(tmp_path), tmp_path / "run")
    (copy,) = (tmp_path / "run" / "joined").rglob("*.arrow")
    copy.write_bytes(copy.read_bytes()[:40])
    with pytest.warns(UserWarning, match="joined cannot be read"):
        assert len(score(rows, Length(tmp_path), tmp_path / "run")["length"][:]) == 2
