"""CLIPScore of picture and text: one of Self-Filter's three input scores (arXiv 2402.12501, stage 1)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Features, Value

from hf_vitselect.errors import RowError
from hf_vitselect.rows import Conversation
from hf_vitselect.scorer import Scorer

if TYPE_CHECKING:
    from hf_vitselect.clip import Clip


class ClipScore(Scorer):
    """The cosine of a row's image feature and its text feature under a CLIP model.

    Self-Filter (arXiv 2402.12501, stage 1) feeds it to its score net. It is the plain cosine: neither
    scaled by 2.5 nor cut at zero as in CLIPScore's own paper (arXiv 2104.08718). The text is the whole
    conversation as ``USER: ... ASSISTANT: ...`` without placeholders, cut to the model's context. Of
    several pictures the unit features are averaged and made unit length first, so a row's score is the
    dot product of the two halves of its `ClipEmbedding`.

    Adds ``clip_score`` (float32, -1 to 1, higher = text and picture fit better) and ``clip_score_status``.
    A row without picture is ``image_missing``: it has no cosine, and a 0 would say that its text fits a
    picture badly.

    Args:
        model: a CLIP model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows in one forward.

    Example:
        >>> pool.map(ClipScore("openai/clip-vit-large-patch14"), batched=True)  # doctest: +SKIP
    """

    def __init__(
        self, model: str, *, column: str = "clip_score", revision: str | None = None, batch_size: int = 64
    ) -> None:
        super().__init__(column=column, model=str(model), revision=revision)
        self.batch_size = batch_size

    @property
    def features(self) -> Features:
        """The cosine and the status."""
        return Features({self.column: Value("float32"), self.status_column: Value("string")})

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> dict[str, list[Any]]:
        """Scores the rows that have a picture."""
        scores: list[float | None] = []
        statuses: list[str] = []
        for found in self.loaded.features([_with_picture(row) for row in rows], self.batch_size):
            failed = isinstance(found, RowError)
            # Rounding must not lead out of the range.
            scores.append(None if failed else float(np.clip(found.image @ found.text, -1, 1)))
            statuses.append(found.status if failed else "ok")
        return {self.column: scores, self.status_column: statuses}

    def load(self, identity: Mapping[str, Any]) -> "Clip":
        """The CLIP model and its processor."""
        from hf_vitselect.clip import Clip

        return Clip(identity["model"], revision=identity.get("commit"), device=self._device())


def _with_picture(row: Conversation | RowError) -> Conversation | RowError:
    if isinstance(row, RowError) or row.pictures:
        return row
    return RowError("image_missing", "a row without picture has no cosine of image and text")
