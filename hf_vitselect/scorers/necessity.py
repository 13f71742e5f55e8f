"""Necessity: how badly the seed model answers a row (MLLM-Selector, arXiv 2503.20502)."""

from dataclasses import dataclass
from typing import Any

from datasets import Features, Value

from hf_vitselect.scorers.base.response import ResponseScorer, ViewStats
from hf_vitselect.scorers.base.views import whole


@dataclass(kw_only=True, eq=False)
class NecessityScorer(ResponseScorer):
    """Mean negative log-likelihood of the response under a seed model, given images and instruction.

    Unofficial re-implementation of the necessity score of MLLM-Selector (arXiv 2503.20502); differences in
    docs/papers.md. Response tokens are what SFT supervises: the text of every assistant turn and its
    end-of-turn token.

    Adds `necessity` (float32, nats per response token, at least 0, higher = more needed), `response_tokens`
    (int32), `necessity_status` and `necessity_reason`. Any other `column` is the prefix of all: `x`,
    `x_response_tokens`, `x_status`, `x_reason`. Costs one forward per row. Options of `ModelOptions` are
    keywords too: `dtype`, `batch_size`, `processor`, ...

    Args:
        model: the seed model, a Hub id or a folder; loaded at the first row.
        column: name of the main column.

    Raises:
        ModelError: at the first row, if the model cannot be loaded or lacks weights, the processor has no
            chat template or a slow tokenizer, or does not fit the model, or the layers cannot be compiled.
        ValueError: if an option has no such value.

    Examples:
        >>> scored = pool.map(NecessityScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "necessity"

    @property
    def values(self) -> Features:
        """The score and the number of response tokens."""
        return Features({self.column: Value("float32"), self._tokens: Value("int32")})

    def value(self, stats: ViewStats) -> float:
        """The mean loss."""
        return stats[whole].mean

    def row_values(self, results: ViewStats) -> tuple[Any, ...]:
        """The score and the number of response tokens."""
        return (*super().row_values(results), len(results[whole].nll))

    @property
    def _tokens(self) -> str:
        return "response_tokens" if self.column == "necessity" else f"{self.column}_response_tokens"
