"""How wrong the model's probabilities are (EL2N, arXiv 2107.07075)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseSignals


class EL2NScorer(ResponseScorer):
    """The error L2 norm: mean over the response tokens of the length of (probabilities - one-hot token).

    The paper (Paul et al., arXiv 2107.07075, section 3) scores one prediction of a classifier, averaged over
    some ten models early in training; the mean over a response's tokens is how later work takes it to
    language models, and here it is one model. It is a baseline of Self-Filter and of most tables since.

    Adds `el2n` (float32, 0 to the square root of 2, higher = harder), `el2n_status` and `el2n_reason`.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        processor, revision, dtype, batch_size, batch_tokens, max_length, end_of_turn,
            attn_implementation, torch_compile, trust_remote_code: as in `NecessityScorer`.

    Raises:
        ModelError: as in `NecessityScorer`.

    Example:
        >>> scored = pool.map(EL2NScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward"

    signal = "el2n"

    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The mean error norm."""
        return losses[whole].error_norm.double().mean().item()
