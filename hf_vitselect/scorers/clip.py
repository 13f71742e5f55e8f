"""CLIP features of picture and text (Self-Filter, arXiv 2402.12501, section 3.2 and its code)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from datasets import Features, List, Value

from hf_vitselect.errors import RowError
from hf_vitselect.rows import Conversation
from hf_vitselect.scorer import Scorer


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
        """Embeds the rows; pictures and texts of a batch each in one forward."""
        vectors: list[np.ndarray | None] = [None] * len(rows)
        statuses = [row.status if isinstance(row, RowError) else "ok" for row in rows]
        for start in range(0, len(rows), self.batch_size):
            pictures, texts, kept = [], [], []
            for i, row in enumerate(rows[start : start + self.batch_size], start):
                if isinstance(row, RowError):
                    continue
                try:
                    pictures.append([picture.decode() for picture in row.pictures])
                except RowError as error:
                    statuses[i] = error.status
                    continue
                texts.append(row.transcript)
                kept.append(i)
            for i, vector in zip(kept, self._embed(pictures, texts), strict=True):
                if np.isfinite(vector).all():
                    vectors[i] = vector
                else:
                    statuses[i] = "non_finite"
        return {self.column: vectors, self.status_column: statuses}

    def _embed(self, pictures: list[list[Any]], texts: list[str]) -> list[np.ndarray]:
        """Vectors of shape (2 x projection,), float32."""
        import torch

        if not texts:
            return []
        model, processor = self.loaded
        with torch.inference_mode():
            # Not every tokenizer knows its model's context.
            context = model.config.text_config.max_position_embeddings
            tokens = processor.tokenizer(
                texts, padding=True, truncation=True, max_length=context, return_tensors="pt"
            )
            text_half = _unit(model.get_text_features(**tokens.to(model.device)).pooler_output)
            image_half = torch.zeros_like(text_half)
            flat = [picture for group in pictures for picture in group]
            if flat:
                pixels = processor.image_processor(flat, return_tensors="pt").to(model.device)
                units = _unit(model.get_image_features(**pixels).pooler_output)
                owner = torch.tensor([i for i, group in enumerate(pictures) for _ in group])
                image_half.index_add_(0, owner.to(units.device), units)
                image_half = _unit(image_half)
        return list(torch.cat([image_half, text_half], dim=1).cpu().numpy())

    def load(self, identity: Mapping[str, Any]) -> tuple[Any, Any]:
        """The CLIP model and its processor."""
        from transformers import AutoModel, AutoProcessor

        revision = identity.get("commit")
        model = AutoModel.from_pretrained(identity["model"], revision=revision, dtype="auto")
        processor = AutoProcessor.from_pretrained(identity["model"], revision=revision)
        return model.to(self._device()).eval(), processor


@lru_cache(maxsize=32)
def _projection(model: str, commit: str | None, digest: str | None) -> int:
    """The width of one feature; ``digest`` only tells one state of a folder from the next."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(model, revision=commit).projection_dim)


def _unit(vectors: Any) -> Any:
    """Rows of unit length in float32; a zero row stays zero."""
    vectors = vectors.float()
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
