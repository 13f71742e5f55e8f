"""Picks of each method: the overlap of the subsets, and their composition next to the pool's."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.row_ids import content_hash
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import RowError

Subsets = Mapping[str, Sequence[NDArray[np.int64]]]
"""For each method, by name, its subset per seed: int64 rows of the pool."""

_MOST_VALUES = 12


def overlap(subsets: Subsets) -> list[dict[str, Any]]:
    """Mean Jaccard overlap of every two methods' subsets of the same seed, as rows of a table.

    A method's overlap with itself is that of its subsets of different seeds: 1 for a deterministic method.
    """
    return [
        {"overlap": name, **{other: _overlap(name, other, subsets) for other in subsets}} for name in subsets
    ]


def jaccard(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Rows in both subsets as a share of rows in either, 0 to 1.

    Two random subsets with a share p of a pool have about p / (2 - p).
    """
    both = len(np.intersect1d(one, other))
    return both / (len(one) + len(other) - both)


def composition_rows(
    pool: Dataset, lengths: str, columns: Sequence[str], subsets: Subsets
) -> list[dict[str, Any]]:
    """Shares and lengths in the pool and in each method's subsets, mean over seeds, as rows of a table.

    Counted are lengths, answers, images and repetitions, and the most frequent values of the columns.
    """
    everything = {"pool": [np.arange(len(pool))], **subsets}

    def row(label: str, measure: Callable[[NDArray[np.int64]], float], form: str) -> dict[str, Any]:
        means = {name: np.mean([measure(rows) for rows in drawn]) for name, drawn in everything.items()}
        return {"rows": label, **{name: form.format(mean) for name, mean in means.items()}}

    def share(label: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
        return row(label, lambda rows: float(mask[rows].mean()), "{:.1%}")

    def repeated(label: str, ids: NDArray[np.int64]) -> dict[str, Any]:
        def measure(rows: NDArray[np.int64]) -> float:
            known = ids[rows][ids[rows] != 0]
            return (len(known) - len(np.unique(known))) / len(rows)

        return row(label, measure, "{:.1%}")

    def quantile(part: float) -> dict[str, Any]:
        label = f"{lengths}: {part:.0%} have at most"
        return row(label, lambda rows: float(np.nanquantile(sizes[rows], part)), "{:.0f}")

    sizes = np.asarray(pool.with_format("numpy")[lengths], dtype=np.float64)
    answers, images, conversation_ids, image_ids = _facts(pool)
    table = [
        row(f"{lengths}: mean", lambda rows: float(np.nanmean(sizes[rows])), "{:.1f}"),
        *(quantile(part) for part in (0.1, 0.5, 0.9)),
        share("several answers", answers > 1),
        share("no image", images == 0),
        share("several images", images > 1),
        repeated("conversation of an earlier row", conversation_ids),
        repeated("image of an earlier row", image_ids),
    ]
    for column in columns:
        values = np.array([str(value) for value in pool[column]], dtype=object)
        for value, _ in Counter(values).most_common(_MOST_VALUES):
            table.append(share(f"{column}: {value}", values == value))
    return table


def _overlap(one: str, other: str, subsets: Subsets) -> float:
    pairs = combinations(subsets[one], 2) if one == other else zip(subsets[one], subsets[other], strict=False)
    overlaps = [jaccard(*pair) for pair in pairs]
    return float(np.mean(overlaps)) if overlaps else 1.0


def _facts(pool: Dataset) -> NDArray[np.int64]:
    """Number of answers, number of images, id of the conversation and of the images of every row.

    Returns:
        int64 of shape (4, rows). An id is 0 for a row that has no turns, or no images.
    """
    facts = []
    for read in read_rows(pool):
        row = Conversation(()) if isinstance(read, RowError) else read
        images = content_hash(Conversation((), row.images)) if row.images else None
        answers = sum(turn.role == "assistant" for turn in row.turns)
        conversation_id = hash((row.turns, row.tools, images)) if row.turns else 0
        facts.append((answers, len(row.images), conversation_id, hash(images) if images else 0))
    return np.array(facts, dtype=np.int64).T
