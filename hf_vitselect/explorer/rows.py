"""Rows of a pool as one table to explore: images, texts, scores, outcomes, and their place on a map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.data.columns import is_numeric, read_column, read_features
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.provenance import without_folders
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import RowError
from hf_vitselect.explorer.projection import Projection, neighbors, project
from hf_vitselect.report.outcomes import outcomes
from hf_vitselect.report.pool_rows import kind_labels, read_positions, reason_of_row
from hf_vitselect.report.thumbnails import thumbnail
from hf_vitselect.selection.selection import Selection

_SIDE, _MOST_BYTES = 256, 14_000
_LONGEST = 4_000  # characters of a conversation
_IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_NEAREST = pa.struct({"ids": pa.list_(pa.int64()), "distances": pa.list_(pa.float64())})


@dataclass(frozen=True)
class ExploredRows:
    """Rows to explore.

    Attributes:
        table: One row each; `x` and `y` are null for a row without an embedding.
        scores: The numeric columns.
        groups: The columns of texts that sort rows, such as the outcome and the kind.
        has_map: Whether there are embeddings.
    """

    table: pa.Table
    scores: Sequence[str]
    groups: Sequence[str]
    has_map: bool


def explored_rows(
    pool: Dataset | None,
    selection: Selection | None = None,
    *,
    most: int = 5_000,
    over: str = "embedding",
    projection: Projection = "umap",
    seed: int = 0,
) -> ExploredRows:
    """Gather what is known of a pool's rows.

    Args:
        pool: The pool; the picked rows if None.
        selection: Made from the pool; adds outcomes, reasons and kinds.
        most: Rows of a random sample if the pool has more.
        over: The column of embeddings; without it the rows have no map.
        projection: How embeddings become a map.
        seed: Of sample and map.

    Raises:
        ColumnError: If `over` does not hold vectors.
        LayoutError: If the pool is not that of the selection, or its columns are no conversation.
    """
    if pool is None:
        assert selection is not None
        positions = _sample(np.sort(selection.indices), most, seed)
    else:
        positions = _sample(np.arange(len(pool)), most, seed)
    if selection is not None:
        rows = read_positions(selection, pool, positions)
        known = _known(selection, rows, positions)
    else:
        assert pool is not None
        rows, known = pool.select(positions), {}
    own = {"row": pa.array(positions), **_contents(rows), **known}
    pools = {_free(name, own): column for name, column in _pool_columns(rows).items()}
    has_map = over in rows.column_names and len(rows) > 1
    table = pa.table(own | pools | (_map(rows, over, projection, seed) if has_map else {}))
    texts = dict.fromkeys(("outcome", "kind", *pools))  # without a selection both may be the pool's own
    return ExploredRows(
        table,
        [name for name, column in pools.items() if not pa.types.is_string(column.type)],
        [name for name in texts if name in table.column_names and _sorts(table[name])],
        has_map,
    )


def _sample(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _contents(rows: Dataset) -> dict[str, pa.Array]:
    """The first image, the first question and answer, and the whole conversation of each row."""
    read = list(map(_content, read_rows(rows)))
    images = [{"bytes": small, "path": None} if small else None for small, *_ in read]
    return {
        "image": pa.array(images, _IMAGE),
        **{
            name: pa.array([each[i] for each in read], pa.string())
            for i, name in enumerate(("question", "answer", "conversation"), start=1)
        },
    }


def _content(row: Conversation | RowError) -> tuple[bytes | None, str, str, str]:
    if isinstance(row, RowError):
        return None, "", "", f"({row.status})"
    try:
        small = thumbnail(row.images[0], _SIDE, _MOST_BYTES) if row.images else None
    except RowError:
        small = None
    question, answer = (
        next((turn.text for turn in row.turns if turn.role == role), "") for role in ("user", "assistant")
    )
    return small, question[:_LONGEST], answer[:_LONGEST], row.transcript[:_LONGEST]


def _known(selection: Selection, rows: Dataset, positions: NDArray[np.int64]) -> dict[str, pa.Array]:
    """The outcome, reason, pick and kind of these rows."""
    names = np.full(selection.recipe.rows, None, dtype=object)
    for outcome in outcomes(selection):
        names[outcome.rows] = outcome.name
    scores = selection.scores.select(positions)
    labels, kinds = kind_labels(selection.recipe, rows)
    reasons = [reason_of_row(selection.recipe, row) for row in scores]
    ids = {row_id: place for place, row_id in enumerate(selection.scores["row_id"][:])}
    ranks = [None if rank is None else rank + 1 for rank in scores["rank"]]
    known = {
        "outcome": pa.array(names[positions].tolist(), pa.string()),
        "reason": pa.array([reason for reason, _ in reasons], pa.string()),
        "repeats_row": pa.array([ids.get(repeated) for _, repeated in reasons], pa.int64()),
        "pick": pa.array(ranks, pa.int64()),
    }
    return known | (
        {"kind": pa.array([kinds[label] for label in labels], pa.string())} if len(kinds) > 1 else {}
    )


def _pool_columns(rows: Dataset) -> dict[str, pa.Array]:
    """Numbers and texts of the pool, except the conversation's and columns that name files."""
    conversation = find_layout(rows.features).columns
    return dict(_plain(rows, [name for name in rows.column_names if name not in conversation]))


def _plain(rows: Dataset, names: Sequence[str]) -> Iterator[tuple[str, pa.Array]]:
    for name in names:
        kind = rows.features[name]
        if not isinstance(kind, Value):
            continue
        column = read_column(rows, name).combine_chunks()
        if kind.dtype in ("string", "large_string"):
            texts = column.cast(pa.string())
            if not any(text and without_folders(text) != text for text in texts.unique().to_pylist()):
                yield name, texts
        elif is_numeric(kind):
            yield name, column if kind.dtype != "bool" else column.cast(pa.string())


def _free(name: str, taken: dict[str, Any]) -> str:
    """A name for a column of the pool's next to ours."""
    ours = {*taken, "x", "y", "neighbors"}
    return f"{name} (pool)" if name in ours else name


def _sorts(column: pa.ChunkedArray) -> bool:
    """Whether a column of texts has a few values."""
    return pa.types.is_string(column.type) and 2 <= len(column.unique()) <= 100


def _map(rows: Dataset, over: str, projection: Projection, seed: int) -> dict[str, pa.Array]:
    features, statuses = read_features(rows, over)
    usable = np.flatnonzero(statuses == "ok")
    points = np.full((len(rows), 2), np.nan, dtype=np.float32)
    near: list[dict[str, list[float]]] = [{"ids": [], "distances": []} for _ in range(len(rows))]
    if len(usable) > 1:
        points[usable] = project(features[usable], projection, seed)
        for row, nearest in zip(usable, neighbors(features[usable]), strict=True):
            near[row] = {
                "ids": usable[np.array(nearest["ids"], dtype=int)].tolist(),
                "distances": nearest["distances"],
            }
    missing = np.isnan(points)
    return {
        "x": pa.array(points[:, 0], mask=missing[:, 0]),
        "y": pa.array(points[:, 1], mask=missing[:, 1]),
        "neighbors": pa.array(near, _NEAREST),
    }
