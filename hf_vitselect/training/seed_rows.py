"""The rows that a seed model was trained on, in a file next to its weights."""

import json
import os
from pathlib import Path

import numpy as np
from datasets import Dataset

from hf_vitselect.call_text import fits
from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import ModelError, RowSetError
from hf_vitselect.report.recipe_facts import published_recipe
from hf_vitselect.resume import write_atomically
from hf_vitselect.selection.json_part import expect, parse_json
from hf_vitselect.selection.named_rows import find_rows
from hf_vitselect.selection.pick import Picked
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.selection import Selection

ROWS_FILE = "seed_rows.json"


def save_seed_rows(rows: Selection, folder: str | os.PathLike[str]) -> None:
    """Record the rows that the model in a folder was trained on."""
    record = {"recipe": published_recipe(rows).to_json(), "row_ids": rows.row_ids}
    write_atomically(Path(folder, ROWS_FILE), json.dumps(record, indent=2).encode())


def load_seed_rows(pool: Dataset, model: str | os.PathLike[str]) -> Selection:
    """Return the rows of a pool that a seed model was trained on.

    Args:
        pool: the pool they were drawn from, in any order.
        model: the folder that `train_seed_model` wrote.

    Raises:
        ModelError: if the folder has no record of rows.
        SelectionError: if the record is damaged.
        RowSetError: if some of them are not in the pool.
    """
    refuse_reserved(pool.features)
    path = Path(model, ROWS_FILE)
    if not path.exists():
        raise ModelError(f"expected the folder of a seed model with {ROWS_FILE}, got {model}")
    named, recipe = read_seed_rows(path)
    ids = row_ids(pool)
    indices, missing = find_rows(named, ids)
    if missing:
        raise RowSetError(
            f"expected the pool of the seed model {model}, got one without {len(missing)} of its "
            f"{len(named)} rows, the first: {missing[0]}"
        )
    return Selection.of(pool, ids, Picked(indices, np.zeros(len(indices)), recipe))


def read_seed_rows(file: Path) -> tuple[list[str], Recipe]:
    """Read the row ids and the recipe that `train_seed_model` recorded in `ROWS_FILE`."""
    record, name = parse_json(file.read_bytes(), str(file)), str(file)
    expect(isinstance(record, dict), name, "an object", record)
    ids = record.get("row_ids")
    expect(fits(ids, list[str]), f"{name}: row_ids", "a list of row ids", ids)
    return ids, Recipe.from_json(record.get("recipe"))
