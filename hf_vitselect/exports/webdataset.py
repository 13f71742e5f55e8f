"""WebDataset's format: tar files of a `.json` and the images of each row."""

import io
import json
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.exports.base import Format, Refused, Row, Target, exported_rows
from hf_vitselect.exports.images import suffix_of
from hf_vitselect.selection.selection import Selection


@dataclass(frozen=True)
class WebDataset(Format):
    """Shards `{name}-00000.tar` of at most `rows` rows: `{key}.json` with `messages`, then `{key}.jpg`.

    Of several images, the files are `{key}.0.jpg`, `{key}.1.jpg` and so on.
    """

    rows: int = 10_000
    suffix: ClassVar[str] = ".tar"
    holds_images: ClassVar[bool] = True

    def write(self, selection: Selection, target: Target) -> None:
        """Write the shards."""
        refused, shard, held = Refused(), -1, 0
        with ExitStack() as files:
            for number, row in exported_rows(selection, refused):
                if shard < 0 or held == self.rows:
                    files.close()
                    shard, held = shard + 1, 0
                    path = target.file(f"-{shard:05d}{self.suffix}")
                    tar = files.enter_context(tarfile.open(path, "w"))
                try:
                    members = _members(row)
                except RowError as error:
                    refused.rows[number] = error
                    continue
                for ending, data in members:
                    member = tarfile.TarInfo(f"{number:08d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                held += 1
        refused.raise_any(selection, self.name)


def _members(row: Row) -> list[tuple[str, bytes]]:
    """The files of a row, by the ends of their names."""
    said = row.conversation
    images = [image.encoded() for image in said.images]
    number = "{}." if len(images) > 1 else ""
    named = [(f"{number.format(i)}{suffix_of(data)}", data) for i, data in enumerate(images)]
    record = json.dumps(_record(row.id, said), ensure_ascii=False)
    return [("json", record.encode()), *named]


def _record(id: str | int, said: Conversation) -> dict[str, Any]:
    messages = [
        {
            "role": turn.role,
            "content": [
                {"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts
            ],
            **turn.tool_fields,
        }
        for turn in said.turns
    ]
    return {"id": id, "messages": messages, **({"tools": said.tools} if said.tools else {})}
