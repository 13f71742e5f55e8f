"""Example rows of a subset, with thumbnails."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import RowError
from hf_vitselect.report.thumbnails import thumbnail
from hf_vitselect.selection.selection import Selection

_SIDE = 192  # pixels


@dataclass(frozen=True)
class Example:
    """A row of the subset, with the first question and answer, and its first image as a JPEG thumbnail."""

    rank: str  # top, median or lowest
    score: float | None
    question: str
    answer: str
    turns: int
    thumbnail: bytes | None

    @property
    def path(self) -> str:
        """The thumbnail's path relative to the card."""
        return f"examples/{self.rank}.jpg"


def examples(selection: Selection) -> list[Example]:
    """The rows of the subset with the highest, the median and the lowest score.

    Without scores, the first, the middle and the last pick.
    """
    column = selection.recipe.by
    scores = np.full(len(selection), np.nan)
    if column in selection.dataset.column_names:
        scores = np.asarray(selection.dataset.with_format("arrow")[column].to_pylist(), dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    ranks: dict[int, str] = {}
    for rank, row in (("top", order[0]), ("median", order[len(order) // 2]), ("lowest", order[-1])):
        ranks.setdefault(int(row), rank)
    return [
        _example(rank, float(scores[row]), content)
        for (row, rank), content in zip(
            ranks.items(), read_rows(selection.dataset.select(list(ranks))), strict=True
        )
        if isinstance(content, Conversation)
    ]


def _example(rank: str, score: float, row: Conversation) -> Example:
    questions, answers = (
        [turn.text for turn in row.turns if turn.role == role] for role in ("user", "assistant")
    )
    return Example(
        rank=rank,
        score=score if np.isfinite(score) else None,
        question=next(iter(questions), ""),
        answer=next(iter(answers), ""),
        turns=len(row.turns),
        thumbnail=_thumbnail(row.images[0]) if row.images else None,
    )


def _thumbnail(image: RowImage) -> bytes | None:
    try:
        return thumbnail(image, _SIDE)
    except RowError:
        return None
