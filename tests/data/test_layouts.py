"""Every layout of the contract, row ids, pictures and the rows that cannot be read."""

import contextlib
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from datasets import Dataset, Image, List
from PIL import Image as PILImage
from pools import encode, png, pool, stripes, user
from stored_rows import ANSWERED, ASKED, CELL, LAYOUTS, PART, TWO, read, table_rows

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pools import load_pool
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_mapping, read_rows, read_texts
from hf_vitselect.errors import RowError


@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_means_the_same_conversation(row):
    assert read(row) == Conversation((ASKED, ANSWERED), (RowImage(data=png()),))


@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_reads_every_container_alike(row):
    batch = {name: [value, value] for name, value in row.items()}
    assert read_mapping(batch) == ([read(row)] * 2, True)
    dataset = Dataset.from_list([row, row])
    image = "images" if "images" in row else "image"
    dataset = dataset.cast_column(image, List(Image()) if image == "images" else Image())
    assert table_rows(dataset) == [read(row)] * 2


def test_arrow_parts_with_null_texts():
    (row,) = table_rows(pool([([user("what?", pictures=1)], [png()])]))
    assert row.turns == (ASKED,)


INTERLEAVED = {
    "before and after": ("<image>\nleft, <image> right", (None, "left, ", None, " right")),
    "at the end": ("which?\n<image>", ("which?", None)),
    "side by side": ("<image><image>\nwhich?", (None, None, "which?")),
    "on lines": ("a\n<image>\nb\n<image>\nc", ("a", None, "b", None, "c")),
}


@pytest.mark.parametrize(("text", "parts"), INTERLEAVED.values(), ids=INTERLEAVED)
def test_placeholders_lose_adjacent_line_breaks(text, parts):
    row = read({"messages": [{"role": "user", "content": text}], "images": TWO[: parts.count(None)]})
    assert row.turns == (Turn("user", parts),)
    assert len(row.images) == parts.count(None)


def test_images_without_placeholders_come_first():
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what?"},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "and?"},
    ]
    row = read({"messages": turns, "images": TWO})
    assert [turn.parts for turn in row.turns] == [("be brief",), (None, None, "what?"), ("red",), ("and?",)]
    assert [picture.data for picture in row.images] == [png(), png(1)]


@pytest.mark.parametrize("images", [{}, {"images": []}, {"images": None}, {"image": None}], ids=str)
def test_text_only_row_has_no_images(images):
    row = read({"prompt": "what?", "completion": "red", **images})
    assert row == Conversation((Turn("user", ("what?",)), ANSWERED))


@pytest.mark.parametrize("images", [{"images": []}, {"images": None}, {"image": None}], ids=str)
@pytest.mark.parametrize("path", ["image_path", "file_name", "picture"])
def test_image_in_unread_column_alone(images, path):
    turns = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
    row = {"messages": turns, **images}
    assert read(row | {path: ""}).images == ()
    filled = Dataset.from_list([row | {path: "a.png"}])
    for (error,) in (read_rows(filled), read_texts(filled), read_mapping(filled[:1])[0]):
        assert (error.status, path in error.message) == ("image_missing", True)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("image_bytes", 51234),
        ("photos", 0),
        ("image_path", "None"),
        ("file_name", "1.txt"),
        ("image_list", "['']"),
    ],
)
def test_unread_column_without_an_image(column, cell):
    turns = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
    assert read({"messages": turns, "images": [], column: cell}).images == ()


def test_refused_images_have_own_ids():
    turns = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
    rows = [{"messages": turns, "image": None, "image_path": path} for path in ("a.png", "b.png")]
    assert sorted(row_ids(Dataset.from_list(rows))) == sorted(row_ids(Dataset.from_list(rows[::-1])))


def test_unread_image_column_next_to_image():
    row = {"messages": [user("what?", pictures=1)], "image": png()}
    assert read(row | {"image_path": "a.png"}) == read(row)
    assert row_ids(Dataset.from_list([row | {"image_path": "a.png"}])) == row_ids(Dataset.from_list([row]))


def test_cauldron_texts_are_turns_in_order():
    row = read({"texts": [{"user": "a", "assistant": "b"}, {"user": "c", "assistant": "d"}], "images": []})
    assert row.transcript == "USER: a ASSISTANT: b USER: c ASSISTANT: d"


def test_numpy_batch_equals_list_batch():
    rows = [LAYOUTS["messages of parts"], {"messages": [{"role": "user", "content": "a"}], "images": []}]
    batch = {"messages": np.empty(2, dtype=object), "images": np.empty(2, dtype=object)}
    for i, row in enumerate(rows):
        batch["messages"][i] = np.array(row["messages"], dtype=object)
        batch["images"][i] = np.array(row["images"], dtype=object) if row["images"] else np.array([])
    assert read_mapping(batch) == ([read(row) for row in rows], True)
    assert read_mapping({name: cells[::-1] for name, cells in batch.items()})[0] == [
        read(row) for row in rows[::-1]
    ]


def test_placeholder_in_answer_is_text():
    row = read({"prompt": "<image>what?", "completion": "an <image>", "image": CELL})
    assert row.turns[1] == Turn("assistant", ("an <image>",))


def test_stored_columns_equal_stored_rows():
    turns = {"from": ["human", "gpt"], "value": ["what?", "red"]}
    (row,) = table_rows(Dataset.from_dict({"conversations": [turns]}))
    assert row == Conversation((Turn("user", ("what?",)), ANSWERED))


BAD_ROWS = {
    "more placeholders than images": ({"content": "<image><image>a"}, [CELL], "placeholder_mismatch"),
    "more images than placeholders": ({"content": "<image>a"}, TWO, "placeholder_mismatch"),
    "a placeholder and no images": ({"content": "<image>a"}, [], "placeholder_mismatch"),
    "a placeholder and a null cell": ({"content": "<image>a"}, None, "image_missing"),
    "unknown role": ({"role": "narrator", "content": "a"}, [], "bad_row"),
    "no role": ({"role": None, "content": "a"}, [], "bad_row"),
    "unknown part": ({"content": [{"type": "smell", "text": None}]}, [], "bad_row"),
    "one part instead of a list": ({"content": {"type": "text", "text": "a"}}, [], "bad_row"),
    "a number as part": ({"content": [3]}, [], "bad_row"),
    "a truth value as text": ({"content": [{"type": "text", "text": True}]}, [], "bad_row"),
    "a number as image": ({"content": "a"}, [3], "bad_row"),
}


@pytest.mark.parametrize(("message", "images", "status"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_unreadable_row_is_its_error(message, images, status):
    row = read({"messages": [{"role": "user"} | message], "images": images})
    assert isinstance(row, RowError)
    assert row.status == status


def test_row_without_turns_is_bad():
    row = read({"messages": None, "images": []})
    assert isinstance(row, RowError)
    assert row.status == "bad_row"


@pytest.mark.parametrize("turns", [None, [None], [3], "text"], ids=str)
def test_malformed_turns_are_bad_rows(turns):
    (row, _), _ = read_mapping({"messages": [turns, turns], "images": [[], []]})
    assert isinstance(row, RowError)
    assert row.status == "bad_row"


BAD_PICTURES = {
    "null": (RowImage(), "image_missing"),
    "no file": (RowImage(path="/nowhere/at/all.png"), "image_missing"),
    "zero bytes": (RowImage(data=b""), "image_error"),
    "not a picture": (RowImage(data=b"hello"), "image_error"),
    "truncated png": (RowImage(data=png()[:-30]), "image_error"),
    "truncated jpeg": (RowImage(data=encode(stripes(), "JPEG")[:-40]), "image_error"),
}


@pytest.mark.parametrize(("picture", "status"), BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_undecodable_image_says_why(picture, status):
    with pytest.raises(RowError) as caught:
        picture.decode()
    assert caught.value.status == status


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_broken_bytes_are_image_errors(kind):
    exif = PILImage.Exif()
    exif[0x0112] = 6
    good = encode(stripes(24, 9), kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
    broken = [good[:i] + bytes([good[i] ^ 0xFF]) + good[i + 1 :] for i in range(len(good))]
    for data in [*broken, *(good[:i] for i in range(0, len(good), 5))]:
        with contextlib.suppress(RowError):  # and nothing else; many changes do not show
            RowImage(data=data).decode()


def test_image_is_upright_as_in_datasets():
    exif = PILImage.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to see it upright
    data = encode(stripes(20, 12), "JPEG", exif=exif)
    upright = RowImage(data=data).decode()
    (decoded,) = Dataset.from_dict({"image": [{"bytes": data}]}).cast_column("image", Image())["image"]
    assert upright.size == decoded.size == (12, 20)
    assert upright.tobytes() == decoded.convert("RGB").tobytes()
    assert RowImage(decoded=decoded).decode().tobytes() == upright.tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(mode):
    data = encode(stripes().convert("L" if mode == "I;16" else mode).convert(mode), "TIFF")
    assert RowImage(data=data).decode().mode == "RGB"


def test_open_image_loads_before_threads():
    opened = PILImage.open(io.BytesIO(encode(stripes(1600, 1200), "JPEG")))
    rows, _ = read_mapping({"prompt": ["what?"] * 16, "completion": ["red"] * 16, "image": [opened] * 16})
    with ThreadPoolExecutor(8) as threads:
        decoded = list(threads.map(lambda row: row.images[0].decode().tobytes(), rows))
    assert set(decoded) == {opened.convert("RGB").tobytes()}


def test_decoded_image_has_bytes_and_digest():
    picture = RowImage(decoded=stripes(20, 10).convert("RGBA"))
    assert RowImage(data=picture.encoded()).decode().tobytes() == picture.decode().tobytes()
    shapes = [PILImage.new("RGB", (10, 20)), PILImage.new("RGB", (20, 10)), PILImage.new("HSV", (20, 10))]
    black, white = PILImage.new("P", (9, 9)), PILImage.new("P", (9, 9))
    black.putpalette([0, 0, 0])
    white.putpalette([255, 255, 255])
    assert len({RowImage(decoded=it).digest() for it in (*shapes, black, white)}) == 5
    assert RowImage(decoded=shapes[0]).digest() == RowImage(decoded=shapes[0].copy()).digest()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_unloadable_open_image_is_row_error(kind):
    opened = PILImage.open(io.BytesIO(encode(stripes(90, 60), kind)[:-40]))
    batch = {"prompt": ["what?"] * 3, "completion": ["red"] * 3, "image": [opened, opened, stripes()]}
    (first, second, good), _ = read_mapping(batch)
    assert first.status == second.status == "image_error"
    assert isinstance(good, Conversation)


def test_image_is_read_from_file(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(png())
    access = ImageAccess((str(tmp_path),))
    assert RowImage(path=str(path), access=access).decode().size == (16, 16)


def row_pool():
    turns = [[user("a", 1)], [user("b", 1)], [user("a", 1)], [user("a", 2)]]
    bad = ([user("c", 2)], [png()])
    return pool(
        [(turns[0], [png()]), (turns[1], [png()]), (turns[2], [png(1)]), (turns[3], [png(), png(1)]), bad]
    )


def test_row_ids_follow_their_rows():
    dataset = row_pool()
    ids = row_ids(dataset)
    assert len(set(ids)) == len(dataset)
    shuffled = dataset.add_column("score", [0.5] * len(dataset)).select([3, 1, 4, 0, 2])
    assert row_ids(shuffled) == [ids[i] for i in (3, 1, 4, 0, 2)]


def test_exact_duplicates_are_numbered():
    dataset = row_pool().select([0, 1, 0, 0])
    digests, numbers = zip(*(row_id.split("-") for row_id in row_ids(dataset)), strict=True)
    assert numbers == ("0", "0", "1", "2")
    assert digests[0] == digests[2] == digests[3] != digests[1]
    assert len(digests[0]) == 64


def test_row_ids_equal_across_processes(tmp_path):
    row_pool().save_to_disk(tmp_path / "pool")
    code = (
        "import sys, json;"
        "from datasets import load_from_disk; from hf_vitselect.data.row_ids import row_ids;"
        "print(json.dumps(row_ids(load_from_disk(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "pool"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == row_ids(row_pool())


def test_row_ids_ignore_image_location(tmp_path):
    rows = {}
    for place in ("here", "there"):
        path = tmp_path / place / "x.png"
        path.parent.mkdir()
        path.write_bytes(png())
        rows[place] = [([user("a", 1)], [str(path)]), ([user("one too many", 2)], [str(path)])]
    embedded = [(turns, [png()]) for turns, _ in rows["here"]]
    assert row_ids(pool(rows["here"])) == row_ids(pool(rows["there"])) == row_ids(pool(embedded))


@pytest.mark.parametrize("answer", [["red", "scarlet"], True, {"a": 1}], ids=str)
def test_mixed_answers_are_no_texts(answer, tmp_path):
    rows = [{"question": "q", "answer": "red"}, {"question": "q", "answer": answer}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    good, bad = read_rows(load_pool(tmp_path / "p.jsonl"))
    assert good.turns[1] == ANSWERED
    assert bad.status == "bad_row"
    assert "mixed types" in str(bad)


@pytest.mark.parametrize("choices", ["['blue' 'red']", "['blue'\n 'red']", "['blue', 'red']"])
def test_lists_as_numpy_prints_them(choices):
    row = read({"question": "q", "choices": choices, "answer": 1})
    assert row.turns == (Turn("user", ("q\nA. blue\nB. red",)), Turn("assistant", ("B",)))


@pytest.mark.parametrize("code", ["[]", "{}", "null"])
def test_input_may_be_empty_code(code):
    row = read({"instruction": "What is it?", "input": code, "output": "empty"})
    assert row.turns[0].text == f"What is it?\n{code}"
    for nothing in (None, "", float("nan")):
        assert read({"instruction": "q", "input": nothing, "output": "a"}).turns[0].text == "q"


def test_formatted_copy_is_ignored():
    row = read({"instruction": "q", "input": "", "output": "a", "text": "### q ### a", "prompt": "### q"})
    assert row.transcript == "USER: q ASSISTANT: a"


def test_prompt_in_parts_among_texts(tmp_path):
    rows = [{"prompt": "q", "completion": "a"}, {"prompt": [PART], "completion": "a"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row.turns[0].text for row in read_rows(load_pool(tmp_path / "p.jsonl"))] == ["q", "red"]
