"""The conversation layouts: the only file that knows which columns hold what.

Whoever wants the conversations of a data set, a stream, a table or a mapping asks here. `stored` knows the
forms in which cells are stored, `turns` what roles, contents and placeholders mean.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from datasets import Audio, ClassLabel, Dataset, Features, Image, Video

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.roots import ROOTS, image_roots, mark_roots, marked_roots
from hf_vitselect.data.stored import UNSTORED, from_text, is_empty, is_record_of_lists, plain_rows, records
from hf_vitselect.data.turns import (
    Draft,
    draft_turns,
    image_cells,
    place_images,
    read_image,
    read_messages,
    read_text,
    refuse_unread,
)
from hf_vitselect.errors import LayoutError, RowError

_MEDIA_COLUMN = re.compile(
    r"(video|audio)s?([ _-]?(path|file|filename|url|bytes|frame)s?)?|frames|mp4|webm|wav|mp3|flac",
    re.IGNORECASE,
)
_NUMBERED_COLUMN = re.compile(r"(image|images|img|picture)[ _-]?(\d+)", re.IGNORECASE)
_IMAGE_COLUMN = re.compile(
    r"(image|img|picture|pic|photo)s?([ _-]?(path|file|filename|url|list|bytes|data|base64)s?)?",
    re.IGNORECASE,
)
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
UNREAD_COLUMNS = ("history", "functions", "documents", "chat_template_kwargs")


@dataclass(frozen=True)
class Layout:
    """A conversation layout.

    Attributes:
        text_columns: the columns that hold the turns.
        image_columns: the column that holds the images, or those that hold one each, in order.
        system_column: the column of the system prompt, if the data set has one.
        tools_column: the column of the tools, if the data set has one.
        media_columns: the columns of video and audio, which rows may not use.
        read_contents: from a row's cells to `(role, content)` pairs.
    """

    text_columns: tuple[str, ...]
    image_columns: tuple[str, ...]
    system_column: str | None
    tools_column: str | None
    media_columns: tuple[str, ...]
    read_contents: Callable[[Mapping[str, Any]], Iterable[tuple[Any, Any]]]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that belong to the conversation."""
        others = [name for name in (self.system_column, self.tools_column) if name]
        return (*self.text_columns, *self.image_columns, *others, *self.media_columns)

    def read(self, row: Mapping[str, Any]) -> Conversation:
        """One row, read.

        Args:
            row: at least the layout's columns as plain values, images not decoded.

        Raises:
            RowError: `bad_row`, `image_missing`, `placeholder_mismatch`, `media_unsupported` or, for
                an open image that does not load, `image_error`.
        """
        if row.get(UNSTORED):
            raise RowError("bad_row", row[UNSTORED])
        try:
            self._refuse_media(row)
            turns, pictures = place_images(self._drafts(row), self.image_cells(row))
            return Conversation(turns, pictures, self._tools(row))
        except _UNREADABLE as error:
            raise RowError("bad_row", f"not a conversation: {error}") from error

    def answer_characters(self, row: Mapping[str, Any]) -> int | None:
        """How long a row's answers are, in characters; None if they cannot be read. Looks at no image."""
        try:
            turns = self._drafts(row)
        except (*_UNREADABLE, RowError):
            return None
        answers = [part for role, parts in turns if role == "assistant" for part in parts]
        return sum(len(part) for part in answers if isinstance(part, str))

    def image_cells(self, row: Mapping[str, Any]) -> list[Any]:
        """The images of a row's own columns, the empty ones among them.

        Raises:
            ValueError: if a cell's text is no list and no path.
        """
        if len(self.image_columns) < 2:
            return [cell for name in self.image_columns for cell in image_cells(row.get(name))]
        # Most rows use fewer than there are columns.
        cells = [row.get(name) for name in self.image_columns]
        while cells and is_empty(cells[-1]):
            cells.pop()
        return cells

    def _drafts(self, row: Mapping[str, Any]) -> list[Draft]:
        drafts = draft_turns(self.read_contents(row))
        system = row.get(self.system_column) if self.system_column else None
        if is_empty(system):
            return drafts
        (first,) = draft_turns([("system", system)])
        if first in drafts:
            return drafts
        if any(role == "system" for role, _ in drafts):
            raise ValueError(f"a system turn, and another in the column {self.system_column!r}")
        return [first, *drafts]

    def _tools(self, row: Mapping[str, Any]) -> str | None:
        tools = row.get(self.tools_column) if self.tools_column else None
        if is_empty(tools):
            return None
        plain = [_without_nulls(from_text(tool)) for tool in from_text(tools)]
        return json.dumps(plain, ensure_ascii=False)

    def _refuse_media(self, row: Mapping[str, Any]) -> None:
        for name in self.media_columns:
            if not is_empty(row.get(name)):
                raise RowError("media_unsupported", f"something in the column {name!r}")


_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError)


def find_layout(columns: Sequence[str] | Features) -> Layout:
    """The layout that these columns make.

    Args:
        columns: their names; or the data set's features, which show what else holds images.

    Raises:
        LayoutError: if they make none, or more than one, or have a part of the conversation under a name that
            is not read.
    """
    names = list(columns)
    found = [layout for layout in LAYOUTS if set(layout.text_columns) <= set(names)]
    if not found:
        known = ", ".join("+".join(layout.text_columns) for layout in LAYOUTS)
        raise LayoutError(
            f"expected one of the conversation layouts {known} (with images or image beside it), "
            f"got the columns {names}; rename the columns with dataset.rename_columns"
        )
    if len(found) > 1:
        both = ["+".join(layout.text_columns) for layout in found]
        raise LayoutError(
            f"expected one conversation layout, got {' and '.join(both)}; "
            "leave one out with dataset.remove_columns"
        )
    if unread := [name for name in names if name in UNREAD_COLUMNS]:
        raise LayoutError(
            f"expected a conversation in {'+'.join(found[0].text_columns)} alone, got {unread} next to it, "
            f"not read; put it into the turns, or leave it out with dataset.remove_columns({unread})"
        )
    layout = Layout(
        found[0].text_columns,
        _image_columns(names),
        _at_most_one("system prompt", [name for name in SYSTEM_COLUMNS if name in names]),
        "tools" if "tools" in names else None,
        tuple(name for name in names if _MEDIA_COLUMN.fullmatch(name)),
        found[0].read_contents,
    )
    _refuse_kinds(layout, columns)
    return layout


def is_conversation_column(name: str) -> bool:
    """Whether a column of this name is read as a part of the conversation, or refused as one."""
    known = {"tools", *SYSTEM_COLUMNS, *UNREAD_COLUMNS}.union(*(layout.text_columns for layout in LAYOUTS))
    patterns = (_IMAGE_COLUMN, _NUMBERED_COLUMN, _MEDIA_COLUMN)
    return name in known or any(pattern.fullmatch(name) for pattern in patterns)


def read_rows(dataset: Any) -> Iterator[Conversation | RowError]:
    """Every row of a data set or stream; a row that cannot be read is its error.

    Raises:
        LayoutError: as `undecoded` does.
    """
    for table in undecoded(dataset):
        yield from read_table(table)


def read_table(table: pa.Table) -> list[Conversation | RowError]:
    """Every row of an undecoded Arrow table; a row that cannot be read is its error.

    Raises:
        LayoutError: if the columns make no known layout.
    """
    layout, roots = find_layout(_columns(table)), marked_roots(table)
    columns = [*layout.columns, *([UNSTORED] if UNSTORED in table.column_names else [])]
    return _under(roots, [_read_or_error(layout, row) for row in plain_rows(table.select(columns))])


def read_row(row: Mapping[str, Any]) -> Conversation:
    """One row as a plain mapping.

    Raises:
        LayoutError: if the columns make no known layout.
        RowError: if it cannot be read.
    """
    return find_layout(list(row)).read(row).under(row.get(ROOTS))


def read_mapping(batch: Mapping[str, Any]) -> tuple[list[Conversation | RowError], bool]:
    """The rows of a plain mapping: one row, or a batch of columns (streams, Ray).

    Returns:
        The rows, and whether the mapping was a batch.

    Raises:
        LayoutError: if the columns make no known layout, or a data set's format made arrays of its images.
    """
    layout = find_layout(list(batch))
    for name in layout.image_columns:
        _refuse_arrays(batch[name])
    first, roots = batch[layout.text_columns[0]], batch.get(ROOTS)
    if not _is_batch(first):
        return _under(roots, [_read_or_error(layout, batch)]), False
    rows = ({name: batch[name][i] for name in layout.columns} for i in range(len(first)))
    return _under(roots, [_read_or_error(layout, row) for row in rows]), True


def undecoded(dataset: Any, batch_size: int = 1000) -> Iterator[pa.Table]:
    """The conversation columns of a data set or stream as Arrow tables, images as they are encoded.

    Raises:
        LayoutError: if the columns make no known layout, or the data set has a transform.
    """
    refuse_transform(dataset)
    columns, roots = list(find_layout(dataset.features or dataset.column_names).columns), image_roots(dataset)
    for table in dataset.select_columns(columns).with_format("arrow").iter(batch_size):
        yield mark_roots(table, roots)


def with_image_bytes(table: pa.Table) -> pa.Table:
    """The rows with the bytes of images that are only named, as far as there are such files."""
    roots = marked_roots(table)
    for name in find_layout(table.column_names).image_columns:
        try:
            cells = [_embedded(row[name], roots) for row in plain_rows(table.select([name]))]
        except (TypeError, ValueError):  # They are no images; whoever reads the rows says so.
            continue
        image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, pa.large_list(image)))
    return table


def refuse_transform(dataset: Any) -> None:
    """Refuses a data set whose rows are made as they are looked at, and so are not those that are stored.

    Raises:
        LayoutError: if it has a transform.
    """
    if isinstance(dataset, Dataset) and dataset.format["type"] == "custom":
        raise LayoutError(
            "expected a data set whose rows are those that are stored, got one with a transform;\n"
            "store its rows with dataset.map(the transform, batched=True) after dataset.reset_format(), "
            "or take it away with dataset.with_format(None)"
        )


def answer_characters(dataset: Any) -> list[int | None]:
    """How long every row's answers are, in characters; None for a row that cannot be read."""
    refuse_transform(dataset)
    layout = find_layout(dataset.column_names)
    texts = dataset.select_columns(list(layout.text_columns)).with_format("arrow")
    return [layout.answer_characters(row) for table in texts.iter(1000) for row in plain_rows(table)]


def _columns(table: pa.Table) -> Sequence[str] | Features:
    """The names of the table's columns; or its features, where they may hold what the names do not tell."""
    kinds = (table.schema.metadata or {}).get(b"huggingface", b"")
    # They take their time, and rows are mapped one by one too.
    told = {"images", "image"} & set(table.column_names) or b'"Image"' not in kinds
    if told and not any(kind in kinds for kind in (b'"ClassLabel"', b'"Audio"', b'"Video"')):
        return table.column_names
    try:
        return Features.from_arrow_schema(table.schema)
    except (TypeError, ValueError, NotImplementedError):
        return table.column_names


def _under(
    roots: Sequence[str] | None, rows: Iterable[Conversation | RowError]
) -> list[Conversation | RowError]:
    return [row if isinstance(row, RowError) else row.under(roots) for row in rows]


def _read_or_error(layout: Layout, row: Mapping[str, Any]) -> Conversation | RowError:
    try:
        return layout.read(row)
    except RowError as error:
        return error


def _embedded(cell: Any, roots: Sequence[str] | None) -> list[dict[str, Any]]:
    images = []
    for image in image_cells(cell):
        picture = replace(read_image(image), roots=roots)
        try:
            data = picture.encoded()
        except RowError:  # The row gets that status where it is scored.
            data = None
        images.append({"bytes": data, "path": picture.path})
    return images


def _is_batch(first: Any) -> bool:
    """Whether the cell of a mapping's first text column is several rows', not one row's."""
    if first is None or isinstance(first, (str, Mapping)) or not hasattr(first, "__len__") or len(first) == 0:
        return False
    inner = first[0]
    if isinstance(inner, str):  # A message whose `Json` nobody has decoded is one row's.
        return inner.lstrip()[:1] != "{" or _stored_messages(f"[{inner}]") is None
    return not isinstance(inner, Mapping) or is_record_of_lists(inner)


def _image_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The column of the images, or the numbered columns of one each."""
    numbered = [
        (match[1], int(match[2]), name) for name in names if (match := _NUMBERED_COLUMN.fullmatch(name))
    ]
    ways = [name for name in ("images", "image") if name in names]
    ways += [f"{stem}_1, {stem}_2, ..." for stem in dict.fromkeys(stem for stem, _, _ in numbered)]
    _at_most_one("images", ways)
    if numbered:
        return tuple(name for _, _, name in sorted(numbered))
    return tuple(ways)


def _refuse_kinds(layout: Layout, columns: Sequence[str] | Features) -> None:
    """Refuses what the columns' features show: labels in place of texts, images and media that are not read.

    Raises:
        LayoutError: naming the columns.
    """
    kinds = columns if isinstance(columns, Features) else {}
    texts = [*layout.text_columns, *([layout.system_column] if layout.system_column else [])]
    if labels := [name for name in texts if _has_labels(kinds.get(name))]:
        raise LayoutError(
            f"expected texts in {labels}, got numbers that stand for class labels; put their "
            "names there, with dataset.map and the ClassLabel's int2str"
        )
    media = [name for name, kind in kinds.items() if isinstance(kind, (Audio, Video))]
    if unseen := [name for name in media if name not in layout.media_columns]:
        raise LayoutError(
            f"expected video and audio in columns of that name, got {unseen}; their rows cannot be scored: "
            f"leave them out with dataset.remove_columns({unseen})"
        )
    for name in columns if not layout.image_columns else ():  # else the rows would pass for text
        if _IMAGE_COLUMN.fullmatch(name) or isinstance(
            getattr(kinds.get(name), "feature", kinds.get(name)), Image
        ):
            raise LayoutError(
                f"expected images in a column images or image, got {name!r}, which is not read; "
                f"rename it with dataset.rename_column({name!r}, 'images'), "
                f"or leave it out with dataset.remove_columns({name!r})"
            )


def _without_nulls(value: Any) -> Any:
    """Without the keys that Arrow has added because another row's tools have them."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _has_labels(kind: Any) -> bool:
    """Whether a column of this feature has class labels anywhere inside."""
    if isinstance(kind, Mapping):
        return any(map(_has_labels, kind.values()))
    return isinstance(kind, ClassLabel) or _has_labels(getattr(kind, "feature", {}))


def _at_most_one(what: str, names: Sequence[str]) -> str | None:
    if len(names) > 1:
        raise LayoutError(
            f"expected one column of the {what}, got {' and '.join(names)}; "
            "leave the others out with dataset.remove_columns"
        )
    return names[0] if names else None


def _refuse_arrays(cell: Any) -> None:
    while isinstance(cell, (list, tuple)) or str(getattr(cell, "dtype", "")) == "object":
        if len(cell) == 0:
            return
        cell = cell[0]
    if getattr(cell, "ndim", 0) >= 2:
        raise LayoutError(
            f"expected images as they are encoded, got {type(cell).__name__}s; "
            "take the data set's format away first, with dataset.with_format(None)"
        )


@dataclass(frozen=True)
class KnownLayout:
    """A layout's columns of text, how they are read, and a row for the documentation."""

    text_columns: tuple[str, ...]
    read_contents: Callable[[Mapping[str, Any]], Iterable[tuple[Any, Any]]]
    example: Mapping[str, Any]


def _messages(row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from read_messages(row["messages"])


def _prompt_completion(row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for role, name in (("user", "prompt"), ("assistant", "completion")):
        side = row[name]
        if side is None:
            raise ValueError(f"the {name} is null")
        if isinstance(side, str) and (messages := _stored_messages(side)) is not None:
            side = messages
        if isinstance(side, str) or not hasattr(side, "__len__"):
            yield role, read_text(side)
        else:
            yield from read_messages(side)


def _stored_messages(text: str) -> Any:
    """The messages whose JSON a text is; None if it is any other text."""
    if text.lstrip()[:1] not in ("[", "{") or not ("role" in text or "from" in text):
        return None
    try:
        messages = records(text)
    except ValueError:
        return None
    each = [isinstance(message, Mapping) and {"role", "from"} & message.keys() for message in messages]
    return messages if isinstance(messages, list) and each and all(each) else None


def _llava(row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from read_messages(row["conversations"])


def _cauldron(row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for text in records(row["texts"]):
        refuse_unread(text)
        yield "user", text["user"]
        yield "assistant", text["assistant"]


_CELL = ["<the image>"]
LAYOUTS = (
    KnownLayout(
        ("messages",),
        _messages,
        {
            "messages": [
                {"role": "user", "content": "<image>\nWhat color is it?"},
                {"role": "assistant", "content": "red"},
            ],
            "images": _CELL,
        },
    ),
    KnownLayout(
        ("prompt", "completion"),
        _prompt_completion,
        {"prompt": "What color is it?", "completion": "red", "images": _CELL},
    ),
    KnownLayout(
        ("conversations",),
        _llava,
        {
            "conversations": [
                {"from": "human", "value": "<image>\nWhat color is it?"},
                {"from": "gpt", "value": "red"},
            ],
            "image": _CELL[0],
        },
    ),
    KnownLayout(
        ("texts",),
        _cauldron,
        {"texts": [{"user": "What color is it?", "assistant": "red"}], "images": _CELL},
    ),
)
