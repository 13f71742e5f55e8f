"""What the scorers of a vision-language model's losses have in common."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datasets import Features, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.views import View
from hf_vitselect.scorers.base.vlm import VLMScorer

if TYPE_CHECKING:
    from hf_vitselect.models.encoding import EndOfTurn
    from hf_vitselect.models.token_stats import ResponseSignals
    from hf_vitselect.models.vlm import VLM

_FLOAT32_MAX = 3.4028234663852886e38


class ResponseScorer(VLMScorer):
    """One number from the losses of the response tokens under one or several views of the row.

    Response tokens are what SFT supervises: every assistant turn and its end-of-turn token. A subclass
    gives its `signal`, its `views` and their `value`; `score` runs the forward of a view once for all
    subclasses with the same model and settings.

    Adds its column (float32) and the column's status.

    Args:
        column: name of the main column; the signal's own if None.
        model, processor, revision, dtype, batch_size, batch_tokens, max_length, end_of_turn,
            attn_implementation, torch_compile, trust_remote_code: as in `NecessityScorer`.

    Raises:
        ModelError: as in `NecessityScorer`.
        ValueError: if a forward could hold nothing.
    """

    def __init__(
        self,
        model: str,
        *,
        column: str | None = None,
        processor: Any = None,
        revision: str | None = None,
        dtype: str = "auto",
        batch_size: int = 8,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        end_of_turn: "EndOfTurn" = "auto",
        attn_implementation: str | None = None,
        torch_compile: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__(
            model,
            column=column,
            processor=processor,
            revision=revision,
            dtype=dtype,
            max_length=max_length,
            end_of_turn=end_of_turn,
            trust_remote_code=trust_remote_code,
        )
        sizes = {"batch_size": batch_size, "batch_tokens": batch_tokens, "max_length": max_length}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(f"{name}: expected 1 or more, got {size}")
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.attn_implementation = attn_implementation
        self.torch_compile = torch_compile

    @property
    def values(self) -> Features:
        """The score."""
        return Features({self.column: Value("float32")})

    @abstractmethod
    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The row's number.

        Args:
            losses: of each of `views`, over the same response tokens, at least one; their means are finite.

        Raises:
            ArithmeticError: if there is none, which is `non_finite`, as are infinity and NaN.
        """

    def measure(self, rows: Sequence[Conversation | RowError]) -> list["ResponseSignals | RowError"]:
        """The losses of the response tokens, in batches of rows of similar length."""
        vlm: VLM = self.loaded
        return vlm.score(rows, None if self.batch_tokens else self.batch_size, self.batch_tokens)

    def row_values(self, results: Mapping[View, "ResponseSignals"]) -> tuple[Any, ...]:
        """The number."""
        tokens = {len(losses.nll) for losses in results.values()}
        if 0 in tokens:
            raise RowError("no_response", "no token of the answer has a prediction")
        if len(tokens) > 1:
            # A template that puts nothing between question and answer may let one token hold some of both.
            raise RowError(
                "bad_row", f"the views have different numbers of response tokens, {sorted(tokens)}"
            )
        if not all(math.isfinite(losses.mean) for losses in results.values()):
            raise RowError("non_finite", "the losses are not all finite")
        try:
            value = self.value(results)
        except ArithmeticError as error:
            raise RowError("non_finite", str(error)) from error
        if not abs(value) <= _FLOAT32_MAX:
            raise RowError("non_finite", f"{value} is not finite as float32")
        return (value,)

    def load_options(self) -> dict[str, Any]:
        """The kernels."""
        return {"attn_implementation": self.attn_implementation, "torch_compile": self.torch_compile}
