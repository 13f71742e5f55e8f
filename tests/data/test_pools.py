"""Whatever people type for a pool is found, or named with what is there."""

import gzip
import json

import pytest
from datasets import Dataset, DatasetDict
from pools import png

from hf_vitselect.data import pools as loading
from hf_vitselect.data.pools import load_pool, load_stream
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import ColumnError, PoolError

ROWS = Dataset.from_dict({"prompt": [f"q{i}" for i in range(6)], "completion": ["a"] * 6})
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def in_folder(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.jsonl").write_text(content)


HELD = {
    "p.parquet": lambda here: ROWS.to_parquet(here / "p.parquet"),
    "p.json": lambda here: (here / "p.json").write_text(json.dumps(list(ROWS))),
    "p.jsonl": lambda here: (here / "p.jsonl").write_text(LINES),
    "P.JSONL": lambda here: (here / "P.JSONL").write_text(LINES),
    "p.csv": lambda here: ROWS.to_csv(here / "p.csv"),
    "p.tsv": lambda here: ROWS.to_csv(here / "p.tsv", sep="\t"),
    "p.jsonl.gz": lambda here: (here / "p.jsonl.gz").write_bytes(gzip.compress(LINES.encode())),
    "p.json.gz": lambda here: (here / "p.json.gz").write_bytes(
        gzip.compress(json.dumps(list(ROWS)).encode())
    ),
    "*.jsonl": lambda here: (here / "a.jsonl").write_text(LINES),
    "**/*.parquet": lambda here: ROWS.to_parquet(here / "p.parquet"),
    "files": lambda here: in_folder(here / "files", a=LINES, test=LINES),
    "saved": lambda here: ROWS.save_to_disk(here / "saved"),
    "splits": lambda here: DatasetDict(train=ROWS, test=ROWS.select([0])).save_to_disk(here / "splits"),
    "scored": lambda here: ROWS.save_to_disk(here / "scored" / "scored"),
}
CSV_CARD = "---\nconfigs:\n- config_name: main\n  data_files: train.csv\n---\n"


@pytest.mark.parametrize("name", HELD)
def test_pools_open_with_their_splits(name, tmp_path):
    HELD[name](tmp_path)
    whole, part = (load_pool(f"{tmp_path}/{name}", split=split) for split in ("train", "train[1:3]"))
    assert (whole["prompt"][:], part["prompt"][:]) == (ROWS["prompt"][:], ["q1", "q2"])
    streamed = load_stream(f"{tmp_path}/{name}", split="train[1:3]")
    assert [row["prompt"] for row in streamed] == ["q1", "q2"]
    for opened in (load_pool, load_stream):
        with pytest.raises(PoolError, match=r"expected an existing split.*got 'nope'.*train"):
            opened(f"{tmp_path}/{name}", split="nope")


@pytest.mark.parametrize("load", [load_pool, load_stream])
def test_csv_texts_do_not_change(load, tmp_path):
    answers = ["007", "1.50", "None", "N/A", ""]
    lines = [f"q,{answer},{answer},0.5,NaN" for answer in answers]
    (tmp_path / "p.csv").write_text("\n".join(["question,answer,raw,score,note", *lines, ""]))
    rows = list(load(tmp_path / "p.csv"))
    assert [row["answer"] for row in rows] == [*answers[:-1], None]
    assert [(row["score"], row["note"]) for row in rows] == [(0.5, None)] * 5
    swapped = list(load(tmp_path / "p.csv", columns={"answer": "raw", "old": "answer"}))
    assert [row["answer"] for row in swapped] == [*answers[:-1], None]


@pytest.mark.parametrize("card", ["# A pool\n", CSV_CARD], ids=["plain", "configs"])
@pytest.mark.parametrize("load", [load_pool, load_stream])
def test_csv_with_card_keeps_texts(load, card, tmp_path):
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "train.csv").write_text("question,answer,score,image\nq,007,NaN,None\nq,None,0.5,1.png\n")
    assert list(load(tmp_path)) == [
        {"question": "q", "answer": "007", "score": None, "image": None},
        {"question": "q", "answer": "None", "score": 0.5, "image": "1.png"},
    ]


CSV_OPTIONS = CSV_CARD.replace("train.csv", "'*.csv'\n  sep: ';'\n  na_values: ['-']")


@pytest.mark.parametrize("load", [load_pool, load_stream])
def test_csv_keeps_the_cards_options(load, tmp_path):
    (tmp_path / "README.md").write_text(CSV_OPTIONS)
    (tmp_path / "train-0.csv").write_text("question;answer;score\n" + "q;2;-\n" * 3)
    (tmp_path / "train-1.csv").write_text("question;answer;score\nq;yes;0.5\n")
    rows = list(load(tmp_path))
    assert [row["answer"] for row in rows] == ["2", "2", "2", "yes"]
    assert [row["score"] for row in rows] == [None, None, None, 0.5]


@pytest.mark.parametrize("load", [load_pool, load_stream])
def test_missing_config_is_named(load, tmp_path):
    (tmp_path / "README.md").write_text(
        CSV_CARD.replace("\n---\n", "\n- config_name: b\n  data_files: b.csv\n---\n")
    )
    for name in ("train", "b"):
        (tmp_path / f"{name}.csv").write_text(f"question,answer\nq,{name}\n")
    with pytest.raises(PoolError, match=r"dataset_config: expected one of \['main', 'b'\]"):
        load(tmp_path)
    assert [row["answer"] for row in load(tmp_path, config="b")] == ["b"]


def test_changed_repository_is_read_again(tmp_path):
    for folder, answer in (("one", "a"), ("two", "b"), ("two", "c")):
        here = tmp_path / folder / "pool"
        here.mkdir(parents=True, exist_ok=True)
        (here / "README.md").write_text(CSV_CARD)
        (here / "train.csv").write_text(f"question,answer\nq,{answer}\n")
        assert load_pool(here)["answer"][:] == [answer]


@pytest.mark.parametrize("load", [load_pool, load_stream])
def test_image_folder_refuses_numbers_in_csv(load, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "metadata.csv").write_text("file_name,question,answer\na.png,q,007\n")
    with pytest.raises(PoolError, match=r"texts in \['answer'\].*metadata.jsonl instead"):
        load(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,question,answer,system,n\na.png,q,yes,,7\n")
    assert [(row["answer"], row["n"]) for row in load(tmp_path)] == [("yes", 7)]
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "question": "q", "answer": 7}\n')
    assert [row["answer"] for row in load(tmp_path)] == [7]


@pytest.mark.parametrize("metadata", ["metadata.jsonl", "metadata.csv"])
def test_folder_of_images_has_them(metadata, tmp_path):
    row = {"file_name": "a.png", "question": "what?", "answer": "red"}
    Dataset.from_list([row]).to_json(tmp_path / "metadata.jsonl")
    if metadata.endswith("csv"):
        Dataset.from_list([row]).to_csv(tmp_path / metadata)
        (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "a.png").write_bytes(png())
    (read,) = read_rows(load_pool(tmp_path))
    assert (read.transcript, read.images[0].encoded()) == ("USER: what? ASSISTANT: red", png())


def test_metadata_may_be_the_pool(tmp_path):
    (tmp_path / "metadata.jsonl").write_text(LINES)
    assert load_pool(tmp_path)["prompt"][:] == ROWS["prompt"][:]


def test_nulls_of_other_csv_columns(tmp_path):
    (tmp_path / "p.csv").write_text("question,answer,score\nq,n/a,n/a\nq,#N/A,#N/A\nq,a,0.5\n")
    rows = load_pool(tmp_path / "p.csv")
    assert rows["answer"][:] == ["n/a", "#N/A", "a"]
    assert rows["score"][:] == [None, None, 0.5]


def test_folder_with_a_card_is_read(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text(LINES)
    (tmp_path / "README.md").write_text("# A pool\n")
    for name in (str(tmp_path), f"{tmp_path}/"):
        assert load_pool(name)["prompt"][:] == ROWS["prompt"][:]
    monkeypatch.chdir(tmp_path.parent)
    assert len(load_pool(tmp_path.name)) == 6


def test_a_share_of_a_split(tmp_path):
    ROWS.save_to_disk(tmp_path / "saved")
    assert len(load_pool(str(tmp_path / "saved"), split="train[50%:]")) == 3
    assert len(load_pool(str(tmp_path / "saved"), split="train[:1]+train[-2:]")) == 3
    with pytest.raises(PoolError, match="a stream has no length"):
        load_stream("a/b", split="train[50%:]")


@pytest.mark.parametrize("load", [load_pool, load_stream])
def test_columns_are_renamed_on_the_fly(load, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"dialog": "q", "messages": "old", "n": 1}\n')
    swapped = load(str(tmp_path / "p.jsonl"), columns={"messages": "dialog", "raw": "messages"})
    assert list(swapped) == [{"messages": "q", "raw": "old", "n": 1}]
    assert list(load(tmp_path / "p.jsonl", columns={"n": "n"})) == [
        {"dialog": "q", "messages": "old", "n": 1}
    ]


@pytest.mark.parametrize("load", [load_pool, load_stream])
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"messages": "dialogue"}, "not 'dialogue'.*did you mean 'dialog'"),
        ({"messages": "dialog"}, r"no column has, got \['messages'\]"),
        ({"a": "dialog", "b": "dialog"}, "one new name for each column"),
    ],
)
def test_impossible_renames_are_refused(load, columns, words, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"dialog": "q", "messages": "old"}\n')
    with pytest.raises(ColumnError, match=words):
        load(tmp_path / "p.jsonl", columns=columns)


def test_files_of_several_splits(tmp_path):
    in_folder(tmp_path / "files", train=LINES, my_test_rows=LINES * 2, dev=LINES * 3)
    sizes = [
        len(load_pool(str(tmp_path / "files"), split=split)) for split in ("train", "test", "validation")
    ]
    assert sizes == [6, 12, 18]


def torn(name, content):
    return lambda here: (here / name).write_bytes(content)


NOT_READ = {
    "nofile.json": (None, "does not exist"),
    "pol.jsonl": (torn("pool.jsonl", b""), "did you mean '.*pool.jsonl'"),
    "sa/nothing/here": (None, "does not exist"),
    "savd": (lambda here: ROWS.save_to_disk(here / "saved"), "did you mean '.*saved'"),
    "*.parquet": (None, "expected files that match"),
    "text.txt": (torn("text.txt", b"x"), "expected files of one format"),
    "broken.jsonl": (
        torn("broken.jsonl", b'{"prompt": "q"}\n{"prompt": '),
        "line 2 of broken.jsonl is not valid JSON",
    ),
    "broken.json": (
        torn("broken.json", b'[{"prompt": "q"},\n {"prompt" "q"}]'),
        "line 2 of broken.json is not valid",
    ),
    "empty.jsonl": (torn("empty.jsonl", b""), "expected rows in"),
    "none.json": (torn("none.json", b"[]"), "expected rows in"),
    "torn.parquet": (torn("torn.parquet", b"PAR1"), "cannot be read"),
    "none.csv": (torn("none.csv", b""), "cannot be read"),
    "model": (
        lambda here: ((here / "model").mkdir(), (here / "model/config.json").write_text("{}")),
        "a model",
    ),
    "empty": (lambda here: (here / "empty").mkdir(), "got neither"),
    "run": (lambda here: (here / "run/shards/shard-00000.parquet").mkdir(parents=True), "unfinished"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_unreadable_pool_in_three_lines(name, tmp_path, monkeypatch):
    make, words = NOT_READ[name]
    if make is not None:
        make(tmp_path)
    with pytest.raises(PoolError, match=words) as error:
        load_pool(f"{tmp_path}/{name}")
    assert name in str(error.value)
    assert len(str(error.value).splitlines()) <= 3
    assert "Hub" not in str(error.value)


def test_unknown_name_suggests_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(loading, "load_dataset", None)  # which would ask for half a minute
    (tmp_path / "scored").mkdir()
    with pytest.raises(PoolError, match=r"dataset on the Hub, got 'scord'; did you mean 'scored'\?"):
        load_pool("scord")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    ROWS.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(PoolError, match="dataset_config: expected none for files, got 'en'"):
        load_pool("p.parquet", config="en")
