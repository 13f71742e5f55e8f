"""A smaller model of the same weights: without the deepest decoder layers but the last."""

from copy import deepcopy
from typing import Any

import torch

from hf_vitselect.errors import ModelError

KEPT = "kept_layers"
"""Where the configuration says which decoder layers of the larger model it has."""


_OF_PLACE_OR_RUN = ("layer_idx", "training", "gradient_checkpointing")


def keep_layers(model: Any, count: int) -> Any:
    """Return the model with `count` decoder layers: its first `count - 1` and its last.

    These can be left out at little cost if the rest is fine-tuned (The Unreasonable Ineffectiveness of the
    Deeper Layers, arXiv 2403.17887). The weights are those of the given model, not copies.

    Raises:
        ModelError: if the model has fewer layers, or none that can be left out.
    """
    layers, prefix = _decoder_layers(model)
    total = len(layers)
    if not 1 <= count <= total:
        raise ModelError(f"layers: expected 1 to {total}, the decoder layers of the model, got {count}")
    if count == total:
        return model
    kept = [*range(count - 1), total - 1]
    names = {f"{prefix}.{new}.": f"{prefix}.{old}." for new, old in enumerate(kept)}

    def name_in_whole(name: str) -> str:
        start = next((start for start in names if name.startswith(start)), "")
        return names.get(start, "") + name.removeprefix(start)

    whole = {**model.state_dict(keep_vars=True), **dict(model.named_buffers())}
    trained = {name: weight.requires_grad for name, weight in model.named_parameters()}
    try:
        # Built anew, so that each layer knows its new place just as it does when the saved model is loaded.
        with torch.device("meta"):
            smaller = type(model)._from_config(_config_with(model.config, kept), dtype=model.dtype)
        smaller.load_state_dict(
            {name: whole[name_in_whole(name)] for name in smaller.state_dict()}, assign=True
        )
        for name, _ in list(smaller.named_buffers()):
            module, _, last = name.rpartition(".")
            setattr(smaller.get_submodule(module), last, whole[name_in_whole(name)])
        for old, new in zip(kept, smaller.get_submodule(prefix), strict=True):
            _refuse_change(layers[old], new)
    except Exception as error:  # configurations raise what they like
        raise ModelError(
            f"expected a model that works with fewer layers, got {type(model).__name__}: {error}; leave "
            "`layers` out"
        ) from error
    for name, weight in smaller.named_parameters():
        weight.requires_grad_(trained[name_in_whole(name)])
    smaller.generation_config = model.generation_config
    return smaller.train(model.training)


def _decoder_layers(model: Any) -> tuple[torch.nn.ModuleList, str]:
    """The layers of the decoder and their name."""
    decoder = model.get_decoder().base_model
    layers = getattr(decoder, "layers", None)
    lists = [module for module in decoder.children() if isinstance(module, torch.nn.ModuleList)]
    expected = model.config.get_text_config(decoder=True).num_hidden_layers
    if len(lists) != 1 or lists[0] is not layers or len(layers) != expected:
        raise ModelError(
            f"expected a decoder with one list of layers, got {type(model).__name__}; leave `layers` out"
        )
    return layers, next(name for name, module in model.named_modules() if module is layers)


def _refuse_change(layer: torch.nn.Module, rebuilt: torch.nn.Module) -> None:
    """Refuse a layer that its new place made another one, such as one with another attention window."""
    before, after = _settings(layer), _settings(rebuilt)
    if changed := [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]:
        raise ValueError(f"the place of a layer decides on its {', '.join(sorted(changed))}")


def _settings(layer: torch.nn.Module) -> dict[str, Any]:
    """The plain values that the modules of a layer hold."""
    return {
        f"{name}.{key}".lstrip("."): value
        for name, module in layer.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (int, float, str)) and not key.startswith("_") and key not in _OF_PLACE_OR_RUN
    }


def _config_with(config: Any, kept: list[int]) -> Any:
    """The configuration of a model with these layers, in what it says of each layer, too."""
    smaller = deepcopy(config)
    text = smaller.get_text_config(decoder=True)
    total, text.num_hidden_layers = text.num_hidden_layers, len(kept)
    for name, value in vars(text).items():
        if isinstance(value, list) and len(value) == total:
            setattr(text, name, [value[layer] for layer in kept])
    before = getattr(config, KEPT, range(total))
    setattr(smaller, KEPT, [before[layer] for layer in kept])
    type(smaller).from_dict(smaller.to_dict())  # raises if it could not be read again
    return smaller
