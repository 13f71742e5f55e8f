"""Error of the model's next-token probabilities (EL2N, arXiv 2107.07075)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseStats


@dataclass(kw_only=True, eq=False)
class EL2NScorer(ResponseScorer):
    """EL2N: the L2 norm of (probabilities - one-hot token), averaged over the response tokens.

    Unofficial re-implementation of Paul et al. (arXiv 2107.07075, section 3) for language models; differences
    in docs/papers.md. A baseline of Self-Filter and of most comparisons since.

    Adds `el2n` (float32, 0 to the square root of 2, higher = harder), `el2n_status` and `el2n_reason`. Costs
    one forward per row.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        **options: as in `ModelOptions`.

    Raises:
        ModelError: as in `NecessityScorer`.

    Example:
        >>> scored = pool.map(EL2NScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "el2n"

    def value(self, stats: Mapping[View, "ResponseStats"]) -> float:
        """The mean error norm."""
        return stats[whole].error_norm.double().mean().item()
