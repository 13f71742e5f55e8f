"""Sentence embeddings of the conversation, for pools or machines without CLIP."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Features, List, Value

from hf_vitselect.call_text import check_fields
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.scorer import Scorer


@dataclass(kw_only=True, eq=False)
class TextEmbedding(Scorer):
    """The unit embedding of the whole conversation's text by a sentence-transformers model.

    The text is the conversation as `USER: ... ASSISTANT: ...` without placeholders, cut to the model's
    context. Images are ignored.

    Adds `embedding` (float32, fixed length of the model's dimension), `embedding_status` and
    `embedding_reason`. Costs one forward of the sentence encoder per row.

    Args:
        model: a sentence-transformers model, a Hub id or a folder.
        column: name of the main column.
        revision: a commit, branch or tag on the Hub.
        batch_size: rows per forward.

    Examples:
        >>> pool.map(TextEmbedding("sentence-transformers/all-MiniLM-L6-v2"), batched=True)  # doctest: +SKIP
    """

    column: str = "embedding"
    model: str = field(kw_only=False)
    batch_size: int = 64

    cost = "1 forward of the sentence encoder"
    needs = "a sentence encoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, TextEmbedding, batch_size=1)

    @property
    def values(self) -> Features:
        """The vector; the model is loaded, since only it knows the dimension."""
        return Features({self.column: List(Value("float32"), length=self.loaded.get_embedding_dimension())})

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> list[tuple[Any, ...] | RowError]:
        """Embed the rows that can be read."""
        texts = [row.transcript for row in rows if not isinstance(row, RowError)]
        options = {"normalize_embeddings": True, "show_progress_bar": False}
        encode = self.loaded.encode
        vectors = iter(encode(texts, batch_size=self.batch_size, **options) if texts else [])
        return [row if isinstance(row, RowError) else _finite(next(vectors)) for row in rows]

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
            # Weights of the wrong shape are named with the missing ones, below.
            options = {"use_safetensors": True, "ignore_mismatched_sizes": True}
            model = SentenceTransformer(name, revision=revision, device=self._device(), model_kwargs=options)
        for module in model:
            encoder = getattr(module, "auto_model", None)
            if encoder is not None:  # the other modules check their weights themselves
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
