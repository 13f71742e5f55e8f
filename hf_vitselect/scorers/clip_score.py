"""CLIPScore of picture and text: one of Self-Filter's three input scores (arXiv 2402.12501, stage 1)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Features, Value

from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.clip import ClipFeatureScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.clip import ClipFeatures


class ClipScore(ClipFeatureScorer):
    """The cosine of a row's image feature and its text feature under a CLIP model.

    Self-Filter (arXiv 2402.12501, stage 1) feeds it to its score net. It is the plain cosine: neither
    scaled by 2.5 nor cut at zero as in CLIPScore's own paper (arXiv 2104.08718). The text is the whole
    conversation as `USER: ... ASSISTANT: ...` without placeholders, cut to the model's context. Of
    several pictures the unit features are averaged and made unit length first, so a row's score is the
    dot product of the two halves of its `ClipEmbedding`.

    Adds `clip_score` (float32, -1 to 1, higher = text and picture fit better), `clip_score_status` and
    `clip_score_reason`. A row without picture is `image_missing`: it has no cosine, and a 0 would say
    that its text fits a picture badly.

    Args:
        model: a CLIP model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows in one forward.

    Example:
        >>> pool.map(ClipScore("openai/clip-vit-large-patch14"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward of both CLIP towers"
    needs = "a CLIP model, pictures"

    signal = "clip_score"

    @property
    def values(self) -> Features:
        """The cosine."""
        return Features({self.column: Value("float32")})

    def row_values(self, results: Mapping[View, "ClipFeatures"]) -> tuple[Any, ...]:
        """The cosine of a row that has a picture."""
        features = results[whole]
        if not features.image.any():
            raise RowError("image_missing", "a row without picture has no cosine of image and text")
        return (float(np.clip(features.image @ features.text, -1, 1)),)  # rounding must not leave the range
