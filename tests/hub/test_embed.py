"""What leaves this machine: rows with their images in them, and no name of a file of it."""

import json
import zipfile

import pytest
from datasets import Dataset, Features, Image, Json, List, Value, load_dataset
from pools import png, user

from hf_vitselect import with_image_root
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import HubError, RowError
from hf_vitselect.hub.embed import embed_files

ROW = {"prompt": "what?", "completion": "red"}
TURNS = [{"role": "user", "content": "<image><image>what?"}, {"role": "assistant", "content": "see /home/me"}]
TEXTS = {"prompt": Value("string"), "completion": Value("string")}
BYTES = {"bytes": png(5), "path": "/home/jane/a.png"}


@pytest.fixture
def folder(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    return tmp_path


def typed(cells, kind, name="image"):
    rows = {"prompt": ["what?"] * len(cells), "completion": ["red"] * len(cells), name: cells}
    return Dataset.from_dict(rows, features=Features({**TEXTS, name: kind}))


FORMS = {
    "strings": lambda a, b: Dataset.from_list([{**ROW, "image": a}, {**ROW, "image": b}]),
    "a string or nothing": lambda a, b: Dataset.from_list([{**ROW, "image": a}, {**ROW, "image": None}]),
    "lists": lambda a, b: Dataset.from_list([{**ROW, "images": [a, b]}, {**ROW, "images": [b]}]),
    "lists as text": lambda a, b: Dataset.from_list([{**ROW, "images": json.dumps([a, b])}]),
    "a string or a list": lambda a, b: Dataset.from_list(
        [{**ROW, "image": a}, {**ROW, "image": [a, b]}], on_mixed_types="use_json"
    ),
    "of Json": lambda a, b: typed([a, [b, a]], Json()),
    "numbered": lambda a, b: Dataset.from_list([{"messages": TURNS, "image_1": a, "image_2": b}]),
    "Image": lambda a, b: typed([a, b, None], Image()),
    "Image, not decoded": lambda a, b: typed([a, BYTES], Image(decode=False)),
    "List of Image": lambda a, b: typed([[a, b], [], [BYTES]], List(Image()), "images"),
    "records": lambda a, b: Dataset.from_list([{**ROW, "image": BYTES}, {**ROW, "image": {"path": a}}]),
    "files of another column": lambda a, b: typed([[{"of": a}]], List({"of": Image()}), "more"),
    "with a scheme": lambda a, b: Dataset.from_list([{**ROW, "image": f"file://{a}"}]),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_images_are_embedded(folder, form):
    rows = with_image_root(form(str(folder / "0.png"), str(folder / "1.png")), folder)
    whole = embed_files(rows)
    assert row_ids(whole) == row_ids(rows)
    stored = str(whole.with_format("arrow")[:].to_pylist())
    assert "PNG" in stored
    assert "0.png" in stored
    assert str(folder) not in stored
    assert "jane" not in stored


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_embedded_images_decode_and_stay(folder, form, tmp_path):
    whole = embed_files(with_image_root(form(str(folder / "0.png"), str(folder / "1.png")), folder))
    assert embed_files(whole) is whole
    assert "PngImageFile" in str(whole[0]) or "decode=False" in str(whole.features)
    whole.to_parquet(tmp_path / "rows.parquet")
    assert str(folder).encode() not in (tmp_path / "rows.parquet").read_bytes()
    again = load_dataset("parquet", data_files=str(tmp_path / "rows.parquet"), split="train")
    assert again.features == whole.features


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_missing_file_is_refused(folder, form):
    with pytest.raises(HubError, match=r"expected rows whose images can be embedded, got . of .*no file at"):
        embed_files(with_image_root(form(str(folder / "2.png"), str(folder / "1.png")), folder))


@pytest.mark.parametrize("form", ["strings", "lists", "records", "of Json"])
def test_rows_without_root_are_refused(folder, form):
    with pytest.raises(HubError, match="no image root is known"):
        embed_files(FORMS[form](str(folder / "0.png"), str(folder / "1.png")))


@pytest.mark.parametrize("form", ["Image", "List of Image", "files of another column"])
def test_image_features_need_no_root(folder, form):
    whole = embed_files(FORMS[form](str(folder / "0.png"), str(folder / "1.png")))
    assert "PngImageFile" in str(whole[0])


PATHS = {
    "a text": lambda path: {"source": path},
    "a list": lambda path: {"sources": [None, path]},
    "a record": lambda path: {"meta": {"where": {"it": path}}},
    "a part of a turn": lambda path: {"messages": [{"role": "user", "content": "q", "file": path}]},
    "with a scheme": lambda path: {"source": f"file://{path}"},
    "a file that is gone": lambda path: {"source": f"{path}.gone"},
}


@pytest.mark.parametrize("more", PATHS.values(), ids=PATHS)
def test_other_names_of_files_are_refused(folder, more):
    rows = Dataset.from_list([{**ROW, "image": BYTES, **more(str(folder / "0.png"))}])
    if "messages" in rows.column_names:
        rows = rows.remove_columns(["prompt", "completion"])
    with pytest.raises(HubError, match=r"(?s)name no file of this machine, got .*remove_columns"):
        embed_files(rows)


def asked(*images, **more):
    parts = [{"type": "image", "image": image, "text": None} for image in images]
    question = {"role": "user", "content": [*parts, {"type": "text", "text": "what?", "image": None}]}
    return {"messages": [question, {"role": "assistant", "content": ANSWER}], **more}


ANSWER = [{"type": "text", "text": "red", "image": None}]
URL_PART = {"type": "image_url", "image_url": {"url": "0.png"}}
IN_TURNS = {
    "parts": lambda: Dataset.from_list([asked("0.png", "deep/1.png"), asked(), asked("1.png")]),
    "in a text": lambda: Dataset.from_list([{"messages": json.dumps(asked("0.png")["messages"])}]),
    "contents as text": lambda: Dataset.from_list(
        [
            {
                "messages": [
                    {"role": "user", "content": json.dumps([URL_PART, {"type": "text", "text": "[1, 2]"}])},
                    {"role": "assistant", "content": "{}"},
                ]
            }
        ]
    ),
    "of Json": lambda: Dataset.from_dict(
        {
            "messages": [
                [
                    {"role": "user", "content": [{"type": "text", "text": "what?"}, URL_PART]},
                    {"role": "assistant", "content": "[1, 2]"},
                ]
            ]
        },
        features=Features({"messages": List(Json())}),
    ),
    "or a column": lambda: Dataset.from_list([asked("0.png", image=None), asked(image="1.png")]),
    "Json beside text": lambda: Dataset.from_dict(
        {"messages": [asked("0.png")["messages"], "say"], "image": [None, "1.png"]},
        features=Features({"messages": Json(), "image": Value("string")}),
    ),
}


@pytest.mark.parametrize("form", IN_TURNS.values(), ids=IN_TURNS)
def test_images_in_turns_move(folder, form):
    (folder / "deep").mkdir()
    (folder / "deep" / "1.png").write_bytes(png(3))
    rows = with_image_root(form(), folder)
    whole = embed_files(rows)
    assert row_ids(whole) == row_ids(rows)
    stored = str(whole.with_format("arrow")[:].to_pylist())
    assert "deep" not in stored
    assert embed_files(whole) is whole
    assert "PngImageFile" in str(whole[0])
    assert [row.turns for row in read_rows(whole) if not isinstance(row, RowError)] == [
        row.turns for row in read_rows(rows) if not isinstance(row, RowError)
    ]


@pytest.mark.parametrize("path", ["gone.png", "../secret.png", "https://x.org/a.png"])
def test_unreadable_image_in_turn_is_refused(folder, path):
    (folder.parent / "secret.png").write_bytes(png())
    rows = with_image_root(Dataset.from_list([asked(path)]), folder)
    with pytest.raises(HubError, match=r"images can be embedded, got 1 of 1 others \(row 0: image_"):
        embed_files(rows)


def test_archive_members_are_embedded(folder):
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr("deep/a.png", png(4))
    rows = with_image_root(Dataset.from_list([{**ROW, "image": "images.zip::deep/a.png"}]), folder)
    assert embed_files(rows).cast_column("image", Image(decode=False))[0]["image"] == {
        "bytes": png(4),
        "path": "a.png",
    }
    gone = with_image_root(Dataset.from_list([{**ROW, "image": "images.zip::b.png"}]), folder)
    with pytest.raises(HubError, match=r"no 'b\.png' in the archive"):
        embed_files(gone)


def test_paths_in_text_are_allowed(folder):
    said = [
        user(str(folder / "0.png")),
        {"role": "assistant", "content": [{"type": "text", "text": "/usr/bin/env"}]},
    ]
    rows = Dataset.from_list([{"messages": said, "source": "/no/such/folder/a.png", "url": "/", "n": 1}])
    assert embed_files(rows) is rows


def test_urls_stay_unless_mixed_with_files(folder):
    url = "https://x.org/a.png"
    rows = Dataset.from_list([{**ROW, "image": url}, {**ROW, "image": None}])
    assert embed_files(rows) is rows
    mixed = with_image_root(Dataset.from_list([{**ROW, "image": url}, {**ROW, "image": "0.png"}]), folder)
    with pytest.raises(HubError, match="all URLs or all files"):
        embed_files(mixed)
    with pytest.raises(HubError, match="image_remote"):
        embed_files(typed([{"bytes": None, "path": url}], Image()))
