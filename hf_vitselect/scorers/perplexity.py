"""Perplexity of the response: necessity on the scale that most papers' baselines use."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseSignals


class PerplexityScorer(ResponseScorer):
    """The exponential of the response's mean negative log-likelihood, picture and question given.

    The baseline "PPL" of many selection papers. It puts rows in the order of `NecessityScorer`, so rules
    that only rank pick the same rows; a rule that weighs scores, as `NeighborPenalty` does, need not. It is
    a re-implementation: the papers seldom say which tokens they count, and here it is every response token.

    Adds `perplexity` (float32, at least 1, higher = harder; `non_finite` above 3.4e38),
    `perplexity_status` and `perplexity_reason`.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        processor, revision, dtype, batch_size, batch_tokens, max_length, end_of_turn,
            attn_implementation, torch_compile, trust_remote_code: as in `NecessityScorer`.

    Raises:
        ModelError: as in `NecessityScorer`.

    Example:
        >>> scored = pool.map(PerplexityScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward"

    signal = "perplexity"

    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The exponential of the mean loss."""
        return math.exp(losses[whole].mean)
