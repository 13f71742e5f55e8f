"""Error of the model's next-token probabilities (EL2N, arXiv 2107.07075)."""

from dataclasses import dataclass

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import whole


@dataclass(kw_only=True, eq=False)
class EL2NScorer(ResponseScorer):
    """EL2N: the L2 norm of (probabilities - one-hot token), averaged over the response tokens.

    Unofficial re-implementation of Paul et al. (arXiv 2107.07075, section 3) for language models; differences
    in docs/papers.md. A baseline of Self-Filter and of most comparisons since.

    Adds `el2n` (float32, 0 to the square root of 2, higher = harder), `el2n_status` and `el2n_reason`. Costs
    one forward per row. Arguments and errors are those of `NecessityScorer`.

    Examples:
        >>> scored = pool.map(EL2NScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "el2n"

    def value(self, stats: ViewStats) -> float:
        """The mean error norm."""
        return stats[whole].error_norm.double().mean().item()
