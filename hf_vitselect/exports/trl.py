"""TRL's format: a Parquet file of `messages` in content parts and `images`, with the pool's other columns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
from datasets import Dataset, Features, Image, Json, List, Value

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.image_roots import image_access, mark_access
from hf_vitselect.data.rows import read_table, read_texts
from hf_vitselect.data.stored import UNSTORED, encode_batch, map_tables
from hf_vitselect.errors import ColumnError, LayoutError, RowError
from hf_vitselect.exports.base import Format, Refused, Target, refuse_unreadable
from hf_vitselect.exports.images import stored_image
from hf_vitselect.selection.selection import Selection

_READ_BY_TRL = ("prompt", "completion", "chosen", "rejected", "text", "input_ids", "labels", "label")
"""Columns that TRL would take for the conversation, or for its tokens."""


_CALLS = {
    "tool_calls": List(
        {
            "id": Value("string"),
            "type": Value("string"),
            "function": {"name": Value("string"), "arguments": Json()},
        }
    ),
    "tool_call_id": Value("string"),
    "name": Value("string"),
}


@dataclass(frozen=True)
class Trl(Format):
    """A dataset that `SFTTrainer(train_dataset=load_dataset(folder, split="train"))` reads as it is."""

    suffix: ClassVar[str] = ".parquet"
    holds_images: ClassVar[bool] = True

    def write(self, selection: Selection, target: Target) -> None:
        """Write the file."""
        refused = Refused()
        refuse_unreadable(selection.dataset, refused)
        refused.raise_any(selection, self.name)
        trl_rows(selection.dataset).to_parquet(str(target.file(self.suffix)))


def trl_rows(dataset: Dataset) -> Dataset:
    """The rows in the layout that TRL reads, with the other columns unchanged and each image's bytes.

    The columns are `messages`, `images` if a row has one or another column could pass for it, and `tools`
    (JSON) if a row has some. Contents are lists of parts, or texts in rows that are all text.

    Raises:
        ColumnError: If another column has a name that TRL reads.
    """
    layout = find_layout(dataset.features)
    kept = [name for name in dataset.column_names if name not in (*layout.columns, UNSTORED)]
    if taken := [name for name in kept if name in _READ_BY_TRL]:
        raise ColumnError(
            f"expected no columns that TRL reads, besides the conversation, got {taken}; "
            f"drop or rename them before the selection, with dataset.remove_columns({taken})"
        )
    forms = _Forms.of(read for read in read_texts(dataset) if isinstance(read, Conversation))
    others = {name: dataset.features[name] for name in kept}
    try:
        find_layout(Features(forms.features | others))
    except LayoutError:  # without `images`, another column would pass for images
        forms = replace(forms, images=True)
    features = forms.features | others
    change = partial(
        _convert,
        access=image_access(dataset),
        kept=kept,
        forms=forms,
        schema=Features(features).arrow_schema,
    )
    return map_tables(dataset, change, Features(features), "Writing TRL's layout")


@dataclass(frozen=True)
class _Forms:
    """The parts that at least one row has."""

    images: bool = False
    tools: bool = False
    parts: bool = False
    calls: bool = False

    @classmethod
    def of(cls, rows: Iterator[Conversation]) -> "_Forms":
        """Look at all rows."""
        images = tools = parts = calls = False
        for row in rows:
            images |= bool(row.images)
            tools |= bool(row.tools)
            parts |= any(len(turn.parts) > 1 for turn in row.turns)
            calls |= any(turn.tool_fields for turn in row.turns)
        return cls(images, tools, parts or images, calls)

    @property
    def features(self) -> dict[str, Any]:
        """The columns of the conversation."""
        part = {"type": Value("string"), "text": Value("string")}
        content = List(part) if self.parts else Value("string")
        calls = _CALLS if self.calls else {}
        columns: dict[str, Any] = {"messages": List({"role": Value("string"), "content": content, **calls})}
        columns |= {"images": List(Image())} if self.images else {}
        return columns | ({"tools": Value("string")} if self.tools else {})


def _convert(
    table: pa.Table, access: ImageAccess, kept: list[str], forms: _Forms, schema: pa.Schema
) -> pa.Table:
    rows = [_cells(row, forms) for row in read_table(mark_access(table, access))]
    features = Features(forms.features)
    said = encode_batch({name: [row[name] for row in rows] for name in features}, features)
    columns = {name: (table if name in kept else said).column(name) for name in schema.names}
    return pa.table(columns, schema=schema)


def _cells(row: Conversation | RowError, forms: _Forms) -> dict[str, Any]:
    if isinstance(row, RowError):
        raise row
    return {
        "messages": [_message(turn, forms) for turn in row.turns],
        "images": [stored_image(image) for image in row.images],
        "tools": row.tools,
    }


def _message(turn: Turn, forms: _Forms) -> dict[str, Any]:
    content: Any = turn.parts[0] if turn.parts else None
    if forms.parts:
        content = [
            {"type": "image", "text": None} if part is None else {"type": "text", "text": part}
            for part in turn.parts
        ]
    return {
        "role": turn.role,
        "content": content,
        **(dict.fromkeys(_CALLS) | turn.tool_fields if forms.calls else {}),
    }
