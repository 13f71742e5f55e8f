"""Weights that training keeps: the vision encoder of a seed model, and what a model card says of it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel

from hf_vitselect.errors import ModelError

_PROJECTORS = ("merger", "connector", "projector")
"""Parts of the names of projectors, which some models keep inside the vision encoder."""


@contextmanager
def frozen_vision(model: Any) -> Iterator[None]:
    """Freeze the vision encoder inside the context alone."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    encoder = _vision_encoder(inner)
    frozen = []
    if encoder is not None:
        frozen = [
            parameter
            for name, parameter in encoder.named_parameters()
            if parameter.requires_grad and not any(part in name for part in _PROJECTORS)
        ]
    elif getattr(inner.config, "vision_config", None) is not None:
        warnings.warn(
            f"expected a vision encoder to freeze, transformers finds none in {type(inner).__name__}: the "
            "seed model is trained as a whole; freeze what you want to keep and pass freeze_vision=False",
            stacklevel=4,
        )
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        if frozen and not any(parameter.requires_grad for parameter in model.parameters()):
            raise ModelError(
                "expected something to train besides the vision encoder; pass freeze_vision=False"
            )
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _vision_encoder(model: Any) -> Any:
    """The vision encoder, or None: no vision, an unusual name, or an encoder that also reads the text."""
    encoder = model.get_encoder(modality="image")
    if encoder is None or any(module is model.get_input_embeddings() for module in encoder.modules()):
        return None
    return encoder


def frozen_modules(model: torch.nn.Module) -> list[str]:
    """The names of the largest modules that have weights, none of which is trained."""
    frozen: list[str] = []
    for name, module in model.named_modules():  # the outer ones first
        is_frozen = {weight.requires_grad for weight in module.parameters()} == {False}
        if is_frozen and not any(name.startswith(f"{outer}.") for outer in frozen):
            frozen.append(name)
    return frozen
