"""Nothing of a conversation is left out in silence: it is used, or its row has a status that says so."""

import base64
import json
import logging

import numpy as np
import pytest
from datasets import Array3D, Audio, ClassLabel, Dataset, Features, Image, List, Value
from pools import encode, png, stripes
from stored_rows import ANSWERED, ASKED, CELL, TWO, read, table_rows

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import read_table
from hf_vitselect.data.turns import read_text
from hf_vitselect.errors import LayoutError, RowError

RED = {"role": "assistant", "content": "red"}
SEEN = Conversation((ASKED, ANSWERED), (RowImage(data=png()),))
CHAT = [{"role": "user", "content": "what?"}, RED]


def asked(content, **cells):
    return {"messages": [{"role": "user", "content": content}, RED], **cells}


def part(kind, **more):
    return [{"type": kind, **more}, {"type": "text", "text": "what?"}]


READ = {
    "roles in any case": {
        "conversations": [{"from": "User", "value": "what?"}, {"from": "ASSISTANT", "value": "red"}]
    },
    "other roles": {
        "messages": [{"role": " human ", "content": "what?"}, {"role": "model", "content": "red"}]
    },
    "bot": {"messages": [{"role": "prompter", "content": "what?"}, {"role": "Bot", "content": "red"}]},
    "keys of the other layout": {"conversations": CHAT},
    "both keys, one empty": {"messages": [{**turn, "from": None, "value": None} for turn in CHAT]},
    "empty keys": {
        "messages": [CHAT[0], {**RED, "tool_calls": [], "reasoning_content": "", "images": [None]}]
    },
    "trivial weights": {"messages": [CHAT[0], {**RED, "weight": 1.0, "train": True, "loss": None}]},
    "empty tools": {"messages": CHAT, "tools": "[]"},
    "no video": {"messages": CHAT, "videos": [None], "audio": "", "video_path": None},
    "no system": {"messages": CHAT, "system": ""},
    "parts without types of their own": {"messages": [{"role": "user", "content": ["what?"]}, RED]},
    "parts of other names": {
        "messages": [{"role": "user", "content": [{"type": "input_text", "text": "what?"}]}, RED]
    },
    "system beside its turn": {"messages": CHAT, "system": "  "},
}


@pytest.mark.parametrize("row", READ.values(), ids=READ)
def test_text_only_spellings_are_read(row):
    assert read(row) == Conversation((Turn("user", ("what?",)), ANSWERED))


SEEING = {
    "a null among images": asked("<image>what?", images=[None, CELL]),
    "a null image of bytes and path": asked("<image>what?", images=[CELL, {"bytes": None, "path": None}]),
    "numbered columns": asked("what?", image_1=CELL, image_2=None),
    "numbered columns and placeholder": asked("<image 1>what?", image_1=CELL, image_2=None, image_3=""),
    "columns without underscore": asked("<image>what?", img1=CELL),
    "a numbered placeholder": asked("<image_1>\nwhat?", images=[CELL]),
    "a placeholder in bars": asked("<|image_1|>\nwhat?", images=[CELL]),
    "llama's placeholder": asked("<|image|>what?", images=[CELL]),
    "counted from 0": asked("<image_0>what?", images=[CELL]),
    "a placeholder in a part of text": asked([{"type": "text", "text": "<image>\nwhat?"}], images=[CELL]),
    "a part with index": asked(part("image", index=0, text=None), images=[CELL]),
    "a part with its bytes": asked(part("image", bytes=png())),
    "a part with its image": asked(part("image", image=CELL, detail="high")),
    "one list in a record of lists": asked("<image>what?", images={"bytes": [png()], "path": [None]}),
    "bytes": asked("<image>what?", image=png()),
}


@pytest.mark.parametrize("row", SEEING.values(), ids=SEEING)
def test_spellings_of_an_image_are_read(row):
    assert read(row) == SEEN


def test_path_next_to_empty_bytes():
    assert read(asked("what?", image={"bytes": b"", "path": "a.png"})).images == (
        RowImage(path="a.png", in_feature=True),
    )


def test_data_uris_are_read():
    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    in_json = {"bytes": uri.partition(",")[2], "path": None}
    for row in (
        asked(part("image_url", image_url={"url": uri})),
        *(asked("what?", images=[cell]) for cell in (uri, in_json)),
    ):
        assert read(row) == SEEN
    assert read(asked("what?", image="data:image/png;base64,!")).status == "image_error"


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "TIFF"])
def test_base64_of_other_kinds_and_alphabets(kind):
    image = encode(stripes(), kind)
    for text in (base64.b64encode(image), base64.urlsafe_b64encode(image)):
        assert read(asked("what?", images=[text.decode()])).images == (RowImage(data=image),)


@pytest.mark.parametrize("stem", ["_9j_", "Qk0_"])
def test_name_of_file_is_no_base64(stem):
    name = f"{stem}{'a' * 50}.jpg"
    assert read(asked("what?", images=[name])).images == (RowImage(path=name),)


@pytest.mark.parametrize(
    "text", ["<image_2> or <image_1>", "<|image_2|> or <|image_1|>", "<image 2> or <image 1>"]
)
def test_numbered_placeholders_find_their_image(text):
    for cells in ({"images": TWO}, {"image_1": TWO[0], "image_2": TWO[1]}):
        row = read(asked(text, **cells))
        assert row.turns[0].parts == (None, " or ", None)
        assert [picture.data for picture in row.images] == [png(1), png(0)]


def test_tools_read_from_every_storage():
    tools = [[{"name": "add", "parameters": {"a": "int"}}], [{"name": "say", "parameters": {"b": None}}]]
    rows = Dataset.from_list([{"messages": CHAT, "tools": it} for it in tools])
    told = [json.dumps([{"name": "add", "parameters": {"a": "int"}}]), '[{"name": "say", "parameters": {}}]']
    assert [row.tools for row in table_rows(rows)] == told
    assert [read({"messages": CHAT, "tools": json.dumps(it)}).tools for it in tools] == told


def test_system_column_becomes_a_turn():
    system = Turn("system", ("be brief",))
    for name in ("system", "system_prompt", "sys_prompt", "system_instruction"):
        assert read({"messages": CHAT, name: "be brief"}).turns[0] == system
    told = [{"role": "system", "content": "be brief"}, *CHAT]
    assert read({"messages": told, "system": "be brief"}) == read({"messages": told})
    assert read({"messages": told, "system": "be long"}).status == "bad_row"


STATUSES = {
    "a video placeholder": (asked("<video>what?"), "media_unsupported", "<video>"),
    "an audio placeholder": (asked("<|audio_1|>what?"), "media_unsupported", "<|audio_1|>"),
    "a video column": (asked("what?", video="a.mp4"), "media_unsupported", "video"),
    "a column of videos": (asked("what?", videos=["a.mp4"]), "media_unsupported", "videos"),
    "a column of audio paths": (asked("what?", audio_path="a.wav"), "media_unsupported", "audio_path"),
    "a column of audio bytes": (asked("what?", audios=[{"bytes": b"x"}]), "media_unsupported", "audios"),
    "a video part": (asked(part("video", video="a.mp4")), "media_unsupported", "video"),
    "a video part in JSON": (asked('[{"type": "video_url"}]'), "media_unsupported", "video_url"),
    "an unknown part in JSON": (asked('[{"type": "tool_use", "input": {}}]'), "bad_row", "tool_use"),
    "one unknown part of two in JSON": (
        asked('[{"type": "odd"}, {"type": "text", "text": "what?"}]'),
        "bad_row",
        "odd",
    ),
    "parts without type in JSON": (asked('[{"text": "what?"}]'), "bad_row", "text"),
    "Qwen-VL's name of an image": (asked("<img>a.png</img>what?"), "placeholder_mismatch", "a.png"),
    "MiniCPM's": (asked("<image>./</image>what?", images=[CELL]), "placeholder_mismatch", "</image>"),
    "frames": (asked("what?", frames=["a.png"]), "media_unsupported", "frames"),
    "an audio part": (
        asked(part("input_audio", input_audio={"data": "x"})),
        "media_unsupported",
        "input_audio",
    ),
    "a message with videos": (
        {"messages": [{**CHAT[0], "videos": ["a"]}, RED]},
        "media_unsupported",
        "videos",
    ),
    "an unknown part": (asked(part("file", file="a.pdf")), "bad_row", "file"),
    "an unknown key in a part": (asked([{"type": "text", "text": "a", "size": 3}]), "bad_row", "size"),
    "a text with an image": (asked([{"type": "text", "text": "a", "image": "a.png"}]), "bad_row", "a.png"),
    "an image with a text": (asked([{"type": "image", "text": "a"}], images=[CELL]), "bad_row", "image"),
    "an unknown role": ({"messages": [{"role": "critic", "content": "a"}, RED]}, "bad_row", "critic"),
    "a tool call": ({"messages": [CHAT[0], {**RED, "tool_calls": [{"id": 1}]}]}, "bad_row", "name"),
    "a tool call alone": (
        {"messages": [CHAT[0], {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
        "bad_row",
        "name",
    ),
    "reasoning": (
        {"messages": [CHAT[0], {**RED, "reasoning_content": "hm"}]},
        "bad_row",
        "reasoning_content",
    ),
    "thinking": ({"messages": [CHAT[0], {**RED, "thinking": "hm"}]}, "bad_row", "thinking"),
    "images in a message": ({"messages": [{**CHAT[0], "images": ["a.png"]}, RED]}, "bad_row", "images"),
    "both keys": ({"messages": [{**CHAT[0], "value": "other"}, RED]}, "bad_row", "value"),
    "a Cauldron text with a system": (
        {"texts": [{"user": "a", "assistant": "b", "system": "c"}]},
        "bad_row",
        "system",
    ),
    "a truth value": (asked(True), "bad_row", "True"),
    "every content in quotes": (
        {"messages": [{"role": "user", "content": '"what?"'}, {"role": "assistant", "content": '"red"'}]},
        "bad_row",
        "quotes",
    ),
    "text that is no list": ({"messages": "what? red"}, "bad_row", "what? red"),
    "a lone surrogate": (asked("what \ud800?"), "bad_row", "surrogates"),
    "a null that a placeholder asks for": (
        asked("<image><image>", images=[CELL, None]),
        "image_missing",
        "1 null",
    ),
    "a number twice": (asked("<image_1><image_1>", images=TWO), "placeholder_mismatch", "[1, 1]"),
    "a number too high": (asked("<image_3>", images=[CELL]), "placeholder_mismatch", "[3]"),
    "numbers and none": (asked("<image_1><image>", images=TWO), "placeholder_mismatch", "[1]"),
    "numbers that would skip a null": (
        asked("<image_1> or <image_2>", images=[TWO[0], None, TWO[1]]),
        "placeholder_mismatch",
        "2 image(s) and 1 null(s)",
    ),
    "the number of a null": (
        asked("<image 1>what?", image_1=None, image_2=CELL),
        "placeholder_mismatch",
        "[1]",
    ),
    "the index of a null": (
        asked(part("image", index=0), images=[None, CELL]),
        "placeholder_mismatch",
        "null",
    ),
    "a null question": (asked(None), "bad_row", "'user' is null"),
    "a null answer": (
        {"messages": [CHAT[0], {"role": "assistant", "content": None}]},
        "bad_row",
        "'assistant' is null",
    ),
    "Pixtral's placeholder": (asked("[IMG]what?", images=[CELL]), "placeholder_mismatch", "[IMG]"),
    "a tag": (asked("<img>what?", images=[CELL]), "placeholder_mismatch", "<img>"),
    "Qwen's placeholder": (
        asked("<|image_pad|>what?", images=[CELL]),
        "placeholder_mismatch",
        "<|image_pad|>",
    ),
    "Gemma's placeholder": (
        asked("<start_of_image>what?", images=[CELL]),
        "placeholder_mismatch",
        "<start_of_image>",
    ),
    "a part of text in braces": (asked(["{image} what?"], images=[CELL]), "placeholder_mismatch", "{image}"),
    "images twice": (asked(part("image", image=CELL), images=[CELL]), "placeholder_mismatch", "both"),
    "images in some parts": (
        asked([{"type": "image", "image": CELL}, {"type": "image"}]),
        "placeholder_mismatch",
        "1 of 2",
    ),
}


STATUSES |= {
    f"a message with {key}": ({"messages": [{**CHAT[0], key: value}, RED]}, "bad_row", repr(key))
    for key, value in (
        ("image_url", "a.png"),
        ("attachments", ["a.png"]),
        ("context", "a red dot"),
        ("think", "hm"),
        ("type", "image"),
        ("tool_responses", [{"name": "zoom"}]),
    )
}
STATUSES |= {
    f"the placeholder {text}": (asked(f"{text} what?", images=[CELL]), "placeholder_mismatch", text)
    for text in (
        *("<IMG_CONTEXT>", "<ImageContent>", "<im_patch>", "<image:1>", "<image id=1>", "<img src='a.png'>"),
        *("![a dot](a.png)", "<|media_pad|>", "<|vision_end|>"),
    )
}


@pytest.mark.parametrize(("row", "status", "reason"), STATUSES.values(), ids=STATUSES)
def test_unread_parts_have_status_and_reason(row, status, reason):
    found = read(row)
    assert isinstance(found, RowError)
    assert found.status == status
    assert reason in str(found)


@pytest.mark.parametrize("text", ["List<ImageView>", "<imagery>", "<photosynthesis>", "<image_caption>"])
def test_other_tags_are_no_placeholders(text):
    assert read(asked(text, images=[CELL])).turns[0].parts == (None, text)


@pytest.mark.parametrize("text", ["[IMG]", "<img>", "what is <|image_pad|>?", "a <Image /> in React"])
def test_text_rows_may_spell_placeholders(text):
    assert read(asked(text)).turns[0].text == text


@pytest.mark.parametrize(
    "where", ["https://a.org/b.png", "s3://a/b.png", {"bytes": None, "path": "hf://a/b.png"}], ids=str
)
def test_url_image_is_remote(where):
    (picture,) = read(asked("<image>what?", images=[where])).images
    with pytest.raises(RowError) as caught:
        picture.decode()
    assert caught.value.status == "image_remote"


@pytest.mark.parametrize("key", ["id", "name", "timestamp", "source", "parent_id", "created_at", "status"])
def test_plain_keys_of_messages_are_ignored(key):
    assert read({"messages": [{**CHAT[0], key: "x"}, {**RED, "rating": 3, "images": []}]}) == read(
        {"messages": CHAT}
    )


def test_numbers_count_nulls():
    row = read(asked("<image_3> or <image_1>", images=[TWO[0], None, TWO[1]]))
    assert [picture.data for picture in row.images] == [png(1), png(0)]


def test_weights_are_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert read({"messages": [CHAT[0], {**RED, "weight": 0}]}).turns[1] == ANSWERED
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["messages have 'weight'"]


COLUMNS = {
    "two layouts": (["messages", "conversations"], "messages and conversations"),
    "three layouts": (["prompt", "completion", "messages"], r"messages and prompt\+completion"),
    "two image columns": (["messages", "images", "image"], "images and image"),
    "image and image_1": (["messages", "image", "image_1"], "image and image_1"),
    "two numberings": (["messages", "image_1", "img_1"], "image_1.* and img_1"),
    "an image by another name": (["messages", "picture"], "'picture'.*rename_column"),
    "an image path": (["messages", "image_path"], "'image_path'"),
    "upper case": (["messages", "Images"], "'Images'"),
    "two system prompts": (["messages", "system", "system_prompt"], "system and system_prompt"),
    "a history": (["prompt", "completion", "history"], "history.*remove_columns"),
    "a judgment": (["prompt", "completion", "label"], "label"),
    "a caption next to an answer": (["question", "answers", "caption"], "'question', 'answers'"),
    "a caption next to a prompt": (["prompt", "caption"], r"in caption, got \['prompt'\]"),
    "two questions": (["instruction", "question", "output"], r"instruction\+output, got \['question'\]"),
    "an instruction": (["instruction", "question", "answer"], r"question\+answer, got \['instruction'\]"),
    "the inputs of M3IT": (["instruction", "inputs", "output"], r"\['inputs'\]"),
    "contexts": (["question", "answer", "contexts", "Lecture"], r"\['contexts', 'Lecture'\]"),
}
COLUMNS |= {
    name: (["question", "answer", name], repr(name))
    for name in (
        *("image_base64_str", "image_b64", "image_src", "image_name", "image_file_path", "imageUrl", "jpg"),
        *("left_image", "input_image", "question_images", "screenshot", "file_name"),
    )
}


@pytest.mark.parametrize(("columns", "named"), COLUMNS.values(), ids=COLUMNS)
def test_unread_columns_are_refused(columns, named):
    with pytest.raises(LayoutError, match=named) as caught:
        find_layout(columns)
    assert str(caught.value).count("\n") < 3


@pytest.mark.parametrize(
    "columns",
    [
        ["prompt"],
        ["image_path", "images"],
        ["question", "image_1"],
        ["image_id", "image_size", "image_gain", "num_images", "image_hash"],
    ],
    ids=str,
)
def test_other_columns_are_ignored(columns):
    assert find_layout(["messages", *columns]).text_columns == ("messages",)


@pytest.mark.parametrize("kind", [Image(), List(Image())], ids=str)
def test_misnamed_image_column_is_refused(kind):
    with pytest.raises(LayoutError, match="'screenshot'"):
        find_layout(Features({"prompt": Value("string"), "completion": Value("string"), "screenshot": kind}))


STORED = {"bytes": Value("binary"), "path": Value("string")}


@pytest.mark.parametrize(
    "way", [find_layout, lambda it: table_rows(Dataset.from_dict({name: [] for name in it}, it))]
)
@pytest.mark.parametrize(
    "kinds",
    [{"before": STORED}, {"before": Value("binary")}, {"image": Image(), "after": Image()}],
    ids=["records of bytes", "bytes", "a second image"],
)
def test_misnamed_image_bytes_are_refused(kinds, way):
    with pytest.raises(LayoutError, match=f"'{[*kinds][-1]}', which is not read"):
        way(Features({"prompt": Value("string"), "completion": Value("string"), **kinds}))


LABEL, TEXT = ClassLabel(names=["no", "yes"]), Value("string")
LABELED = {
    "answers": ({"prompt": "a", "completion": 1}, {"prompt": TEXT, "completion": LABEL}),
    "contents": (
        {"messages": [{"role": "assistant", "content": 1}]},
        {"messages": List({"role": TEXT, "content": LABEL})},
    ),
    "texts": (
        {"texts": [{"user": "a", "assistant": 1}]},
        {"texts": List({"user": TEXT, "assistant": LABEL})},
    ),
    "system": (
        {"system": 1, "prompt": "a", "completion": "b"},
        {"system": LABEL, "prompt": TEXT, "completion": TEXT},
    ),
}


@pytest.mark.parametrize("way", [lambda it: find_layout(it.features), table_rows], ids=["layout", "rows"])
@pytest.mark.parametrize(("row", "kinds"), LABELED.values(), ids=LABELED)
def test_class_labels_are_refused(row, kinds, way):
    with pytest.raises(LayoutError, match="int2str"):
        way(Dataset.from_list([row], features=Features(kinds)))


@pytest.mark.parametrize(
    "cells", [{"image": [[[0, 0, 9]] * 2] * 2}, {"images": [[[0, 0], [0, 1]]]}], ids=["one", "a list"]
)
def test_pixels_are_not_counted_as_images(cells):
    error = read({"messages": CHAT, **cells})
    assert error.status == "bad_row"
    assert "pixels" in error.message


def test_pixel_array_is_not_records():
    features = Features({"prompt": TEXT, "completion": TEXT, "image": Array3D((4, 4, 3), "uint8")})
    cells = {"prompt": ["a"], "completion": ["b"], "image": [np.zeros((4, 4, 3), "uint8")]}
    (row,) = table_rows(Dataset.from_dict(cells, features))
    assert row.status == "bad_row"


@pytest.mark.parametrize(
    "text",
    [
        '[{"type": "button", "text": "OK"}]',
        '[{"type": "text", "at": 1}, {"a": 1}]',
        '[{"type": "text", "text": "Sign in"}]',
        '{"type": "image", "url": "logo.png"}',
        '[{"text": "a"}]',
        '"STOP"',
    ],
)
def test_json_answer_is_text(text):
    assert read({"prompt": "what?", "completion": text}).turns[1].text == text
    assert read({"messages": [CHAT[0], {"role": "assistant", "content": text}]}).turns[1].text == text


def test_misnamed_audio_column_is_refused():
    rows = Dataset.from_list([{"prompt": "what?", "completion": "red", "speech": {"bytes": b"x"}}])
    with pytest.raises(LayoutError, match="speech"):
        table_rows(rows.cast_column("speech", Audio()))


def test_map_refuses_misnamed_image_column():
    row = {"prompt": "what?", "completion": "red", "screenshot": CELL}
    with pytest.raises(LayoutError, match="'screenshot'"):
        read_table(Dataset.from_list([row]).cast_column("screenshot", Image()).with_format("arrow")[:])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (42, "42"),
        (3.0, "3"),
        (-0.5, "-0.5"),
        (np.int64(7), "7"),
        (np.float32(2), "2"),
        (10**20, "1" + "0" * 20),
    ],
)
def test_a_number_is_its_text(number, text):
    assert read_text(number) == text


def test_missing_number_is_bad_row():
    rows = table_rows(Dataset.from_dict({"prompt": ["a", "b"], "completion": [3.0, None]}))
    assert rows[0].turns[1] == Turn("assistant", ("3",))
    assert rows[1].status == "bad_row"
