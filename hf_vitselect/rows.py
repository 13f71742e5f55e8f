"""What a row means: the only file that knows column layouts, and the only image decoder.

A row of any layout becomes a `Conversation`: turns of text with slots where the pictures stand,
and the pictures as they are encoded. Nothing here decodes a picture before somebody asks for it,
because `datasets` re-encodes every image of a column that a mapped function has touched.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image, ImageOps
from tqdm.auto import tqdm

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
class Turn:
    """One message.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        parts: texts in order; ``None`` is a slot for the next picture of the conversation.
    """

    role: str
    parts: tuple[str | None, ...]

    @property
    def text(self) -> str:
        """The turn's texts joined, without its pictures."""
        return "".join(part for part in self.parts if part is not None)


@dataclass(frozen=True)
class Picture:
    """A picture as the data set holds it.

    Attributes:
        data: the encoded bytes, if the row carries them.
        path: a file to read them from otherwise.
        decoded: a picture that a stream has decoded already, loaded.
    """

    data: bytes | None = None
    path: str | None = None
    decoded: Image.Image | None = None

    def encoded(self) -> bytes:
        """The encoded bytes; of a decoded picture a PNG of what `decode` gives.

        Raises:
            RowError: ``image_missing`` if the row carries none and no file can be read, ``image_error`` if a
                decoded picture does not become RGB.
        """
        if self.data is not None:
            return self.data
        if self.decoded is not None:
            file = io.BytesIO()
            self.decode().save(file, "PNG")
            return file.getvalue()
        if self.path is None or not os.path.isfile(self.path):
            raise RowError("image_missing", f"no bytes in the row and no file at {self.path!r}")
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise RowError("image_missing", f"cannot read the file: {error}") from error

    def digest(self) -> str | None:
        """sha256 of the encoded bytes, None if there are none; of a decoded picture that of its pixels."""
        if self.data is None and self.decoded is not None:
            kind = (self.decoded.mode, self.decoded.size, self.decoded.getpalette())
            return hashlib.sha256(repr(kind).encode() + self.decoded.tobytes()).hexdigest()
        try:
            return hashlib.sha256(self.encoded()).hexdigest()
        except RowError:
            return None

    def decode(self) -> Image.Image:
        """The picture in RGB, upright (EXIF rotation applied, as `datasets` does).

        Raises:
            RowError: ``image_missing``, or ``image_error`` if it is no whole picture.
        """
        if self.decoded is not None:
            with _image_error(f"a picture of mode {self.decoded.mode} that does not become RGB"):
                return self.decoded.convert("RGB")
        data = self.encoded()
        with _image_error(f"{len(data)} bytes that do not decode"), Image.open(io.BytesIO(data)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")


@dataclass(frozen=True)
class Conversation:
    """A row of any layout, read.

    Attributes:
        turns: the messages in order.
        pictures: one for each slot, in order.
    """

    turns: tuple[Turn, ...]
    pictures: tuple[Picture, ...] = ()

    @property
    def transcript(self) -> str:
        """The whole conversation as ``USER: ... ASSISTANT: ...``, without its pictures."""
        return " ".join(f"{turn.role.upper()}: {turn.text.strip()}" for turn in self.turns)


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
            pictures = _pictures(row.get(self.image_column)) if self.image_column else ()
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


def row_ids(dataset: Any) -> list[str]:
    """An id for every row that does not depend on the row order, other columns or the machine.

    Returns:
        For each row the sha256 of its turns and of each picture's encoded bytes (64 hex digits),
        a dash, and the number of rows before it with the same content.
    """
    seen: Counter[str] = Counter()
    ids = []
    contents = row_contents(dataset)
    for digest in tqdm(contents, total=len(dataset), desc="Hashing rows", unit="row", leave=False):
        ids.append(f"{digest}-{seen[digest]}")
        seen[digest] += 1
    return ids


def row_contents(dataset: Any) -> Iterator[str]:
    """What every row's id begins with, the hash of its content; of a stream too."""
    for table in undecoded(dataset):
        for i, row in enumerate(read_table(table)):
            # An unreadable row has no turns to hash, but must have an id all the same.
            yield _cells_hash(table.slice(i, 1)) if isinstance(row, RowError) else content_hash(row)


def answer_characters(dataset: Any) -> list[int | None]:
    """How long every row's answers are, in characters; None for a row that cannot be read."""
    layout = find_layout(dataset.column_names)
    texts = dataset.select_columns(list(layout.text_columns)).with_format("arrow")
    return [_answer_characters(layout, row) for table in texts.iter(1000) for row in table.to_pylist()]


def content_hash(row: Conversation) -> str:
    """sha256 over the canonical JSON of the turns and the sha256 of each picture's encoded bytes."""
    return _digest(
        [[[turn.role, list(turn.parts)] for turn in row.turns], [p.digest() for p in row.pictures]]
    )


def _cells_hash(table: pa.Table) -> str:
    """Of a table of one row: its cells as they are, but every picture by its bytes, wherever it lies."""
    (row,) = table.to_pylist()
    cell = row.pop(find_layout(table.column_names).image_column, None)
    try:
        pictures = [picture.digest() for picture in _pictures(cell)]
    except (AttributeError, TypeError):
        pictures = [repr(cell)]
    return _digest([row, pictures])


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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


def _pictures(cell: Any) -> tuple[Picture, ...]:
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
        with _image_error("a picture that does not load"):
            cell.load()  # Else the threads that ask for it would read its file at the same time.
        return Picture(decoded=cell)
    return Picture(data=cell.get("bytes"), path=cell.get("path"))


@contextmanager
def _image_error(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Pillow's plugins raise what they like, on broken EXIF even struct.error.
        raise RowError("image_error", f"{what}: {error}") from error


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
