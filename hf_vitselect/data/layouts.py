"""The conversation layouts: the only file that knows which columns hold what."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from PIL import Image

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import Picture, image_error
from hf_vitselect.errors import LayoutError, RowError

PLACEHOLDER = "<image>"
"""Where a picture stands in the plain-string contents of the layouts."""


_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True)
class Layout:
    """A conversation layout.

    Attributes:
        text_columns: the columns that hold the turns.
        image_column: the column that holds the pictures, if the data set has one.
        read_turns: from a row's cells to ``(role, content)`` pairs.
    """

    text_columns: tuple[str, ...]
    image_column: str | None
    read_turns: Callable[[Mapping[str, Any]], Iterable[tuple[str, Any]]]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that belong to the conversation."""
        return self.text_columns + ((self.image_column,) if self.image_column else ())

    def read(self, row: Mapping[str, Any]) -> Conversation:
        """One row, read.

        Args:
            row: at least the layout's columns, images not decoded.

        Raises:
            RowError: ``bad_row``, ``image_missing``, ``placeholder_mismatch`` or, for a PIL picture that does
                not load, ``image_error``.
        """
        try:
            turns = [_turn(role, content) for role, content in self.read_turns(row)]
            pictures = read_pictures(row.get(self.image_column)) if self.image_column else ()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RowError("bad_row", f"not a conversation: {type(error).__name__}: {error}") from error
        slots = sum(turn.parts.count(None) for turn in turns)
        if slots == 0 and pictures:
            first_user = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
            if first_user is not None:
                turns[first_user] = Turn("user", (None,) * len(pictures) + turns[first_user].parts)
                slots = len(pictures)
        if slots and not pictures and self.image_column and row.get(self.image_column) is None:
            raise RowError("image_missing", f"{slots} placeholder(s), and the image cell is null")
        if slots != len(pictures):
            raise RowError("placeholder_mismatch", f"{slots} placeholder(s), {len(pictures)} image(s)")
        return Conversation(tuple(turns), pictures)


def find_layout(columns: Sequence[str]) -> Layout:
    """The layout that these columns make.

    Raises:
        LayoutError: if they make none.
    """
    for text_columns, read_turns in _LAYOUTS:
        if set(text_columns) <= set(columns):
            image_column = next((name for name in ("images", "image") if name in columns), None)
            return Layout(text_columns, image_column, read_turns)
    known = ", ".join("+".join(text_columns) for text_columns, _ in _LAYOUTS)
    raise LayoutError(
        f"expected one of the conversation layouts {known} (with images or image beside it), "
        f"got the columns {list(columns)}; rename the columns with dataset.rename_columns"
    )


def read_table(table: pa.Table) -> list[Conversation | RowError]:
    """Every row of an undecoded Arrow table; a row that cannot be read is its error.

    Raises:
        LayoutError: if the columns make no known layout.
    """
    layout = find_layout(table.column_names)
    return [_read_or_error(layout, row) for row in table.select(list(layout.columns)).to_pylist()]


def read_mapping(batch: Mapping[str, Any]) -> tuple[list[Conversation | RowError], bool]:
    """The rows of a plain mapping: one row, or a batch of columns (streams, Ray, the trainer).

    Returns:
        The rows, and whether the mapping was a batch.

    Raises:
        LayoutError: if the columns make no known layout, or a data set's format made arrays of its pictures.
    """
    layout = find_layout(list(batch))
    if layout.image_column:
        _refuse_arrays(batch[layout.image_column])
    first = batch[layout.text_columns[0]]
    single = first is None or isinstance(first, (str, Mapping))
    batched = not single and len(first) > 0 and not isinstance(first[0], Mapping)
    if not batched:
        return [_read_or_error(layout, batch)], False
    rows = ({name: batch[name][i] for name in layout.columns} for i in range(len(first)))
    return [_read_or_error(layout, row) for row in rows], True


def undecoded(dataset: Any, batch_size: int = 1000) -> Iterator[pa.Table]:
    """The conversation columns of a `datasets.Dataset` as Arrow tables, images as they are encoded."""
    columns = list(find_layout(dataset.column_names).columns)
    yield from dataset.select_columns(columns).with_format("arrow").iter(batch_size)


def answer_characters(dataset: Any) -> list[int | None]:
    """How long every row's answers are, in characters; None for a row that cannot be read."""
    layout = find_layout(dataset.column_names)
    texts = dataset.select_columns(list(layout.text_columns)).with_format("arrow")
    return [_answer_characters(layout, row) for table in texts.iter(1000) for row in table.to_pylist()]


def _read_or_error(layout: Layout, row: Mapping[str, Any]) -> Conversation | RowError:
    try:
        return layout.read(row)
    except RowError as error:
        return error


def _answer_characters(layout: Layout, row: Mapping[str, Any]) -> int | None:
    try:
        turns = [_turn(role, content) for role, content in layout.read_turns(row)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return sum(len(turn.text) for turn in turns if turn.role == "assistant")


def _turn(role: str, content: Any) -> Turn:
    if role not in _ROLES:
        raise ValueError(f"unknown role {role!r}, expected one of {sorted(_ROLES)}")
    role = _ROLES[role]
    if content is None:
        return Turn(role, ())
    if isinstance(content, str):
        # An answer that spells the placeholder is text; only questions place pictures.
        return Turn(role, (content,) if role == "assistant" else tuple(_split(content)))
    return Turn(role, tuple(_part(part) for part in _records(content)))


def _split(text: str) -> Iterator[str | None]:
    first, *rest = text.split(PLACEHOLDER)
    if not rest:
        yield first
        return
    if first := first.removesuffix("\n"):
        yield first
    for i, piece in enumerate(rest):
        yield None
        piece = piece.removeprefix("\n")
        if i < len(rest) - 1:
            piece = piece.removesuffix("\n")
        if piece:
            yield piece


def _part(part: Mapping[str, Any] | str) -> str | None:
    if isinstance(part, str):
        return part
    if part["type"] == "text" and isinstance(part["text"], str | None):
        return part["text"] or ""
    if part["type"] == "image":
        return None
    raise ValueError(f"unknown content {part!r}, expected a text or an image")


def _refuse_arrays(cell: Any) -> None:
    while isinstance(cell, (list, tuple)) or str(getattr(cell, "dtype", "")) == "object":
        if len(cell) == 0:
            return
        cell = cell[0]
    if getattr(cell, "ndim", 0) >= 2:
        raise LayoutError(
            f"expected pictures as they are encoded, got {type(cell).__name__}s; "
            "take the data set's format away first, with dataset.with_format(None)"
        )


def read_pictures(cell: Any) -> tuple[Picture, ...]:
    if cell is None:
        return ()
    if isinstance(cell, (str, bytes, Mapping, Image.Image)):
        return (_picture(cell),)
    return tuple(_picture(item) for item in cell)


def _picture(cell: Any) -> Picture:
    if cell is None:
        return Picture()
    if isinstance(cell, str):
        return Picture(path=cell)
    if isinstance(cell, bytes):
        return Picture(data=cell)
    if isinstance(cell, Image.Image):
        with image_error("a picture that does not load"):
            cell.load()  # Else the threads that ask for it would read its file at the same time.
        return Picture(decoded=cell)
    return Picture(data=cell.get("bytes"), path=cell.get("path"))


def _records(cell: Any) -> Any:
    """A list of records, also where `datasets` keeps it as a record of lists (its old `Sequence`)."""
    if isinstance(cell, Mapping):
        return [dict(zip(cell, values, strict=True)) for values in zip(*cell.values(), strict=True)]
    return cell


def _messages(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for message in _records(row["messages"]):
        yield message["role"], message["content"]


def _prompt_completion(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for role, side in (("user", row["prompt"]), ("assistant", row["completion"])):
        if isinstance(side, str):
            yield role, side
        else:
            for message in _records(side):
                yield message["role"], message["content"]


def _llava(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for turn in _records(row["conversations"]):
        yield turn["from"], turn["value"]


def _cauldron(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for text in _records(row["texts"]):
        yield "user", text["user"]
        yield "assistant", text["assistant"]


_LAYOUTS: tuple[tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Iterable[tuple[str, Any]]]], ...] = (
    (("messages",), _messages),
    (("prompt", "completion"), _prompt_completion),
    (("conversations",), _llava),
    (("texts",), _cauldron),
)


def conversation_columns() -> set[str]:
    """Every column that some layout reads."""
    return {"images", "image"}.union(*(text_columns for text_columns, _ in _LAYOUTS))
