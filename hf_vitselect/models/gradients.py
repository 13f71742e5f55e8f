"""How much one row would move a model: the norm of its loss's gradient."""

import math
from typing import TYPE_CHECKING

import torch

from hf_vitselect.errors import ModelError
from hf_vitselect.models.forward import full_precision, logits_at, run_forward

if TYPE_CHECKING:
    from hf_vitselect.models.encoded import Encoded
    from hf_vitselect.models.vlm import VLM


@full_precision()
def gradient_norm(vlm: "VLM", row: "Encoded") -> float:
    """Euclidean norm of the gradient of the mean response loss by all of the model's parameters.

    Costs a forward and a backward, and memory for one gradient of the model's size.
    """
    inputs, keep, targets = _inputs(vlm, row)
    with torch.enable_grad():
        logits = logits_at(vlm.model, vlm.model, inputs, keep)
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
        wanted = [parameter for parameter in vlm.model.parameters() if parameter.is_floating_point()]
        for parameter in wanted:
            parameter.requires_grad_(True)
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return math.sqrt(sum(float(part.double().square().sum()) for part in gradients if part is not None))


@torch.inference_mode()
@full_precision()
def output_gradient_norm(vlm: "VLM", row: "Encoded") -> float:
    """Euclidean norm of the gradient by the output layer's weights alone, from one forward.

    The gradient is the mean over tokens of an outer product: (probabilities - one-hot) times the layer's
    input. Its squared norm is a sum over pairs of tokens of products of two inner products, so the gradient
    itself, as large as the layer, is never built. The part of tied input embeddings is left out.
    """
    inputs, keep, targets = _inputs(vlm, row)
    output = run_forward(vlm.model, vlm.model, inputs, lambda states: states[keep].unsqueeze(0))
    logits = output.logits[0]
    if not torch.equal(output.raw[0].to(logits.dtype).nan_to_num(), logits.nan_to_num()):
        raise ModelError(
            "expected a model whose output layer is its last, got one that changes its logits after it; "
            "use parameters='all'"
        )
    errors = logits.double().softmax(-1)
    errors[torch.arange(len(targets)), targets] -= 1
    states = output.states[keep].double()
    squared = ((errors @ errors.T) * (states @ states.T)).sum() / len(targets) ** 2
    return squared.clamp(min=0).sqrt().item()


def _inputs(vlm: "VLM", row: "Encoded") -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """The model's inputs, the positions that predict response tokens, and these tokens."""
    inputs, response = vlm.forward.inputs([row])
    return inputs, response.roll(-1, dims=1), inputs["input_ids"][response]
