"""Rows that an evaluation set contains too."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_features, refuse_missing
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.pools import load_pool
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_rows
from hf_vitselect.data.text import normalized
from hf_vitselect.errors import ColumnError, RowError
from hf_vitselect.filters.base import Drops, Filter, Rows
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import unit_rows


@dataclass(frozen=True, kw_only=True)
class Contamination(Filter):
    """Rows that an evaluation set contains too, exactly or with nearly the same image.

    A row is dropped for an image of the evaluation set, byte for byte; a row without image for a conversation
    or a question of the evaluation set; and, with `over`, for an image whose cosine to one of the evaluation
    set is at least `threshold`. Case and whitespace of texts are ignored. The text of a row with image
    identifies nothing by itself, since others ask the same about other images. Exact matches are dropped
    first, then the highest cosines. `find_contamination` does the same for datasets in Python, with whole
    embeddings.

    Other filters are skipped with a warning where the pool lacks their column. With `over`, this one raises
    an error on purpose: a test set that leaks unnoticed would be worse.

    Args:
        evaluation: A file, a folder, or a dataset on the Hub, as `load_pool` reads it; any conversation
            layout, with or without answers.
        split: Its split.
        config: Of a dataset on the Hub.
        over: Its column of CLIP embeddings, by the same `ClipEmbedding` as the pool's; without it only exact
            matches are found.
        threshold: Lowest cosine of an image that counts as the same, -1 to 1.

    Raises:
        ColumnError: In `find`, with `over`, if the pool has no image features, or if the evaluation set does
            not have the column or embeddings of the same model.
        PoolError: In `find`, if the evaluation set cannot be read.

    Examples:
        >>> Contamination(evaluation="me/benchmark", over="embedding")
        Contamination(evaluation='me/benchmark', split='test', config=None, over='embedding', threshold=0.95)
    """

    uses_image_features = True

    evaluation: str
    split: str = "test"
    config: str | None = None
    over: str | None = None
    threshold: float = 0.95

    def __post_init__(self) -> None:
        if not isinstance(self.evaluation, str) or not self.evaluation:
            raise ValueError(f"evaluation: expected a file, a folder or a name, got {self.evaluation!r}")
        _refuse_threshold(self.threshold)

    def find(self, rows: Rows) -> Drops:
        """Find the rows of the evaluation set, exact matches first."""
        dataset = load_pool(self.evaluation, config=self.config, split=self.split)
        exact = _Exact.of(read_rows(dataset))
        cosines = (
            np.full(len(rows), -np.inf) if self.over is None else self._cosines(rows, dataset, self.over)
        )
        same = np.array(list(exact.matches(rows.conversations())), dtype=np.bool_).reshape(-1, 2)
        certainty = np.where(same.any(axis=1), 2.0, np.where(cosines >= self.threshold, cosines, -np.inf))
        dropped = np.flatnonzero(rows.droppable & (certainty > -np.inf))
        dropped = dropped[np.lexsort((dropped, -rows.scores[dropped], -certainty[dropped]))]
        reasons = [
            "its image is in the evaluation set"
            if same[row, 0]
            else "its text is in the evaluation set"
            if same[row, 1]
            else f"the cosine of its image to one of the evaluation set is {cosines[row]:.3f}"
            for row in dropped
        ]
        return Drops(rows=dropped, reasons=reasons)

    def _cosines(self, rows: Rows, dataset: Dataset, over: str) -> NDArray[np.float64]:
        """Highest cosine of each row's image to one of the evaluation set, -inf without image."""
        if rows.image_features is None:
            raise ColumnError(
                f"Contamination(over={over!r}) expected embeddings by ClipEmbedding in the pool, got none; "
                "score the pool with it, or leave out over= to find exact matches only"
            )
        refuse_missing([over], dataset.column_names, "expected in the evaluation set the column")
        targets, statuses = read_features(dataset, over)
        width = rows.image_features.shape[1]
        if targets.shape[1] != 2 * width:
            raise ColumnError(
                f"expected vectors of {2 * width} numbers in {over!r} of the evaluation set, as in the pool, "
                f"got {targets.shape[1]}; embed both with the same ClipEmbedding"
            )
        images = targets[statuses == "ok", :width]
        cosines = _highest_cosines(rows.image_features, images[images.any(axis=1)])
        return np.where(rows.image_features.any(axis=1), cosines, -np.inf)


@dataclass(frozen=True)
class ContaminatedRows:
    """Ids of the rows of a pool that an evaluation set contains too, by reason.

    Attributes:
        image: Rows with an image of the evaluation set, byte for byte.
        text: Rows without images and with the same conversation or question as one without images. Case and
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
) -> ContaminatedRows:
    """Find the rows of a pool that an evaluation set contains too, exactly or nearly.

    Args:
        pool: Rows of any conversation layout.
        evaluation: Rows of any conversation layout, with or without answers.
        over: Embedding column of both, by the same scorer; without it only exact matches are found.
        threshold: Lowest cosine of near rows, -1 to 1.

    Raises:
        ColumnError: If the embedding column is missing from one of them, or the vectors' lengths differ.
        ValueError: If the threshold is out of range.

    Examples:
        >>> contaminated = find_contamination(pool, evaluation, over="embedding")  # doctest: +SKIP
        >>> select_diverse(scored, 0.15, exclude=contaminated.row_ids)  # doctest: +SKIP
    """
    _refuse_threshold(threshold)
    ids = np.array(row_ids(pool), dtype=object)
    exact = _Exact.of(read_rows(evaluation))
    same = np.array(list(exact.matches(read_rows(pool))), dtype=np.bool_).reshape(-1, 2)
    near = ids[:0] if over is None else ids[_near(pool, evaluation, over, threshold)]
    return ContaminatedRows(tuple(ids[same[:, 0]]), tuple(ids[same[:, 1]]), tuple(near))


def _refuse_threshold(threshold: float) -> None:
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold: expected -1 to 1, got {threshold!r}")


@dataclass(frozen=True)
class _Exact:
    """The images, by their digests, and the normalized texts of an evaluation set."""

    images: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[Conversation | RowError]) -> "_Exact":
        images: set[str] = set()
        texts: set[str] = set()
        for row in rows:
            images |= _images(row)
            texts |= _texts(row)
        return cls(frozenset(images), frozenset(texts))

    def matches(self, rows: Iterable[Conversation | RowError]) -> Iterator[tuple[bool, bool]]:
        """Whether each row has one of the images, and one of the texts."""
        return ((bool(_images(row) & self.images), bool(_texts(row) & self.texts)) for row in rows)


def _images(row: Conversation | RowError) -> set[str]:
    images = () if isinstance(row, RowError) else row.images
    return {digest for image in images if (digest := image.digest())}


def _texts(row: Conversation | RowError) -> set[str]:
    if isinstance(row, RowError) or row.images:  # a text about an image identifies nothing by itself
        return set()
    texts = {normalized(turn.text) for turn in row.turns if turn.role == "user"}
    return {normalized(row.transcript), *texts} - {""}


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
    highest = _highest_cosines(features, targets[target_statuses == "ok"])
    return np.flatnonzero((statuses == "ok") & (highest >= threshold))


def _highest_cosines(features: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each row's highest cosine to a target, float64 `[n]`; -inf without targets."""
    units = unit_rows(targets.astype(np.float64))
    highest = np.full(len(features), -np.inf)
    for block in blocks(len(features), 500):
        cosines = unit_rows(features[block].astype(np.float64)) @ units.T
        highest[block] = cosines.max(axis=1, initial=-np.inf)
    return highest
