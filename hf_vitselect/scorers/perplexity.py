"""Perplexity of the response: necessity on the scale of most papers' baselines."""

import math
from dataclasses import dataclass

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import whole


@dataclass(kw_only=True, eq=False)
class PerplexityScorer(ResponseScorer):
    """Perplexity of the response: the exponential of its mean negative log-likelihood in nats.

    The baseline "PPL" of many selection papers; differences in docs/papers.md. It ranks rows as
    `NecessityScorer` does, so a rule that only ranks picks the same rows. A rule that weighs scores, such as
    `NeighborPenalty`, need not.

    Adds `perplexity` (float32, at least 1, higher = harder; `non_finite` above 3.4e38), `perplexity_status`
    and `perplexity_reason`. Costs one forward per row. Arguments and errors are those of `NecessityScorer`.

    Examples:
        >>> scored = pool.map(PerplexityScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "perplexity"

    def value(self, stats: ViewStats) -> float:
        """The exponential of the mean loss."""
        return math.exp(stats[whole].mean)
