"""Exports: a pool, selected, exported and loaded again has the same conversations and image bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, List, Value
from pools import assistant, encode, mixed_pool, one_picture_pool, png, pool, stripes, user

from hf_vitselect import Selection, load_pool, select_diverse
from hf_vitselect.data.row_ids import row_contents
from hf_vitselect.errors import ExportError
from hf_vitselect.exports import (
    Ids,
    LlamaFactory,
    Llava,
    MsSwift,
    OpenAI,
    Parquet,
    ShareGPT,
    Trl,
    WebDataset,
    export,
)
from hf_vitselect.exports.base import Format
from hf_vitselect.rules import TopScore

FORMATS = [Llava(), ShareGPT(), LlamaFactory(), MsSwift(), Trl(), OpenAI(), WebDataset(), Parquet()]
WITH_FILES = [Llava(), ShareGPT(), LlamaFactory(), MsSwift()]


def each(formats: list[Any]) -> Any:
    return pytest.mark.parametrize("to", formats, ids=lambda to: type(to).__name__)


def select(rows: Dataset, budget: int | None = None, **options: Any) -> Selection:
    """The rows in the reverse order."""
    scored = rows.add_column("necessity", [float(i) for i in range(len(rows))], feature=Value("float32"))
    return select_diverse(scored, budget or len(rows), rule=TopScore(), **options)


def said(rows: Dataset) -> list[str]:
    return list(row_contents(rows))


def refused(rows: Dataset, to: Format, folder: Path) -> str:
    """The message of a refused export, which leaves no file."""
    with pytest.raises(ExportError) as error:
        export(select(rows), folder, to)
    assert list(folder.iterdir()) == []
    return str(error.value)


@each(FORMATS)
def test_round_trip_keeps_everything(to: Format, tmp_path: Path) -> None:
    rows = one_picture_pool(12) if isinstance(to, Llava) else mixed_pool(12)
    selection = select(rows, 9)
    file = export(selection, tmp_path, to, name="part")
    assert said(load_pool(file)) == said(selection.dataset)
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} <= {
        "part",
        "part_images",
        "part-00000",
        "dataset_info",
    }


@each(FORMATS)
@pytest.mark.parametrize(
    ("name", "cell", "kind"),
    [
        ("image_path", "", "string"),
        ("image_path", None, "string"),
        ("file_name", "a.json", "string"),
        ("md5", b"1", "binary"),
    ],
)
def test_texts_alone_are_read_back(name: str, cell: Any, kind: str, to: Format, tmp_path: Path) -> None:
    rows = pool([([user(f"{i}?"), assistant("red")], []) for i in range(3)])
    rows = rows.add_column(name, [cell] * 3, feature=Value(kind))
    selection = select(rows)
    assert said(load_pool(export(selection, tmp_path, to))) == said(selection.dataset)


@pytest.mark.parametrize("to", ["llava", "out", Trl, None], ids=["name", "folder", "class", "none"])
def test_names_are_no_formats(to: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^to: expected a format, got .*; call export\("):
        export(select(mixed_pool(4)), tmp_path, to)


@each(FORMATS)
def test_images_keep_their_bytes(to: Format, tmp_path: Path) -> None:
    images = [encode(stripes(seed=seed), kind) for seed, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF"))]
    selection = select(pool([([user("what?", 1), assistant("red")], [image]) for image in images]))
    file = export(selection, tmp_path, to)
    assert said(load_pool(file)) == said(selection.dataset)


@each(WITH_FILES)
def test_equal_images_written_once(to: Format, tmp_path: Path) -> None:
    rows = pool([([user(f"{i}?", 1), assistant("red")], [png(i % 2)]) for i in range(6)])
    export(select(rows), tmp_path, to)
    assert len(list((tmp_path / "subset_images").iterdir())) == 2


@each(WITH_FILES)
def test_images_are_referenced_in_place(to: Format, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    rows = pool([([user("what?", 1), assistant("red")], [str(tmp_path / "a.png")])])
    file = export(select(rows), tmp_path / "out", to, images="reference")
    assert not (tmp_path / "out/subset_images").exists()
    assert str(tmp_path / "a.png") in file.read_text()


@each([Trl(), Parquet(), WebDataset(), OpenAI(), Llava()])
def test_images_under_a_root_are_read(to: Format, tmp_path: Path) -> None:
    (tmp_path / "images/coco").mkdir(parents=True)
    (tmp_path / "images/coco/a.png").write_bytes(png())
    turns = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "red"}]
    lines = [{"image": "coco/a.png", "conversations": turns}, {"conversations": turns[1:]}]
    lines[1]["conversations"] = [{"from": "human", "value": "hello"}, turns[1]]
    (tmp_path / "llava.json").write_text(json.dumps(lines))
    selection = select(load_pool(tmp_path / "llava.json", image_root=tmp_path / "images"))
    file = export(selection, tmp_path / "out", to)
    assert said(load_pool(file)) == said(selection.dataset)


def test_reference_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="images='write'"):
        export(select(mixed_pool(4)), tmp_path, ShareGPT(), images="reference")
    with pytest.raises(ExportError, match="Trl, whose files hold"):
        export(select(mixed_pool(4)), tmp_path, Trl(), images="reference")


def test_llava_refuses_several_images(tmp_path: Path) -> None:
    rows = pool([([user("what?", 2), assistant("red")], [png(1), png(2)])] * 5)
    message = refused(rows, Llava(), tmp_path)
    assert "row 4 of the pool" in message
    assert "2 images, and one fits" in message
    assert "2 more" in message


@pytest.mark.parametrize("role", ["system", "tool"])
def test_llava_refuses_other_roles(role: str, tmp_path: Path) -> None:
    turn = {"role": role, "content": [{"type": "text", "text": "be brief"}]}
    rows = pool([([turn, user("what?"), assistant("red")], [])])
    assert f"role {role!r}" in refused(rows, Llava(), tmp_path)


@each([LlamaFactory(), Llava()])
def test_turns_must_alternate(to: Format, tmp_path: Path) -> None:
    rows = pool([([user("a?"), user("b?"), assistant("red")], [])])
    assert "in turn" in refused(rows, to, tmp_path)


@each(WITH_FILES)
def test_spelled_placeholder_is_refused(to: Format, tmp_path: Path) -> None:
    rows = pool([([user("what?", 1), assistant("an <image> tag")], [png()])])
    assert "spells '<image>'" in refused(rows, to, tmp_path)


@each(WITH_FILES)
def test_split_texts_are_refused(to: Format, tmp_path: Path) -> None:
    question = {"role": "user", "content": [{"type": "text", "text": text} for text in ("a", "b")]}
    rows = pool([([question, assistant("red")], [])])
    assert "read back otherwise" in refused(rows, to, tmp_path)


@each(FORMATS)
def test_missing_image_is_refused(to: Format, tmp_path: Path) -> None:
    rows = pool([([user("what?", 1), assistant("red")], [str(tmp_path / "no.png")])])
    assert "image_missing" in refused(rows, to, tmp_path)


@each([Trl(), OpenAI(), WebDataset(), ShareGPT(), MsSwift(), LlamaFactory()])
def test_system_and_tools_kept(to: Format, tmp_path: Path) -> None:
    tools = [
        json.dumps([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]),
        None,
    ]
    rows = mixed_pool(2).add_column("system", ["be brief", None]).add_column("tools", tools)
    selection = select(rows)
    file = export(selection, tmp_path, to)
    assert said(load_pool(file)) == said(selection.dataset)


CALL = {"name": "zoom", "arguments": {"box": [1, 2], "how": {"deep": True}}}


@each([Trl(), OpenAI(), WebDataset(), ShareGPT(), MsSwift(), LlamaFactory()])
@pytest.mark.parametrize("images", [0, 1])
def test_tool_calls_are_kept(to: Format, images: int, tmp_path: Path) -> None:
    lines = [
        {
            "conversations": [
                {"from": "human", "value": "<image>\nwhat?" if images else "what?"},
                {"from": "function_call", "value": json.dumps(CALL | {"name": f"zoom{i}"})},
                {"from": "observation", "value": "a dot"},
                {"from": "gpt", "value": "red"},
            ],
            "images": [{"bytes": png(), "path": None}] * images,
            "tools": json.dumps([{"name": f"zoom{i}"}]),
        }
        for i in range(3)
    ]
    selection = select(Dataset.from_list(lines))
    assert said(load_pool(export(selection, tmp_path, to))) == said(selection.dataset)


@each([Trl(), OpenAI(), WebDataset()])
def test_ids_of_calls_are_kept(to: Format, tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": '{"a": 1}'}}
    lines = [
        {"role": "user", "content": "what?"},
        {"role": "assistant", "content": "let me look", "tool_calls": [call]},
        {"role": "tool", "content": "a dot", "tool_call_id": "c1", "name": "zoom"},
        {"role": "assistant", "content": "red"},
    ]
    selection = select(Dataset.from_list([{"messages": json.dumps(lines)}]))
    assert said(load_pool(export(selection, tmp_path, to))) == said(selection.dataset)


@each(WITH_FILES)
def test_text_before_calls_is_refused(to: Format, tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    lines = [
        {"role": "user", "content": "what?"},
        {"role": "assistant", "content": "let me look", "tool_calls": [call]},
    ]
    assert "bad_row" in refused(Dataset.from_list([{"messages": json.dumps(lines)}]), to, tmp_path)


@each([Trl(), OpenAI(), WebDataset(), ShareGPT(), MsSwift(), LlamaFactory()])
def test_mixed_schemas_of_tools_kept(to: Format, tmp_path: Path) -> None:
    schemas = [
        {},
        {"properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"type": ["string", "null"]}}},
    ]
    tools = [json.dumps([{"function": {"name": "look", "parameters": schema}}]) for schema in schemas]
    selection = select(mixed_pool(3).add_column("tools", tools))
    file = export(selection, tmp_path, to)
    assert said(load_pool(file)) == said(selection.dataset)


def test_llama_factory_merges_its_entry(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"alpaca": {"file_name": "a.json"}}')
    file = export(select(mixed_pool(4)), tmp_path, LlamaFactory(), name="mine")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert file == tmp_path / "mine.json"
    assert info["alpaca"] == {"file_name": "a.json"}
    assert info["mine"]["file_name"] == "mine.json"
    assert info["mine"]["formatting"] == "sharegpt"


@pytest.mark.parametrize("info", ['{"subset": {}}', "[]", "{"])
def test_llama_factory_keeps_foreign_entries(info: str, tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(info)
    with pytest.raises(ExportError, match=r"dataset_info\.json"):
        export(select(mixed_pool(4)), tmp_path, LlamaFactory())
    assert (tmp_path / "dataset_info.json").read_text() == info


def test_earlier_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "subset.json").write_text("mine")
    with pytest.raises(FileExistsError, match="another name"):
        export(select(mixed_pool(4)), tmp_path, Llava())
    assert (tmp_path / "subset.json").read_text() == "mine"


def test_ids_are_positions_or_own(tmp_path: Path) -> None:
    rows = mixed_pool(4).add_column("id", ["a", "b", "c", "d"])
    positions = export(select(rows, 2), tmp_path, Ids(), name="positions")
    own = export(select(rows, 2, id_column="id"), tmp_path, Ids(), name="own")
    assert json.loads(positions.read_text()) == [3, 2]
    assert json.loads(own.read_text()) == ["d", "c"]


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    rows = mixed_pool(4).add_column("id", ["a", "b", "b", "d"])
    with pytest.raises(ExportError, match="1 repeated"):
        export(select(rows, id_column="id"), tmp_path, Ids())


def test_own_ids_are_written(tmp_path: Path) -> None:
    rows = one_picture_pool(3).add_column("id", ["a", "b", "c"])
    file = export(select(rows, id_column="id"), tmp_path, Llava())
    assert [row["id"] for row in json.loads(file.read_text())] == ["c", "b", "a"]


@each([Trl(), Parquet()])
def test_other_columns_are_kept(to: Format, tmp_path: Path) -> None:
    vectors = [[float(i), 1.0] for i in range(4)]
    rows = mixed_pool(4).add_column("embedding", vectors, feature=List(Value("float32"), length=2))
    selection = select(rows)
    read = load_pool(export(selection, tmp_path, to))
    assert read.features["embedding"] == rows.features["embedding"]
    assert read["embedding"][:] == vectors[::-1]
    assert read["necessity"][:] == [3.0, 2.0, 1.0, 0.0]


def test_trl_refuses_its_columns(tmp_path: Path) -> None:
    rows = mixed_pool(4).add_column("text", ["a"] * 4)
    with pytest.raises(ValueError, match=r"remove_columns\(\['text'\]\)"):
        export(select(rows), tmp_path, Trl())


def test_webdataset_writes_shards(tmp_path: Path) -> None:
    export(select(mixed_pool(5)), tmp_path, WebDataset(rows=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"subset-0000{i}.tar" for i in range(3)]


@pytest.mark.parametrize("name", ["", "a/b", "."])
def test_name_has_no_folders(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="without folders"):
        export(select(mixed_pool(4)), tmp_path, Llava(), name=name)
