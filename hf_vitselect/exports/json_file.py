"""Formats that are a JSON file, as a list or as lines, with the images in files of their own."""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hf_vitselect.errors import RowError
from hf_vitselect.exports.base import Format, Refused, Row, Target, exported_rows, refuse_change
from hf_vitselect.exports.text import refuse_spelled_placeholders
from hf_vitselect.selection.selection import Selection


class JsonFormat(Format):
    """A format of one JSON record for each row."""

    @abstractmethod
    def checked_record(self, row: Row, target: Target) -> dict[str, Any]:
        """The record of a row, after it was read back; the images are written if they are to be.

        Raises:
            RowError: If the format cannot hold the row.
        """

    def write(self, selection: Selection, target: Target) -> None:
        """Write the file."""
        refused = Refused()
        with JsonWriter(target.file(self.suffix)) as file:
            for number, row in exported_rows(selection, refused):
                try:
                    record = self.checked_record(row, target)
                except RowError as error:
                    refused.rows[number] = error
                else:
                    file.add(record)
        refused.raise_any(selection, self.name)


class MarkedTextFormat(JsonFormat):
    """A JSON format whose turns are texts with `<image>`, and which names the images by their paths."""

    @abstractmethod
    def record(self, row: Row, images: Sequence[str]) -> dict[str, Any]:
        """The record of a row whose images have these paths.

        Raises:
            RowError: If the format cannot hold the row.
        """

    def checked_record(self, row: Row, target: Target) -> dict[str, Any]:
        """The record of a row, after it was read back."""
        images = [target.images.place(image) for image in row.conversation.images]
        refuse_spelled_placeholders(row.conversation)
        record = self.record(row, images)
        refuse_change(record, images, row.conversation)
        return record


class JsonWriter:
    """A JSON file written record by record: a list in `.json`, lines in `.jsonl`."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._file = path.open("w", encoding="utf-8")
        self._lines, self._records = path.suffix == ".jsonl", 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one more record."""
        before = "" if self._lines else ",\n" if self._records else "[\n"
        self._file.write(before + json.dumps(record, ensure_ascii=False) + "\n" * self._lines)
        self._records += 1

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the list and the file."""
        if not self._lines:
            self._file.write("\n]\n" if self._records else "[]\n")
        self._file.close()
