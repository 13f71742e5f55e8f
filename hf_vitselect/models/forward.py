"""A model's own forward: with few positions in the output layer, in full precision, with compiled layers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

_VOCABULARY = 16_384
"""Rows of an output layer that exist in float32 at the same time."""


class ForwardOutput(NamedTuple):
    """The results of one forward.

    `states` are the output layer's input, shape (rows, L, hidden size), and `raw` its output for the picked
    positions; `logits` are the model's output there, which may differ from `raw`.
    """

    states: torch.Tensor
    raw: torch.Tensor
    logits: torch.Tensor


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep float32 operations on a GPU in float32.

    By default cuDNN's convolutions, and so the first layer of a vision tower, round to TF32, which changes a
    row's loss by up to 1e-4. Trainers also lower the precision of products for the whole process. Scoring
    undoes both while it runs; training keeps what its arguments say.
    """
    operations = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [operation.fp32_precision for operation in operations]
    try:
        for operation in operations:
            operation.fp32_precision = "ieee"
        yield
    finally:
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision


def run_forward(
    model: Any,
    forward: Callable[..., Any],
    inputs: Mapping[str, torch.Tensor],
    pick: Callable[[torch.Tensor], torch.Tensor],
) -> ForwardOutput:
    """Run a forward of `model`, or one of its methods, whose output layer sees only some positions.

    `pick` takes these from states of shape (rows, L, hidden size). A hook before the output layer serves
    every architecture, and whatever the model does to its logits afterwards (scaling, soft capping) still
    happens.
    """
    seen: list[torch.Tensor] = []

    def before(_: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        seen.append(arguments[0])
        return (pick(arguments[0]), *arguments[1:])

    head = model.get_output_embeddings()
    handles = [
        head.register_forward_pre_hook(before),
        head.register_forward_hook(lambda *call: seen.append(call[2])),
    ]
    try:
        logits = forward(**inputs, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    states, raw = seen
    return ForwardOutput(states, raw, logits)


def logits_at(
    model: Any, forward: Callable[..., Any], inputs: Mapping[str, torch.Tensor], keep: torch.Tensor
) -> torch.Tensor:
    """The logits of a forward at the positions of the mask `keep`, of shape (kept, vocabulary)."""
    return run_forward(model, forward, inputs, lambda states: states[keep].unsqueeze(0)).logits[0]


def output_logits(head: torch.nn.Module, states: torch.Tensor) -> torch.Tensor:
    """The logits of states of shape (tokens, hidden size).

    In half precision, rounding the logits costs a loss more digits than all layers before, so a plain output
    layer is applied in float32. One with an adapter, quantized or offloaded weights is called as it is.
    Where a model changes the logits afterwards, scoring uses the model's own.
    """
    if type(head) is not torch.nn.Linear or not _is_plain_half(head.weight):
        logits: torch.Tensor = head(states)
        return logits
    states = states.float()
    parts = torch.split(head.weight, _VOCABULARY)
    logits = torch.cat([states @ part.float().T for part in parts], dim=-1)
    return logits if head.bias is None else logits + head.bias.float()


def _is_plain_half(weight: torch.Tensor) -> bool:
    """Whether these are weights in half precision, in memory and no subclass, as quantized ones may be."""
    plain = type(weight) in (torch.Tensor, torch.nn.Parameter) and not weight.is_meta
    return plain and weight.dtype in (torch.bfloat16, torch.float16)


def compile_layers(model: Any) -> None:
    """Compile the language model's layers one by one, so that all share a few graphs, for any length.

    The vision tower stays as it is: some make a new graph for every number of images.
    """
    # The layers of all models are called through one function of transformers, whose graphs are counted
    # together; past the limit layers would silently run uncompiled.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    for layers in model.get_decoder().modules():
        if isinstance(layers, torch.nn.ModuleList):
            for layer in layers:
                layer.compile(dynamic=True)
