"""Every sample of a tar is a row, in order, loaded or streamed; one that cannot be read has a reason."""

import io
import json
import tarfile

import pytest
from pools import encode, png, stripes

from hf_vitselect import load_pool
from hf_vitselect.data import webdataset
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.pools import load_stream
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import PoolError, RowError

TURNS = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "red"}]
ROW = json.dumps({"id": 7, "conversations": TURNS})
WEBP = encode(stripes(), "WEBP")


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def both(name):
    """The rows as they are read from the loaded pool, which are those of the stream."""
    loaded, streamed = (list(read_rows(load(name))) for load in (load_pool, load_stream))
    assert [str(row) if isinstance(row, RowError) else row for row in loaded] == [
        str(row) if isinstance(row, RowError) else row for row in streamed
    ]
    return loaded


def good(name="a", row=ROW, image=None):
    return [(f"{name}.json", row), (f"{name}.png", png() if image is None else image)]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_samples_are_rows_in_order(mode, tmp_path):
    suffix = ".tar" if mode == "w" else ".tar.gz"
    samples = [*good("x/1"), ("x/2.webp", WEBP), ("x/2.json", ROW), ("x/2.txt", "a note")]
    first, second = both(write_tar(tmp_path / f"p{suffix}", samples, mode))
    assert first.transcript == second.transcript == "USER: what? ASSISTANT: red"
    assert [row.images[0].data for row in (first, second)] == [png(), WEBP]


def test_shards_are_one_pool(tmp_path):
    for i in range(3):
        write_tar(tmp_path / f"shard-{i}.tar", good(str(i), json.dumps({"n": i, "conversations": TURNS})))
    for name in (tmp_path, tmp_path / "*.tar"):
        assert load_pool(name)["n"][:] == [0, 1, 2]
        assert [row["__key__"] for row in load_stream(name)] == ["0", "1", "2"]
    assert load_pool(tmp_path, split="train[1:]")["n"][:] == [1, 2]
    assert [row["n"] for row in load_stream(tmp_path, split="train[1:2]")] == [1]
    assert load_stream(tmp_path).num_shards == 3
    with pytest.raises(PoolError, match="got 'test'"):
        load_stream(tmp_path, split="test")


def test_changed_tars_are_read_again(tmp_path):
    for answer in ("red", "blue"):
        row = {"question": "what?", "answer": answer}
        (read,) = read_rows(load_pool(write_tar(tmp_path / "p.tar", good(row=json.dumps(row)))))
        assert read.turns[1].text == answer


def test_several_images_follow_their_numbers(tmp_path):
    row = {"question": "what?", "answer": "red"}
    images = [(f"a.{i}.png", png(i)) for i in (10, 2, 1)]
    named = {"images": ["there/a.2.png", "a.10.png", "a.1.png"]}
    for more, order in (({}, (1, 2, 10)), (named, (2, 10, 1))):
        (read,) = both(write_tar(tmp_path / "p.tar", [("a.json", json.dumps(row | more)), *images]))
        assert [image.data for image in read.images] == [png(i) for i in order]


LAYOUTS = {
    "flat": ({"question": "what?", "answer": 3}, "USER: what? ASSISTANT: 3"),
    "choices": ({"question": "q", "choices": ["a", "b"], "answer": 1}, "USER: q\nA. a\nB. b ASSISTANT: B"),
    "caption": ({"caption": "a dot", "url": "https://a.org", "width": 3}, "USER:  ASSISTANT: a dot"),
    "history": (
        {"query": "q", "response": "r", "history": [["a", "b"]]},
        "USER: a ASSISTANT: b USER: q ASSISTANT: r",
    ),
    "system": ({"system": "s", "messages": [{"role": "user", "content": "q"}]}, "SYSTEM: s USER: q"),
}


@pytest.mark.parametrize(("row", "meaning"), LAYOUTS.values(), ids=LAYOUTS)
def test_records_have_any_layout(row, meaning, tmp_path):
    (read,) = both(write_tar(tmp_path / "p.tar", good(row=json.dumps(row))))
    assert (read.transcript, read.images[0].data) == (meaning, png())


def test_metadata_keeps_its_type(tmp_path):
    cells = {"n": 1, "x": 0.5, "ok": True, "tag": "t", "meta": {"a": [1]}, "none": None}
    rows = [cells | {"conversations": TURNS}, {"n": "many", "conversations": TURNS}]
    write_tar(tmp_path / "p.tar", [("a.json", json.dumps(rows[0])), *good("b", json.dumps(rows[0]))])
    (first, second) = load_pool(tmp_path / "p.tar").remove_columns(["images", "conversations"])
    assert {name: second[name] for name in cells} == cells | {"meta": '{"a": [1]}'}
    assert first["__key__"] == "a"


BROKEN = {
    "an image alone": ([("b.png", png())], "bad_row", r"expected one .json of b in p.tar, got \['b.png'\]"),
    "a note alone": ([("b.txt", "red")], "bad_row", "expected one .json of b"),
    "a record alone": ([("b.json", ROW)], "image_missing", "1 null"),
    "no JSON": ([("b.json", "{"), ("b.png", png())], "bad_row", "the .json of b in p.tar is not valid"),
    "no UTF-8": ([("b.json", b'{"a": "\xff"}')], "bad_row", "is not valid"),
    "a list": ([("b.json", "[1]"), ("b.png", png())], "bad_row", "expected a record"),
    "two records": ([("b.json", ROW), ("b.2.json", ROW)], "bad_row", "expected one .json"),
    "two images": (
        [*good("b"), ("b.2.png", png())],
        "placeholder_mismatch",
        r"1 placeholder\(s\), 2 image\(s\)",
    ),
    "video": ([*good("b"), ("b.mp4", b"x")], "bad_row", "b.mp4 of b in p.tar is video or audio"),
    "another image's name": (
        good("b", json.dumps({"image": "c.png", "conversations": TURNS})),
        "bad_row",
        "names the images",
    ),
    "an unforeseen part": (
        good("b", json.dumps({"system": "s", "conversations": TURNS})),
        "bad_row",
        "'system' is in none",
    ),
    "a lone surrogate": (good("b", '{"id": 7, "conversations": "\\ud800"}'), "bad_row", "surrogates"),
    "a boolean": (good("b", '{"id": 7, "conversations": true}'), "bad_row", "boolean"),
    "null": (good("b", "null"), "bad_row", "expected a record"),
    "no turns": (good("b", "{}"), "bad_row", "not a conversation"),
}


@pytest.mark.parametrize(("files", "status", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_samples_have_a_reason(files, status, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "_HEAD", 1)  # samples that show the columns
    first, found, last = both(write_tar(tmp_path / "p.tar", [*good("a"), *files, *good("c")]))
    assert isinstance(first, Conversation)
    assert first.turns == last.turns
    with pytest.raises(RowError, match=f"{status}: .*{reason}"):
        raise found


def test_links_and_giants_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "_LARGEST", 1000)
    path = write_tar(tmp_path / "p.tar", [*good("a"), ("b.json", ROW), ("b.png", bytes(1001))])
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("c.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(tarfile.TarInfo("c.json"))
        archive.addfile(link)
    first, *broken = both(path)
    assert isinstance(first, Conversation)
    assert [row.status for row in broken] == ["bad_row"] * 2
    assert "b.png is a link, or larger than 1,000 bytes" in str(broken[0])


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_damaged_tars_say_where_they_end(mode, tmp_path):
    path = write_tar(tmp_path / "p.tar", [*good("a"), *good("b", image=bytes(range(256)) * 100)], mode)
    path.write_bytes(path.read_bytes()[: -12000 if mode == "w" else -300])
    write_tar(tmp_path / "q.tar", good("c"))
    rows = both(str(tmp_path / "*.tar"))
    assert [type(row) for row in rows] == [Conversation, RowError, Conversation]
    assert "p.tar is damaged after b" in str(rows[1])


@pytest.mark.parametrize("content", [b"", b"not a tar", bytes(2000)], ids=["empty", "text", "zeros"])
def test_files_without_samples_are_refused(content, tmp_path):
    (tmp_path / "p.tar").write_bytes(content)
    with pytest.raises(PoolError, match=r"expected samples with a .json record in '.*p.tar'"):
        load_pool(tmp_path / "p.tar")


def test_tars_beside_files_are_ignored(tmp_path):
    write_tar(tmp_path / "images.tar", [("a.png", png())])
    (tmp_path / "rows.jsonl").write_text('{"prompt": "what?", "completion": "red"}\n')
    assert load_pool(tmp_path).column_names == ["prompt", "completion"]


@pytest.mark.parametrize(
    "record",
    [
        {"question": "q", "answer": ["red", "scarlet"]},
        {"question": {"text": "q"}, "answer": "red"},
        {"caption": ["a"]},
    ],
    ids=["answers", "a question", "captions"],
)
def test_lists_and_records_are_no_texts(record, tmp_path):
    (row,) = both(write_tar(tmp_path / "p.tar", good(row=json.dumps(record))))
    assert row.status == "bad_row"
    assert "expected text" in str(row)


def test_lists_of_other_layouts_are_metadata(tmp_path):
    more = {"caption": ["a", "b"], "text": ["c"], "question": {"id": 1}}
    (row,) = both(write_tar(tmp_path / "p.tar", good(row=json.dumps({"conversations": TURNS, **more}))))
    assert row.transcript == "USER: what? ASSISTANT: red"
    video = json.dumps({"conversations": TURNS, "videos": ["a.mp4"]})
    assert both(write_tar(tmp_path / "q.tar", good(row=video)))[0].status == "media_unsupported"


def test_a_mask_is_no_second_image(tmp_path):
    (row,) = both(write_tar(tmp_path / "p.tar", [*good(), ("a.mask.png", png())]))
    assert row.status == "bad_row"
    assert "a.mask.png" in str(row)
