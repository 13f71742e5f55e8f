"""Rows of a pool that an evaluation set holds too: what `select_diverse(..., exclude=)` should leave out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_features
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.rules.clusters import unit_rows

_BATCH_ROWS = 500


@dataclass(frozen=True)
class Contamination:
    """Rows of a pool, by their ids, that an evaluation set holds too.

    Attributes:
        picture: rows with a picture of the evaluation set, byte for byte.
        text: rows with the same conversation, or without pictures with the same question, but for case and
            spaces.
        near: rows whose embedding is as near as the threshold to one of the evaluation set.
    """

    picture: tuple[str, ...]
    text: tuple[str, ...]
    near: tuple[str, ...]

    @property
    def row_ids(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys((*self.picture, *self.text, *self.near)))


def find_contamination(
    pool: Dataset, evaluation: Dataset, *, over: str | None = None, threshold: float = 0.95
) -> Contamination:
    """Finds rows of a pool that are, exactly or nearly, in an evaluation set.

    Args:
        pool: any conversation layout.
        evaluation: any conversation layout; of prompts without answers too.
        over: an embedding column that both have, made by the same scorer; nothing near is looked for if None.
        threshold: the cosine from which on rows count as near, -1 to 1.

    Raises:
        ColumnError: if one of them has not the embedding column, or their vectors differ in length.

    Example:
        >>> found = find_contamination(pool, evaluation, over="embedding")  # doctest: +SKIP
        >>> select_diverse(scored, 0.15, exclude=found.row_ids)  # doctest: +SKIP
    """
    ids = row_ids(pool)
    pictures: set[str] = set()
    texts: set[str] = set()
    for row in _conversations(evaluation):
        pictures |= _pictures(row)
        texts |= _texts(row)
    same_picture, same_text = [], []
    for row_id, row in zip(ids, _conversations(pool), strict=True):
        if _pictures(row) & pictures:
            same_picture.append(row_id)
        if _texts(row) & texts:
            same_text.append(row_id)
    near = () if over is None else tuple(ids[i] for i in _near(pool, evaluation, over, threshold))
    return Contamination(tuple(same_picture), tuple(same_text), near)


def _conversations(dataset: Dataset) -> Iterator[Conversation | None]:
    """Every row that can be read, None for the others."""
    return (None if isinstance(row, RowError) else row for row in read_rows(dataset))


def _pictures(row: Conversation | None) -> set[str]:
    return {digest for picture in (row.images if row else ()) if (digest := picture.digest())}


def _texts(row: Conversation | None) -> set[str]:
    if row is None:
        return set()
    texts = {_plain(row.transcript)}
    if not row.images:
        texts |= {_plain(turn.text) for turn in row.turns if turn.role == "user"}
    return texts - {""}


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _near(pool: Dataset, evaluation: Dataset, over: str, threshold: float) -> NDArray[np.int64]:
    """Positions of the pool's rows with a cosine that reaches the threshold to some evaluation row."""
    for name, dataset in (("pool", pool), ("evaluation set", evaluation)):
        if over not in dataset.column_names:
            raise ColumnError(f"expected the column {over!r} in the {name}, got {dataset.column_names}")
    (rows, usable), (others, known) = read_features(pool, over), read_features(evaluation, over)
    targets = unit_rows(others[known == "ok"].astype(np.float64))
    if rows.shape[1] != targets.shape[1]:
        raise ColumnError(
            f"expected vectors of one length in {over!r}, got {rows.shape[1]} in the pool and "
            f"{targets.shape[1]} in the evaluation set; embed both with the same scorer"
        )
    highest = np.full(len(rows), -np.inf)
    for start in range(0, len(rows), _BATCH_ROWS):
        part = slice(start, start + _BATCH_ROWS)
        highest[part] = (unit_rows(rows[part].astype(np.float64)) @ targets.T).max(axis=1, initial=-np.inf)
    return np.flatnonzero((usable == "ok") & (highest >= threshold))
