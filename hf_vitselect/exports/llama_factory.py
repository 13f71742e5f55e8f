"""LLaMA-Factory's format: ShareGPT's turns in a JSON list, and an entry in `dataset_info.json`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_vitselect.errors import ExportError
from hf_vitselect.exports.base import Row, Target
from hf_vitselect.exports.json_file import MarkedTextFormat
from hf_vitselect.exports.sharegpt import sharegpt_turn
from hf_vitselect.exports.text import (
    refuse_not_alternating,
    split_system,
)

_COLUMNS = {"messages": "conversations", "images": "images", "system": "system", "tools": "tools"}
_INFO = "dataset_info.json"


@dataclass(frozen=True)
class LlamaFactory(MarkedTextFormat):
    """A dataset of LLaMA-Factory, whose `dataset_dir` is the folder of the file.

    The entry is merged into an existing `dataset_info.json`. Every record has every column of the entry.
    """

    suffix: ClassVar[str] = ".json"

    def record(self, row: Row, images: Sequence[str]) -> dict[str, Any]:
        """The record of a row."""
        said = row.conversation
        refuse_not_alternating(said)
        system, turns = split_system(said)
        return {
            "id": row.id,
            "conversations": [sharegpt_turn(turn) for turn in turns],
            "images": [*images],
            "system": system or "",
            "tools": said.tools or "",
        }

    def settle(self, target: Target) -> None:
        """Add the entry to `dataset_info.json`.

        Raises:
            ExportError: If that file is not a JSON object, or has an entry of this name.
        """
        place, known = target.place / _INFO, {}
        if place.exists():
            try:
                known = json.loads(place.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ExportError(
                    f"{place}: expected JSON, got {error}; repair it, or move it away"
                ) from error
        if not isinstance(known, dict) or target.name in known:
            got = f"one of {target.name!r}" if isinstance(known, dict) else type(known).__name__
            raise ExportError(
                f"{place}: expected entries of other datasets, got {got}; give another name, or remove it"
            )
        entry = {"file_name": f"{target.name}.json", "formatting": "sharegpt", "columns": _COLUMNS}
        text = json.dumps({**known, target.name: entry}, ensure_ascii=False, indent=2)
        (target.folder / _INFO).write_text(f"{text}\n", encoding="utf-8")
