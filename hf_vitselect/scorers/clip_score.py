"""CLIPScore of image and text: one of Self-Filter's three input scores (arXiv 2402.12501, stage 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Features, Value

from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.clip import ClipFeatureScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.clip import ClipFeatures


@dataclass(kw_only=True, eq=False)
class ClipScore(ClipFeatureScorer):
    """The cosine of a row's image feature and its text feature under a CLIP model.

    An input of Self-Filter's score net (arXiv 2402.12501, stage 1). It is the plain cosine, neither scaled by
    2.5 nor clipped at zero as in the paper of CLIPScore (arXiv 2104.08718). The text is the whole
    conversation as `USER: ... ASSISTANT: ...` without placeholders, cut to the model's context. The features
    of several images are averaged and made unit length, so the score is the dot product of the two halves of
    the row's `ClipEmbedding`.

    Adds `clip_score` (float32, -1 to 1, higher = text and image fit better), `clip_score_status` and
    `clip_score_reason`. A row without image is `image_missing`: it has no cosine, and 0 would mean a bad fit.
    Costs one forward of both towers per row.

    Args:
        model: a CLIP model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows per forward.

    Examples:
        >>> pool.map(ClipScore("openai/clip-vit-large-patch14"), batched=True)  # doctest: +SKIP
    """

    column: str = "clip_score"

    needs = "a CLIP model, images"

    @property
    def values(self) -> Features:
        """The cosine."""
        return Features({self.column: Value("float32")})

    def row_values(self, results: Mapping[View, "ClipFeatures"]) -> tuple[Any, ...]:
        """The cosine, if the row has an image."""
        features = results[whole]
        if not features.image.any():
            raise RowError("image_missing", "a row without image has no cosine of image and text")
        return (float(np.clip(features.image @ features.text, -1, 1)),)  # rounding must not leave the range
