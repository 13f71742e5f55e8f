"""The ids of the picked rows alone: the source's own, or positions in the pool."""

import json
from dataclasses import dataclass
from typing import ClassVar

from hf_vitselect.errors import ExportError
from hf_vitselect.exports.base import Format, Target, source_ids
from hf_vitselect.selection.selection import Selection


@dataclass(frozen=True)
class Ids(Format):
    """A JSON list in pick order: values of the `id_column`, else positions in the pool, from 0."""

    suffix: ClassVar[str] = ".json"
    holds_images: ClassVar[bool] = True

    def write(self, selection: Selection, target: Target) -> None:
        """Write the list, unless an id names several rows of the pool."""
        if (column := selection.recipe.id_column) is not None:
            known = selection.scores[column][:]
            if repeated := len(known) - len(set(known)):
                raise ExportError(
                    f"expected ids in {column!r} that name one row each, got {repeated:,} repeated ones; "
                    "select without id_column= for positions in the pool"
                )
        target.file(self.suffix).write_text(f"{json.dumps(source_ids(selection), indent=0)}\n")
