"""Example rows of a subset, with thumbnails."""

import io
from dataclasses import dataclass

import numpy as np

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import read_rows
from hf_vitselect.errors import RowError
from hf_vitselect.selection.selection import Selection

_SIDE = 192  # pixels


@dataclass(frozen=True)
class Example:
    """A row of the subset.

    Attributes:
        place: where it stands in the subset: `top`, `median` or `lowest`.
        score: its score; None where the rule looked at none.
        question: of the first turn.
        answer: to it.
        turns: of the whole conversation.
        thumbnail: JPEG of its first picture; None if it has none that can be decoded.
    """

    place: str
    score: float | None
    question: str
    answer: str
    turns: int
    thumbnail: bytes | None

    @property
    def path(self) -> str:
        """Where the thumbnail lies beside the card."""
        return f"examples/{self.place}.jpg"


def examples(selection: Selection) -> list[Example]:
    """The subset's row with the highest score, one in the middle, and the one with the lowest.

    Without scores it is the first pick, one in the middle, and the last.
    """
    column = selection.recipe.by
    scores = np.full(len(selection), np.nan)
    if column in selection.dataset.column_names:
        scores = np.asarray(selection.dataset.with_format("arrow")[column].to_pylist(), dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    places = {"top": order[0], "median": order[len(order) // 2], "lowest": order[-1]}
    distinct = {row: place for place, row in reversed(places.items())}
    rows = sorted(distinct, key=lambda row: list(places).index(distinct[row]))
    return [
        _example(distinct[row], float(scores[row]), content)
        for row, content in zip(rows, read_rows(selection.dataset.select(rows)), strict=True)
        if isinstance(content, Conversation)
    ]


def _example(place: str, score: float, row: Conversation) -> Example:
    questions, answers = (
        [turn.text for turn in row.turns if turn.role == role] for role in ("user", "assistant")
    )
    return Example(
        place=place,
        score=score if np.isfinite(score) else None,
        question=next(iter(questions), ""),
        answer=next(iter(answers), ""),
        turns=len(row.turns),
        thumbnail=_thumbnail(row.images[0]) if row.images else None,
    )


def _thumbnail(picture: RowImage) -> bytes | None:
    try:
        image = picture.decode()
    except RowError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    sink = io.BytesIO()
    # A copy of the pixels alone: what else the file carries stays behind.
    image.copy().save(sink, "JPEG", quality=85, exif=b"", icc_profile=None)
    return sink.getvalue()
