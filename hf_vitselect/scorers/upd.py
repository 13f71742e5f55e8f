"""Difficulty that is not mere uncertainty (D3, arXiv 2503.11441)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseSignals


class UPDScorer(ResponseScorer):
    """Uncertainty-based prediction difficulty: the difficulty of D3 (arXiv 2503.11441).

    Mean over the response tokens of `sigmoid(L) * max(0, 1 - H / log V)`: L is the token's negative
    log-likelihood, H the entropy of the distribution over the vocabulary, V its size. A token that the model
    gets wrong although it is sure counts most; one that it cannot know counts little.

    The formula is from documentation of another re-implementation; the paper's text was not read. D3 goes on
    with the product of this and a grade, and with the distance to the rows picked before:
    `Blend` with `product=True`, then `KCenter` with `weighted=True`.

    Adds `upd` (float32, 0 to 1, higher = harder), `upd_status` and `upd_reason`.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        processor, revision, dtype, batch_size, batch_tokens, max_length, end_of_turn,
            attn_implementation, torch_compile, trust_remote_code: as in `NecessityScorer`.

    Raises:
        ModelError: as in `NecessityScorer`.

    Example:
        >>> scored = pool.map(UPDScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward"

    signal = "upd"

    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The mean over the tokens."""
        row = losses[whole]
        certainty = (1 - row.entropy.double() / math.log(row.vocabulary)).clamp(min=0)
        return (row.nll.double().sigmoid() * certainty).mean().item()
