"""CLIP features of picture and text (Self-Filter, arXiv 2402.12501, section 3.2 and its code)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Features, List, Value

from hf_vitselect.errors import RowError
from hf_vitselect.rows import Conversation
from hf_vitselect.scorer import Scorer

if TYPE_CHECKING:
    from hf_vitselect.clip import Clip


class ClipEmbedding(Scorer):
    """The unit image feature joined with the unit text feature of a CLIP model.

    Self-Filter (arXiv 2402.12501) uses openai/clip-vit-large-patch14, which gives 2 x 768 = 1536
    dimensions; the cosine of two rows is then the mean of their image and text cosines. The text is the
    whole conversation as ``USER: ... ASSISTANT: ...`` without placeholders, cut to the model's context.
    A row without picture has a zero image half; several pictures are averaged and made unit length.

    Adds ``embedding`` (float32, fixed length 2 x projection) and ``embedding_status``.

    Args:
        model: a CLIP model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows in one forward.

    Example:
        >>> pool.map(ClipEmbedding("openai/clip-vit-large-patch14"), batched=True)  # doctest: +SKIP
    """

    def __init__(
        self, model: str, *, column: str = "embedding", revision: str | None = None, batch_size: int = 64
    ) -> None:
        super().__init__(column=column, model=str(model), revision=revision)
        self.batch_size = batch_size

    @property
    def features(self) -> Features:
        """The fixed-length vector and the status; reads the model's configuration, not its weights."""
        identity = self._identity()
        width = _projection(identity["model"], identity.get("commit"), identity.get("digest"))
        vector = List(Value("float32"), length=2 * width)
        return Features({self.column: vector, self.status_column: Value("string")})

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> dict[str, list[Any]]:
        """Embeds the rows."""
        vectors: list[np.ndarray | None] = []
        statuses: list[str] = []
        for found in self.loaded.features(rows, self.batch_size):
            failed = isinstance(found, RowError)
            vectors.append(None if failed else np.concatenate([found.image, found.text]))
            statuses.append(found.status if failed else "ok")
        return {self.column: vectors, self.status_column: statuses}

    def load(self, identity: Mapping[str, Any]) -> "Clip":
        """The CLIP model and its processor."""
        from hf_vitselect.clip import Clip

        return Clip(identity["model"], revision=identity.get("commit"), device=self._device())


@lru_cache(maxsize=32)
def _projection(model: str, commit: str | None, digest: str | None) -> int:
    """The width of one feature; ``digest`` only tells one state of a folder from the next."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(model, revision=commit).projection_dim)
