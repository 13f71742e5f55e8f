"""CLIP features of image and text (Self-Filter, arXiv 2402.12501, section 3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Features, List, Value

from hf_vitselect.scorers.base.clip import ClipFeatureScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.clip import ClipFeatures


@dataclass(kw_only=True, eq=False)
class ClipEmbedding(ClipFeatureScorer):
    """The unit image feature of a CLIP or SigLIP model, joined with its unit text feature.

    The cosine of two rows is the mean of their image and text cosines. Self-Filter (arXiv 2402.12501, section
    3.2) uses openai/clip-vit-large-patch14, which gives 2 x 768 = 1536 dimensions. The text is the whole
    conversation as `USER: ... ASSISTANT: ...` without placeholders, cut to the model's context. The features
    of several images are averaged and made unit length; a row without image has a zero image half.

    Adds `embedding` (float32, fixed length 2 x projection), `embedding_status` and `embedding_reason`. Costs
    one forward of both towers per row.

    Args:
        model: a CLIP or SigLIP model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows per forward.

    Examples:
        >>> pool.map(ClipEmbedding("openai/clip-vit-large-patch14"), batched=True)  # doctest: +SKIP
    """

    column: str = "embedding"

    @property
    def values(self) -> Features:
        """The vector, whose length the model's configuration gives; no weights are read."""
        identity = self._identity()
        width = _width(identity["model"], identity.get("commit"), identity.get("digest"))
        return Features({self.column: List(Value("float32"), length=2 * width)})

    def row_values(self, results: Mapping[View, "ClipFeatures"]) -> tuple[Any, ...]:
        """The two features, joined."""
        return (np.concatenate([results[whole].image, results[whole].text]),)


@lru_cache(maxsize=32)
def _width(model: str, commit: str | None, digest: str | None) -> int:
    """The width of one feature; `digest` is only a key of the cache, since a folder may change."""
    from hf_vitselect.models.clip import feature_width

    return feature_width(model, commit)
