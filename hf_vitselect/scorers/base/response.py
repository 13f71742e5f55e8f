"""Scorers of the losses of a vision-language model."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from datasets import Features, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.views import View
from hf_vitselect.scorers.base.vlm import VLMScorer

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseStats
    from hf_vitselect.models.vlm import VLM

ViewStats: TypeAlias = "Mapping[View, ResponseStats]"
"""The statistics of a row's response under each view."""

_FLOAT32_MAX = 3.4028234663852886e38


@dataclass(kw_only=True, eq=False)
class ResponseScorer(VLMScorer):
    """One number per row from the losses of its response tokens, under one or several views of the row.

    Response tokens are what SFT supervises: the text of every assistant turn and its end-of-turn token. A
    subclass gives `column` a default and defines its `views` and their `value`.
    """

    cost = "1 forward"

    @property
    def values(self) -> Features:
        """The score."""
        return Features({self.column: Value("float32")})

    @abstractmethod
    def value(self, stats: ViewStats) -> float:
        """The row's number, from the finite losses of the same response tokens under each of `views`.

        Infinity, NaN and an ArithmeticError give the row the status `non_finite`.
        """

    def forward(self, rows: Sequence[Conversation | RowError]) -> list["ResponseStats | RowError"]:
        """The statistics of every row's response tokens, in batches of rows of similar length."""
        vlm: VLM = self.loaded
        return vlm.score(rows, None if self.batch_tokens else self.batch_size, self.batch_tokens)

    def row_values(self, results: ViewStats) -> tuple[Any, ...]:
        """The number."""
        tokens = {len(stats.nll) for stats in results.values()}
        if 0 in tokens:
            raise RowError("no_response", "no token of the answer has a prediction")
        if len(tokens) > 1:
            # Without anything between question and answer, the template may let one token hold some of both.
            raise RowError(
                "bad_row", f"the views have different numbers of response tokens, {sorted(tokens)}"
            )
        if not all(math.isfinite(stats.mean) for stats in results.values()):
            raise RowError("non_finite", "the losses are not all finite")
        try:
            value = self.value(results)
        except ArithmeticError as error:
            raise RowError("non_finite", str(error)) from error
        if not abs(value) <= _FLOAT32_MAX:
            raise RowError("non_finite", f"{value} is not finite as float32")
        return (value,)
