"""A smaller model of the same weights: without its deepest decoder layers, except the last."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch

from hf_vitselect.errors import ModelError

KEPT = "kept_layers"
"""Where the configuration says which decoder layers of the larger model it has."""

_OF_POSITION_OR_RUN = ("layer_idx", "training", "gradient_checkpointing")


def keep_layers(model: Any, count: int, inputs: Mapping[str, torch.Tensor]) -> Any:
    """Return the model with `count` decoder layers: its first `count - 1` and its last.

    The deepest layers but the last can be left out at little cost if the rest is fine-tuned (The Unreasonable
    Ineffectiveness of the Deeper Layers, arXiv 2403.17887). The weights are those of the given model, not
    copies. One forward of each model shows that the smaller one computes what the layers it kept compute.

    Args:
        model: a whole model.
        count: the layers to keep.
        inputs: those of one row, with an image if there are any.

    Raises:
        ModelError: if the model has fewer layers, or does not work without some of them.
    """
    layers, prefix = _decoder_layers(model)
    total = len(layers)
    if not 1 <= count <= total:
        raise ModelError(f"layers: expected 1 to {total}, the decoder layers of the model, got {count}")
    if count == total:
        return model
    kept = [*range(count - 1), total - 1]
    trained = {name: weight.requires_grad for name, weight in model.named_parameters()}
    try:
        smaller = _rebuilt(model, kept, prefix)
        for old, new in zip(kept, smaller.get_submodule(prefix), strict=True):
            _refuse_change(layers[old], new)
        _refuse_other_logits(model, smaller, [layers[i] for i in range(total) if i not in kept], inputs)
    except Exception as error:  # configurations raise what they like
        raise ModelError(
            f"expected a model that works with fewer layers, got {type(model).__name__}: {error}; leave "
            "`layers` out"
        ) from error
    finally:
        for name, weight in model.named_parameters():
            weight.requires_grad_(trained[name])
    smaller.generation_config = model.generation_config
    return smaller.train(model.training)


def warn_without_layers(model: Any) -> None:
    """Warn of a model that was made smaller to score."""
    config = model.config
    if kept := getattr(config, KEPT, None):
        warnings.warn(
            f"{config.name_or_path} has only {len(kept)} of the decoder layers of a larger model: a seed "
            "model made with `layers` is made to score, and the larger one may learn more",
            stacklevel=3,
        )


def _decoder_layers(model: Any) -> tuple[torch.nn.ModuleList, str]:
    """The layers of the decoder and their name."""
    decoder = model.get_decoder().base_model
    lists = {name: part for name, part in decoder._modules.items() if isinstance(part, torch.nn.ModuleList)}
    layers = lists.get("layers")
    expected = model.config.get_text_config(decoder=True).num_hidden_layers
    if layers is None or len(lists) > 1 or len(layers) != expected:
        raise ModelError(
            f"expected a decoder with one list of layers, got {type(model).__name__}; leave `layers` out"
        )
    return layers, next(name for name, module in model.named_modules() if module is layers)


def _rebuilt(model: Any, kept: Sequence[int], prefix: str) -> Any:
    """The smaller model, built anew: each layer knows its position as it does when the model is loaded."""
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        raise ValueError("it lies on several devices")
    with torch.device("meta"):
        smaller = type(model)._from_config(_config_with(model.config, kept), dtype=model.dtype)
    names = {f"{prefix}.{new}.": f"{prefix}.{old}." for new, old in enumerate(kept)}

    def name_in_whole(name: str) -> str:
        start = next((start for start in names if name.startswith(start)), "")
        return names.get(start, "") + name.removeprefix(start)

    whole = {**model.state_dict(keep_vars=True), **dict(model.named_buffers())}
    buffers = [name for name, _ in smaller.named_buffers()]
    used = {name_in_whole(name) for name in (*smaller.state_dict(), *buffers)}
    unused = {name for name in whole.keys() - used if not name.startswith(f"{prefix}.")}
    if differ := sorted((used - whole.keys()) | unused):
        raise ValueError(f"it then has other weights, such as {differ[0]}")
    smaller.load_state_dict({name: whole[name_in_whole(name)] for name in smaller.state_dict()}, assign=True)
    for name in buffers:
        module, _, last = name.rpartition(".")
        setattr(smaller.get_submodule(module), last, whole[name_in_whole(name)])
    return smaller


def _config_with(config: Any, kept: Sequence[int]) -> Any:
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


def _refuse_change(layer: torch.nn.Module, rebuilt: torch.nn.Module) -> None:
    """Refuse a layer that its new position changed, such as one with another attention window."""
    before, after = _settings(layer), _settings(rebuilt)
    if changed := [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]:
        raise ValueError(f"{', '.join(sorted(changed))} of a layer would change with its position")


def _settings(layer: torch.nn.Module) -> dict[str, Any]:
    """The plain values that the modules of a layer hold."""
    return {
        f"{name}.{key}".lstrip("."): value
        for name, module in layer.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (int, float, str)) and not key.startswith("_") and key not in _OF_POSITION_OR_RUN
    }


@torch.no_grad()
def _refuse_other_logits(
    model: Any, smaller: Any, left_out: Sequence[torch.nn.Module], inputs: Mapping[str, torch.Tensor]
) -> None:
    """Refuse a model whose decoder counts layers, such as one that adds images behind some of them."""
    inputs = {name: values.to(model.device) for name, values in inputs.items()}
    with _in_evaluation(model), _in_evaluation(smaller), _skipped(left_out):
        expected, got = (each(**inputs, use_cache=False).logits for each in (model, smaller))
    tolerance = max(1e-4, 2 * torch.finfo(expected.dtype).eps) * float(expected.abs().max())
    if float((got - expected).abs().max()) > tolerance:
        raise ValueError("what it computes depends on the number of layers in another way")


@contextmanager
def _in_evaluation(model: Any) -> Iterator[None]:
    """Switch dropout off inside the context."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _skipped(layers: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Let these layers return what they are given."""

    def unchanged(_: Any, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        given = args[0] if args else named["hidden_states"]
        return (given, *output[1:]) if isinstance(output, tuple) else given

    hooks = [layer.register_forward_hook(unchanged, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
