"""Scores of images that are files do not outlive them."""

import json
import os

import pytest
from datasets import Dataset, Image, List, load_dataset
from datasets.fingerprint import Hasher
from pools import png

from hf_vitselect import NecessityScorer, score, with_image_root
from hf_vitselect.data.image_files import files_digest, image_files, missing_images
from hf_vitselect.data.rows import undecoded
from hf_vitselect.errors import AllRefusedError, StaleRunError

TALK = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
INLINE = [{"role": "user", "content": [{"type": "image", "path": "0.png"}]}, TALK[1]]
FORMS = {
    "a path": [{"messages": TALK, "image": "0.png"}] * 2,
    "paths": [{"messages": TALK, "images": ["0.png"]}] * 2,
    "path or paths": [{"messages": TALK, "image": "0.png"}, {"messages": TALK, "image": ["0.png"]}],
    "empty bytes": [{"messages": TALK, "image": {"bytes": "", "path": "0.png"}}] * 2,
    "numbered": [{"messages": TALK, "image_1": "0.png", "image_2": None}] * 2,
    "parts in a text": [{"messages": json.dumps(INLINE)}] * 2,
    "parts": [{"messages": INLINE}] * 2,
}


def write(rows, folder):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def load(**options):
        cache = str(folder / "cache")
        rows = load_dataset("json", data_files="rows.jsonl", split="train", cache_dir=cache, **options)
        return with_image_root(rows, folder)

    return load


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads two rows about one file, and one without image, anew each time."""
    monkeypatch.chdir(tmp_path)
    return write([*FORMS["path or paths"], {"messages": TALK}], tmp_path)


@pytest.fixture
def make(tiny):
    return lambda: NecessityScorer(tiny("llava").folder)


@pytest.mark.parametrize("rows", FORMS.values(), ids=FORMS)
def test_files_have_size_and_time(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = list(undecoded(write(rows, tmp_path)()))
    assert image_files(tables) == {"0.png": None}
    digests = [files_digest(tables)]
    for time in (1, 2):
        (tmp_path / "0.png").write_bytes(png())
        os.utime("0.png", (time, time))
        digests.append(files_digest(tables))
    assert len({*digests, files_digest(tables)}) == 3


def score_or_reasons(rows, scorer):
    try:
        return score(rows, scorer)
    except AllRefusedError as error:
        return error.scored


WAYS = {
    "map": lambda rows, scorer: rows.map(scorer, batched=True),
    "map single": lambda rows, scorer: rows.map(scorer),
    "map, two processes": lambda rows, scorer: rows.map(scorer, batched=True, num_proc=2),
    "score": score_or_reasons,
}


@pytest.mark.filterwarnings("ignore:2 of 3 rows")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_new_or_changed_file_is_scored(load, make, way, tmp_path):
    assert way(load(), make())["necessity_status"][:] == ["image_missing", "image_missing", "ok"]
    (tmp_path / "0.png").write_bytes(png())
    first = way(load(), make())
    assert first["necessity_status"][:] == ["ok"] * 3
    (tmp_path / "0.png").write_bytes(png(1))
    os.utime("0.png", (1, 1))
    assert way(load(), make())["necessity"][0] != first["necessity"][0]


def test_unchanged_files_hit_the_cache(load, make, tmp_path, monkeypatch):
    (tmp_path / "0.png").write_bytes(png())
    before = Hasher.hash(make())
    load().map(make(), batched=True)
    monkeypatch.setattr(NecessityScorer, "score_rows", lambda self, rows: pytest.fail("scored again"))
    assert load().map(make(), batched=True)["necessity_status"][:] == ["ok"] * 3
    assert Hasher.hash(make()) == before


@pytest.mark.filterwarnings("ignore:2 of 3 rows")
@pytest.mark.parametrize(
    ("streaming", "named"), [(False, "image_files.missing: 1 then, 0 now"), (True, "other image files")]
)
def test_resumed_run_reports_changed_files(make, tmp_path, monkeypatch, streaming, named):
    monkeypatch.chdir(tmp_path)
    load = write([*FORMS["path or paths"], {"messages": TALK, "image": None}], tmp_path)
    score(load(streaming=streaming), make(), tmp_path / "run")
    (tmp_path / "0.png").write_bytes(png())
    with pytest.raises(StaleRunError, match=named):
        score(load(streaming=streaming), make(), tmp_path / "run")


def test_embedded_images_are_no_files(tmp_path):
    (tmp_path / "0.png").write_bytes(png())
    cell = {"bytes": png(), "path": str(tmp_path / "0.png")}
    rows = Dataset.from_list([{"messages": TALK, "images": [cell, cell]}, {"messages": TALK, "images": []}])
    rows = rows.cast_column("images", List(Image()))
    assert files_digest(undecoded(rows)) is None
    named = Dataset.from_list([{"messages": TALK, "images": [cell, cell | {"bytes": None}]}])
    assert files_digest(undecoded(named.cast_column("images", List(Image())))) is not None


def test_missing_images_are_named(tmp_path):
    rows = [{"prompt": "q", "completion": "a", "image": name} for name in ("0.png", "1.png", None, "2.png")]
    (tmp_path / "1.png").write_bytes(png())
    pool = with_image_root(Dataset.from_list([*rows, *rows[3:] * 2]), tmp_path)
    assert missing_images(pool, ["x"]) == ""
    statuses = ["image_missing", "ok", "ok", "image_missing", "image_missing", "bad_row"]
    scored = pool.add_column("x_status", statuses)
    assert missing_images(scored, ["x", "y"]) == (f"3 rows; tried {tmp_path / '0.png'}, {tmp_path / '2.png'}")


def test_rows_without_image_miss_none():
    row = {"messages": TALK, "images": []}
    pool = Dataset.from_list([row]).add_column("x_status", ["image_missing"])
    assert missing_images(pool, ["x"]) == ""
