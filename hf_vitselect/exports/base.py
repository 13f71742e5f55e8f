"""The base class of a format, and the rows that it writes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import ExportError, RowError, counted
from hf_vitselect.exports.images import ImageStore
from hf_vitselect.selection.selection import Selection

_SHOWN = 3


@dataclass(frozen=True)
class Row:
    """A picked row: its id, its position in the pool if the source has no ids, and what it says."""

    id: str | int
    conversation: Conversation


@dataclass
class Refused:
    """The rows that a format cannot hold, by their number in the selection."""

    rows: dict[int, RowError] = field(default_factory=dict)

    def raise_any(self, selection: Selection, format: str) -> None:
        """Raise an ExportError that names the first rows, if any were refused."""
        if not self.rows:
            return
        ids = selection.row_ids
        shown = "; ".join(
            f"row {selection.indices[i]} of the pool ({ids[i][:12]}…): {error}"
            for i, error in list(self.rows.items())[:_SHOWN]
        )
        more = "" if len(self.rows) <= _SHOWN else f"; and {len(self.rows) - _SHOWN:,} more"
        raise ExportError(
            f"expected rows that {format} can hold, got {len(self.rows):,} of {len(selection):,} others "
            f"({', '.join(f'{count:,} {status}' for status, count in counted(self.rows).items())}): "
            f"{shown}{more};\nexport them to another format, or select without them (exclude=)"
        )


@dataclass(frozen=True)
class Target:
    """The places of one export.

    Attributes:
        folder: A new folder, whose contents are moved to their place once all is written.
        place: The folder where they will lie; it may hold other files.
        name: Of the data file, without its suffix.
        images: Where the images of the rows go.
    """

    folder: Path
    place: Path
    name: str
    images: ImageStore

    def file(self, suffix: str) -> Path:
        """The path of the data file to write."""
        return self.folder / f"{self.name}{suffix}"


class Format(ABC):
    """A format: a frozen dataclass whose fields are its options."""

    suffix: ClassVar[str]
    holds_images: ClassVar[bool] = False
    """Whether the images are inside the data file, so that they cannot be referenced."""

    @property
    def name(self) -> str:
        """The name of the format, for messages."""
        return type(self).__name__

    @abstractmethod
    def write(self, selection: Selection, target: Target) -> None:
        """Write a selection.

        Raises:
            ExportError: If a row cannot be held.
        """

    def settle(self, target: Target) -> None:  # noqa: B027
        """Merge what other exports to the same place share, once the files lie there."""


def exported_rows(selection: Selection, refused: Refused) -> Iterator[tuple[int, Row]]:
    """Every picked row that can be read, with its number; the others are refused."""
    for i, (id, read) in enumerate(zip(source_ids(selection), read_rows(selection.dataset), strict=True)):
        if isinstance(read, RowError):
            refused.rows[i] = read
        else:
            yield i, Row(id, read)


def refuse_unreadable(dataset: Dataset, refused: Refused) -> None:
    """Refuse the rows that cannot be read, or whose images cannot be found."""
    for number, read in enumerate(read_rows(dataset)):
        try:
            if isinstance(read, RowError):
                raise read
            for image in read.images:
                if image.data is None:
                    image.file()
        except RowError as error:
            refused.rows[number] = error


def source_ids(selection: Selection) -> list[str | int]:
    """The picked rows' own ids, if the selection has a column of them; otherwise positions in the pool."""
    if (column := selection.recipe.id_column) is None:
        positions: list[str | int] = selection.indices.tolist()
        return positions
    ids: list[str | int] = selection.scores[column][selection.indices]
    return ids


def refuse_change(record: Mapping[str, Any], images: Sequence[str], row: Conversation) -> None:
    """Refuse a record that would be read back as another conversation.

    Raises:
        RowError: `bad_row`.
    """
    read = find_layout(list(record)).read(record)
    if (read.turns, read.tools, [image.path for image in read.images]) != (row.turns, row.tools, [*images]):
        raise RowError(
            "bad_row", f"it would be read back otherwise, {_difference(read, row)}; trl and openai hold it"
        )


def _difference(read: Conversation, row: Conversation) -> str:
    """The first difference between two conversations."""
    for number, (got, said) in enumerate(zip(read.turns, row.turns, strict=False), start=1):
        if got != said:
            shown = [turn.calls if got.parts == said.parts else turn.parts for turn in (got, said)]
            return f"turn {number} as {str(shown[0])[:80]} in place of {str(shown[1])[:80]}"
    if len(read.turns) != len(row.turns):
        return f"with {len(read.turns)} turns in place of {len(row.turns)}"
    return "with other tools" if read.tools != row.tools else "with other images"
