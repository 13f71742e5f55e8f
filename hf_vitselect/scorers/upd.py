"""Difficulty that is not mere uncertainty (D3, arXiv 2503.11441)."""

import math
from dataclasses import dataclass

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import whole


@dataclass(kw_only=True, eq=False)
class UPDScorer(ResponseScorer):
    """Uncertainty-based prediction difficulty: the loss of the response tokens where the model was sure.

    Mean over the response tokens of `sigmoid(L) * max(0, 1 - H / log V)`: L is the token's negative
    log-likelihood, H the entropy of the distribution over the vocabulary, V the vocabulary's size. A token
    counts most if the model is sure and wrong, and little if nobody could know it.

    Unofficial re-implementation of D3's difficulty (arXiv 2503.11441); differences in docs/papers.md. D3
    multiplies it by a grade and weighs rows by their distance to earlier picks: `Blend` with `product=True`,
    then `KCenter` with `weighted=True`.

    Adds `upd` (float32, 0 to 1, higher = harder), `upd_status` and `upd_reason`. Costs one forward per row.
    Arguments and errors are those of `NecessityScorer`.

    Examples:
        >>> scored = pool.map(UPDScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "upd"

    def value(self, stats: ViewStats) -> float:
        """The mean over the tokens."""
        row = stats[whole]
        certainty = (1 - row.entropy.double() / math.log(row.vocabulary)).clamp(min=0)
        return (row.nll.double().sigmoid() * certainty).mean().item()
