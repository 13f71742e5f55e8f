"""Rows of a pool that an evaluation set contains too, for `select_diverse(..., exclude=)`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_features
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_rows
from hf_vitselect.data.text import normalized
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import unit_rows


@dataclass(frozen=True)
class Contamination:
    """Ids of the rows of a pool that an evaluation set contains too, by reason.

    Attributes:
        image: Rows with an image of the evaluation set, byte for byte.
        text: Rows with the same conversation, or without images and with the same question. Case and
            whitespace are ignored.
        near: Rows whose embedding has at least the threshold's cosine to one of the evaluation set.
    """

    image: tuple[str, ...]
    text: tuple[str, ...]
    near: tuple[str, ...]

    @property
    def row_ids(self) -> list[str]:
        """All ids, each once."""
        return list(dict.fromkeys((*self.image, *self.text, *self.near)))


def find_contamination(
    pool: Dataset, evaluation: Dataset, *, over: str | None = None, threshold: float = 0.95
) -> Contamination:
    """Find the rows of a pool that an evaluation set contains too, exactly or nearly.

    Args:
        pool: Rows of any conversation layout.
        evaluation: Rows of any conversation layout, with or without answers.
        over: Embedding column of both, by the same scorer; without it only exact matches are found.
        threshold: Lowest cosine of near rows, -1 to 1.

    Raises:
        ColumnError: If the embedding column is missing from one of them, or the vectors' lengths differ.

    Example:
        >>> contamination = find_contamination(pool, evaluation, over="embedding")  # doctest: +SKIP
        >>> select_diverse(scored, 0.15, exclude=contamination.row_ids)  # doctest: +SKIP
    """
    ids = row_ids(pool)
    images: set[str] = set()
    texts: set[str] = set()
    for row in _conversations(evaluation):
        images |= _images(row)
        texts |= _texts(row)
    same_image, same_text = [], []
    for row_id, row in zip(ids, _conversations(pool), strict=True):
        if _images(row) & images:
            same_image.append(row_id)
        if _texts(row) & texts:
            same_text.append(row_id)
    near = () if over is None else tuple(ids[i] for i in _near(pool, evaluation, over, threshold))
    return Contamination(tuple(same_image), tuple(same_text), near)


def _conversations(dataset: Dataset) -> Iterator[Conversation | None]:
    """Each row's conversation, None if it cannot be read."""
    return (None if isinstance(row, RowError) else row for row in read_rows(dataset))


def _images(row: Conversation | None) -> set[str]:
    return {digest for image in (row.images if row else ()) if (digest := image.digest())}


def _texts(row: Conversation | None) -> set[str]:
    if row is None:
        return set()
    texts = {normalized(row.transcript)}
    if not row.images:  # a question about an image identifies nothing by itself
        texts |= {normalized(turn.text) for turn in row.turns if turn.role == "user"}
    return texts - {""}


def _near(pool: Dataset, evaluation: Dataset, over: str, threshold: float) -> NDArray[np.int64]:
    """Rows of the pool with a cosine of at least the threshold to some row of the evaluation set."""
    for name, dataset in (("pool", pool), ("evaluation set", evaluation)):
        if over not in dataset.column_names:
            raise ColumnError(f"expected the column {over!r} in the {name}, got {dataset.column_names}")
    features, statuses = read_features(pool, over)
    targets, target_statuses = read_features(evaluation, over)
    if features.shape[1] != targets.shape[1]:
        raise ColumnError(
            f"expected vectors of one length in {over!r}, got {features.shape[1]} in the pool and "
            f"{targets.shape[1]} in the evaluation set; embed both with the same scorer"
        )
    units = unit_rows(targets[target_statuses == "ok"].astype(np.float64))
    highest = np.full(len(features), -np.inf)
    for block in blocks(len(features), 500):
        cosines = unit_rows(features[block].astype(np.float64)) @ units.T
        highest[block] = cosines.max(axis=1, initial=-np.inf)
    return np.flatnonzero((statuses == "ok") & (highest >= threshold))
