"""What each method picked: its overlap with the others, and the make-up of its rows beside the pool's."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.compare.statistics import jaccard
from hf_vitselect.errors import RowError
from hf_vitselect.rows import Conversation, content_hash, read_table, undecoded

Subsets = Mapping[str, Sequence[NDArray[np.int64]]]
"""Under each method's name its subsets, one for each seed: int64 rows of the pool."""

_MOST_VALUES = 12


def overlap(subsets: Subsets) -> list[dict[str, Any]]:
    """The mean Jaccard overlap of every two methods' subsets of the same seed, as rows of a table.

    A method beside itself: its subsets of different seeds; 1 if chance has no part in it.
    """
    return [
        {"overlap": name, **{other: _overlap(name, other, subsets) for other in subsets}} for name in subsets
    ]


def make_up(pool: Dataset, lengths: str, columns: Sequence[str], subsets: Subsets) -> list[dict[str, Any]]:
    """Shares and lengths in the pool and in each method's subsets, their mean over seeds, as rows of a table.

    Args:
        pool: what the subsets are of.
        lengths: its column of response lengths.
        columns: of plain values; the most frequent ones are counted.
        subsets: of each method.
    """
    everything = {"pool": [np.arange(len(pool))], **subsets}

    def row(label: str, measure: Callable[[NDArray[np.int64]], float], form: str) -> dict[str, Any]:
        cells = {
            name: form.format(np.mean([measure(rows) for rows in drawn]))
            for name, drawn in everything.items()
        }
        return {"rows": label, **cells}

    def share(label: str, which: NDArray[np.bool_]) -> dict[str, Any]:
        return row(label, lambda rows: float(which[rows].mean()), "{:.1%}")

    sizes = np.asarray(pool.with_format("numpy")[lengths], dtype=np.float64)
    table = [row(f"{lengths}: mean", lambda rows: float(np.nanmean(sizes[rows])), "{:.1f}")]
    for part in (0.1, 0.5, 0.9):

        def quantile(rows: NDArray[np.int64], part: float = part) -> float:
            return float(np.nanquantile(sizes[rows], part))

        table.append(row(f"{lengths}: {part:.0%} have at most", quantile, "{:.0f}"))
    read = [item for part in undecoded(pool) for item in read_table(part)]
    turns, pictures = _numbers(read, _answers), _numbers(read, lambda item: len(item.pictures))
    table += [share("several answers", turns > 1), share("no picture", pictures == 0)]
    table.append(share("several pictures", pictures > 1))
    for label, content in (("conversation", content_hash), ("pictures", _picture_hash)):
        ids = np.array([None if isinstance(item, RowError) else content(item) for item in read], dtype=object)

        def repeated(rows: NDArray[np.int64], ids: NDArray[np.object_] = ids) -> float:
            known = [item for item in ids[rows] if item is not None]
            return (len(known) - len(set(known))) / len(rows)

        table.append(row(f"{label} of an earlier row", repeated, "{:.1%}"))
    for column in columns:
        values = np.array([str(value) for value in pool[column]], dtype=object)
        for value, _ in Counter(values).most_common(_MOST_VALUES):
            table.append(share(f"{column}: {value}", values == value))
    return table


def _overlap(one: str, other: str, subsets: Subsets) -> float:
    pairs = (
        list(combinations(subsets[one], 2))
        if one == other
        else list(zip(subsets[one], subsets[other], strict=True))
    )
    return float(np.mean([jaccard(*pair) for pair in pairs])) if pairs else 1.0


def _numbers(
    read: Sequence[Conversation | RowError], count: Callable[[Conversation], int]
) -> NDArray[np.int64]:
    return np.array([-1 if isinstance(item, RowError) else count(item) for item in read])


def _answers(row: Conversation) -> int:
    return sum(turn.role == "assistant" for turn in row.turns)


def _picture_hash(row: Conversation) -> str | None:
    return content_hash(Conversation((), row.pictures)) if row.pictures else None
