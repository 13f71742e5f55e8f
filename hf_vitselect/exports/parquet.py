"""The pool's own columns as a Parquet file, with the bytes of the images."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
from datasets import Dataset, Features, Image, List

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.image_roots import image_access
from hf_vitselect.data.images import image_cells, read_image
from hf_vitselect.data.rows import read_rows
from hf_vitselect.data.stored import is_empty, map_tables, plain_rows
from hf_vitselect.errors import RowError
from hf_vitselect.exports.base import Format, Refused, Target, refuse_unreadable
from hf_vitselect.exports.images import stored_image
from hf_vitselect.selection.selection import Selection


@dataclass(frozen=True)
class Parquet(Format):
    """The picked rows with every column of the pool, scores included, in the pool's own layout."""

    suffix: ClassVar[str] = ".parquet"
    holds_images: ClassVar[bool] = True

    def write(self, selection: Selection, target: Target) -> None:
        """Write the file."""
        dataset, refused = selection.dataset, Refused()
        refuse_unreadable(dataset, refused)
        _refuse_files_in_turns(dataset, refused)
        refused.raise_any(selection, self.name)
        _with_bytes(dataset).to_parquet(str(target.file(self.suffix)))


def _refuse_files_in_turns(dataset: Dataset, refused: Refused) -> None:
    """Refuse rows that name a file inside a turn, where no bytes can be stored in its place."""
    if find_layout(dataset.features).image_columns:
        return
    for number, row in enumerate(read_rows(dataset)):
        if isinstance(row, Conversation) and any(image.data is None for image in row.images):
            refused.rows.setdefault(number, RowError("image_missing", "a turn names the file of its image"))


def _with_bytes(dataset: Dataset) -> Dataset:
    """The rows with the bytes of their images in the image columns."""
    names = find_layout(dataset.features).image_columns
    if not names:
        return dataset
    one = {name: isinstance(dataset.features[name], Image) for name in names}
    images = {name: Image() if one[name] else List(Image()) for name in names}
    features = Features({**dataset.features, **images})
    change = partial(_embed, images=images, access=image_access(dataset), schema=features.arrow_schema)
    return map_tables(dataset, change, features, "Reading images")


def _embed(table: pa.Table, images: dict[str, Any], access: ImageAccess, schema: pa.Schema) -> pa.Table:
    for name, kind in images.items():
        cells = []
        for row in plain_rows(table.select([name])):
            read = [
                None if is_empty(cell) else stored_image(read_image(cell, access))
                for cell in image_cells(row[name])
            ]
            cells.append(read if isinstance(kind, List) else read[0])
        field = schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(cells, field.type))
    return table
