"""Sentence embeddings of the conversation, for pools or machines where CLIP is no choice."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Features, List, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer


class TextEmbedding(Scorer):
    """The unit embedding of the whole conversation's text by a sentence-transformers model.

    The text is the conversation as `USER: ... ASSISTANT: ...` without placeholders, cut to the
    model's context. Pictures are not looked at.

    Adds `embedding` (float32, fixed length of the model's dimension), `embedding_status` and
    `embedding_reason`.

    Args:
        model: a sentence-transformers model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows in one forward.

    Example:
        >>> pool.map(TextEmbedding("sentence-transformers/all-MiniLM-L6-v2"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward of the sentence encoder"
    needs = "a sentence encoder"

    def __init__(
        self, model: str, *, column: str = "embedding", revision: str | None = None, batch_size: int = 64
    ) -> None:
        super().__init__(column=column, model=str(model), revision=revision)
        self.batch_size = batch_size

    @property
    def values(self) -> Features:
        """The fixed-length vector; loads the model, which alone knows its dimension."""
        return Features({self.column: List(Value("float32"), length=self.loaded.get_embedding_dimension())})

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Embeds the rows that can be read."""
        texts = [row.transcript for row in rows if not isinstance(row, RowError)]
        found = iter(
            self.loaded.encode(
                texts, batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False
            )
            if texts
            else []
        )
        return [row if isinstance(row, RowError) else _finite(next(found)) for row in rows]

    def load(self, identity: Mapping[str, Any]) -> Any:
        """The sentence-transformers model."""
        from sentence_transformers import SentenceTransformer

        from hf_vitselect.models.weights import (
            TEXT_ENCODER,
            load_errors,
            refuse_missing_weights,
            refuse_non_finite,
        )

        name, revision = identity["model"], identity.get("commit")
        with load_errors(name, what="a sentence-transformers model"):
            # Weights of another shape are named with the missing ones, below.
            options = {"use_safetensors": True, "ignore_mismatched_sizes": True}
            model = SentenceTransformer(name, revision=revision, device=self._device(), model_kwargs=options)
        for module in model:
            encoder = getattr(module, "auto_model", None)
            if encoder is not None:  # the other modules are strict about their weights
                # In a folder a part has a path of its own.
                source = name if not os.path.isdir(name) else encoder.name_or_path
                refuse_missing_weights(
                    type(encoder), source, revision=revision, config=encoder.config, used_as=TEXT_ENCODER
                )
        refuse_non_finite(name, model)
        return model


def _finite(vector: Any) -> tuple[Any, ...] | RowError:
    numbers = np.asarray(vector, dtype=np.float32)
    return (numbers,) if np.isfinite(numbers).all() else RowError("non_finite", "the vector is not finite")
