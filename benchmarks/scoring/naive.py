"""The loop that published code runs: one row at a time, logits of every token."""

from typing import Any

import torch

from hf_vitselect.data import Conversation
from hf_vitselect.models import Encoder


@torch.inference_mode()
def mean_loss(model: Any, encoder: Encoder, row: Conversation) -> float:
    """The mean loss of the response, by the model's own loss over labels."""
    encoded = encoder.encode(row)
    labels = encoded.inputs["input_ids"].masked_fill(~encoded.response, -100)
    inputs = {
        key: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for key, value in encoded.inputs.items()
    }
    return float(model(**inputs, labels=labels.to(model.device), use_cache=False).loss)
