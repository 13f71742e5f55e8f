"""A CLIP model: loaded, and run for the unit features of a row's images and of its text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoProcessor

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pixels import image_error, refuse_resize
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.forward import full_precision
from hf_vitselect.models.weights import load_errors, load_whole

_PADS_TO_CONTEXT = {"siglip", "siglip2"}
"""Models trained on texts padded to their whole context, which read the last position."""


@dataclass(frozen=True)
class ClipFeatures:
    """The unit features of one row, each float32 of shape (projection,).

    `image` is the mean of the images' unit features made unit length, zero without image; `text` is that of
    the whole conversation, cut to the model's context.
    """

    image: np.ndarray
    text: np.ndarray


def feature_width(model: str, revision: str | None = None) -> int:
    """The length of one feature of a CLIP model, from its configuration alone."""
    with load_errors(model, what="a CLIP model"):
        config = AutoConfig.from_pretrained(model, revision=revision)
    kind = MODEL_MAPPING.get(type(config), None)
    text = getattr(config, "text_config", None)
    # SigLIP projects texts alone, to the image tower's own width.
    width = getattr(config, "projection_dim", None) or getattr(text, "projection_size", None)
    if not hasattr(kind, "get_text_features") or not hasattr(kind, "get_image_features") or width is None:
        raise ModelError(
            f"expected a CLIP or SigLIP model with an image and a text tower, got {model}, whose type is "
            f"{config.model_type!r}; name one such as openai/clip-vit-large-patch14"
        )
    return int(width)


class Clip:
    """A CLIP or SigLIP model with its processor, loaded from the Hub or a folder."""

    def __init__(self, model: str, *, revision: str | None = None, device: str = "cpu") -> None:
        feature_width(model, revision)
        loaded = load_whole(AutoModel, model, revision=revision, dtype="auto")
        self.model = loaded.to(device).eval()
        with load_errors(model, what="a CLIP model with its processor"):
            self.processor = AutoProcessor.from_pretrained(model, revision=revision)
        for part in ("tokenizer", "image_processor"):
            if not hasattr(self.processor, part):
                raise ModelError(
                    f"expected a CLIP model with a processor of texts and images, got {model}, whose "
                    f"{type(self.processor).__name__} has no {part}; save the model's processor there"
                )

    def features(
        self, rows: Sequence[Conversation | RowError], batch_size: int
    ) -> list[ClipFeatures | RowError]:
        """The features or error of every row; the images of a batch in one forward, its texts in another."""
        results: list[ClipFeatures | RowError] = []
        for start in range(0, len(rows), batch_size):
            batch = [self._prepare(row) for row in rows[start : start + batch_size]]
            good = [row for row in batch if not isinstance(row, RowError)]
            features = iter(self._forward(*zip(*good, strict=True)) if good else [])
            results += [row if isinstance(row, RowError) else _finite(next(features)) for row in batch]
        return results

    def _prepare(
        self, row: Conversation | RowError
    ) -> tuple[list[Mapping[str, torch.Tensor]], str] | RowError:
        """A row's images, prepared one by one so that a bad one fails its row alone, and its text."""
        if isinstance(row, RowError):
            return row
        try:
            return [self._pixels(image) for image in row.images], row.transcript
        except RowError as error:
            return error

    def _pixels(self, image: RowImage) -> Mapping[str, torch.Tensor]:
        decoded, processor = image.decode(), self.processor.image_processor
        refuse_resize(decoded, processor)
        with image_error(f"the processor refuses {decoded.width} x {decoded.height} pixels"):
            pixels: Mapping[str, torch.Tensor] = processor(decoded, return_tensors="pt")
            return pixels

    @torch.inference_mode()
    @full_precision()
    def _forward(
        self, images: Sequence[list[Mapping[str, torch.Tensor]]], texts: Sequence[str]
    ) -> list[ClipFeatures]:
        device = self.model.device
        # Not every tokenizer knows its model's context.
        context = self.model.config.text_config.max_position_embeddings
        padding = "max_length" if self.model.config.model_type in _PADS_TO_CONTEXT else "longest"
        tokens = self.processor.tokenizer(
            list(texts), padding=padding, truncation=True, max_length=context, return_tensors="pt"
        )
        text_features = _unit(self.model.get_text_features(**tokens.to(device)).pooler_output)
        image_features = torch.zeros_like(text_features)
        flat = [image for group in images for image in group]
        if flat:
            pixels = {key: torch.cat([image[key] for image in flat]).to(device) for key in flat[0]}
            units = _unit(self.model.get_image_features(**pixels).pooler_output)
            owner = torch.tensor([i for i, group in enumerate(images) for _ in group])
            image_features = _unit(image_features.index_add(0, owner.to(device), units))
        pairs = zip(image_features.cpu().numpy(), text_features.cpu().numpy(), strict=True)
        return [ClipFeatures(*pair) for pair in pairs]


def _finite(features: ClipFeatures) -> ClipFeatures | RowError:
    if np.isfinite(features.image).all() and np.isfinite(features.text).all():
        return features
    return RowError("non_finite", "the model's features are not all finite")


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of unit length in float32; a zero row stays zero."""
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
