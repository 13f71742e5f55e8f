"""A model's own forward, with an output layer that sees few positions, and with compiled layers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch


class Run(NamedTuple):
    """What one forward came to.

    Attributes:
        states: what reached the output layer, shape (rows, L, hidden size).
        raw: what left it, for the positions that were picked.
        logits: what the model made of that.
    """

    states: torch.Tensor
    raw: torch.Tensor
    logits: torch.Tensor


@contextmanager
def full_precision() -> Iterator[None]:
    """Keeps float32 operations on a GPU in float32.

    By default cuDNN's convolutions, and so the first layer of a vision tower, round to TF32: enough to move a
    row's loss by 1e-4. Trainers lower the precision of products too, for the whole process. Scoring undoes
    both while it runs; training keeps what its arguments say.
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
) -> Run:
    """A forward whose output layer sees only what is picked of the states.

    Args:
        model: whose output layer it is.
        forward: what to call with the inputs, the model or one of its methods.
        inputs: without labels.
        pick: from states of shape (rows, L, hidden size) to the same with fewer positions.
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
    return Run(states, raw, logits)


def logits_at(
    model: Any, forward: Callable[..., Any], inputs: Mapping[str, torch.Tensor], keep: torch.Tensor
) -> torch.Tensor:
    """A model's own forward, whose output layer sees only the kept positions.

    A hook before the output layer serves every architecture, and whatever the model does to its
    logits afterwards (scaling, soft capping) still happens.

    Args:
        model, forward, inputs: as in `run_forward`.
        keep: bool of the shape of `input_ids`.

    Returns:
        Shape (kept, vocabulary).
    """
    return run_forward(model, forward, inputs, lambda states: states[keep].unsqueeze(0)).logits[0]


def compile_layers(model: Any) -> None:
    """Compiles the language model's layers one by one, so that all share a few graphs, for any length.

    Not the vision tower's: some make a new graph for every number of pictures.
    """
    # The layers of all models are called through one function of transformers, whose graphs are counted
    # together; past the limit layers would run as they are, without a word.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    for layers in model.get_decoder().modules():
        if isinstance(layers, torch.nn.ModuleList):
            for layer in layers:
                layer.compile(dynamic=True)
