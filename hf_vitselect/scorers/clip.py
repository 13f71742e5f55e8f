"""CLIP features of picture and text (Self-Filter, arXiv 2402.12501, section 3.2 and its code)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Features, List, Value

from hf_vitselect.scorers.base.clip import ClipFeatureScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.clip import ClipFeatures


class ClipEmbedding(ClipFeatureScorer):
    """The unit image feature joined with the unit text feature of a CLIP or SigLIP model.

    Self-Filter (arXiv 2402.12501) uses openai/clip-vit-large-patch14, which gives 2 x 768 = 1536
    dimensions; the cosine of two rows is then the mean of their image and text cosines. The text is the
    whole conversation as `USER: ... ASSISTANT: ...` without placeholders, cut to the model's context.
    A row without picture has a zero image half; several pictures are averaged and made unit length.

    Adds `embedding` (float32, fixed length 2 x projection), `embedding_status` and `embedding_reason`.

    Args:
        model: a CLIP or SigLIP model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows in one forward.

    Example:
        >>> pool.map(ClipEmbedding("openai/clip-vit-large-patch14"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward of both CLIP towers"

    signal = "embedding"

    @property
    def values(self) -> Features:
        """The fixed-length vector; reads the model's configuration, not its weights."""
        identity = self._identity()
        width = _width(identity["model"], identity.get("commit"), identity.get("digest"))
        return Features({self.column: List(Value("float32"), length=2 * width)})

    def row_values(self, results: Mapping[View, "ClipFeatures"]) -> tuple[Any, ...]:
        """The two features, joined."""
        return (np.concatenate([results[whole].image, results[whole].text]),)


@lru_cache(maxsize=32)
def _width(model: str, commit: str | None, digest: str | None) -> int:
    """The width of one feature; `digest` only tells one state of a folder from the next."""
    from hf_vitselect.models.clip import feature_width

    return feature_width(model, commit)
