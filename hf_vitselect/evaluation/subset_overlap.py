"""What each method picked: its overlap with the others, and the make-up of its rows beside the pool's."""

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
from hf_vitselect.evaluation.statistics import jaccard

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
    facts = _facts(pool)
    table.append(share("several answers", facts["answers"] > 1))
    table += [share("no picture", facts["pictures"] == 0), share("several pictures", facts["pictures"] > 1)]
    for what in ("conversation", "picture"):

        def repeated(rows: NDArray[np.int64], ids: NDArray[np.int64] = facts[f"{what}_id"]) -> float:
            known = ids[rows][ids[rows] != 0]
            return (len(known) - len(np.unique(known))) / len(rows)

        table.append(row(f"{what} of an earlier row", repeated, "{:.1%}"))
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


def _facts(pool: Dataset) -> dict[str, NDArray[np.int64]]:
    """Of every row: its answers, its pictures, and ids of its conversation and its pictures, 0 for none."""
    facts: dict[str, list[int]] = {"answers": [], "pictures": [], "conversation_id": [], "picture_id": []}
    for found in read_rows(pool):
        row = Conversation(()) if isinstance(found, RowError) else found
        pictures = content_hash(Conversation((), row.images)) if row.images else None
        facts["answers"].append(sum(turn.role == "assistant" for turn in row.turns))
        facts["pictures"].append(len(row.images))
        facts["picture_id"].append(hash(pictures) if pictures else 0)
        facts["conversation_id"].append(hash((row.turns, row.tools, pictures)) if row.turns else 0)
    return {name: np.array(values) for name, values in facts.items()}
