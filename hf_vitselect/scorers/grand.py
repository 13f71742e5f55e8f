"""How much a row would move the model (GraNd, arXiv 2107.07075)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from datasets import Features, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.views import View, whole
from hf_vitselect.scorers.base.vlm import VLMScorer


class GraNdScorer(VLMScorer):
    """The gradient norm: length of the gradient of the row's mean response loss.

    The paper (Paul et al., arXiv 2107.07075, section 2) takes the expectation over models early in training;
    here it is one model. By all parameters it costs a forward and a backward a row and memory for one
    gradient as large as the model, so it is for small models; by the output layer alone (tied input part left
    out) it costs a forward.

    Adds `grand` (float32, 0 or more, higher = harder), `grand_status` and `grand_reason`. Rows are
    taken one by one.

    Args:
        model: the model, a Hub id or a folder.
        parameters: `"all"`, exact, or `"last_layer"`.
        column, processor, revision, dtype, max_length, end_of_turn, trust_remote_code: as in
            `NecessityScorer`.

    Raises:
        ModelError: at the first row, if the processor has no chat template or a slow tokenizer, or under
            `"last_layer"` if the model changes its logits after that layer.
        ValueError: if `parameters` is neither.

    Example:
        >>> scored = pool.map(GraNdScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward, or 1 forward and 1 gradient"
    signal = "grand"

    def __init__(
        self,
        model: str,
        *,
        parameters: Literal["all", "last_layer"] = "last_layer",
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if parameters not in ("all", "last_layer"):
            raise ValueError(f"parameters: expected 'all' or 'last_layer', got {parameters!r}")
        self.parameters = parameters

    @property
    def values(self) -> Features:
        """The score."""
        return Features({self.column: Value("float32")})

    def measure(self, rows: Sequence[Conversation | RowError]) -> list[float | RowError]:
        """The gradient norm of every row."""
        from hf_vitselect.models.gradients import gradient_norm, output_gradient_norm

        norm, vlm = gradient_norm if self.parameters == "all" else output_gradient_norm, self.loaded
        found: list[float | RowError] = []
        for row in rows:
            try:
                if isinstance(row, RowError):
                    raise row
                encoded = vlm.encoder.encode(row)
                if not encoded.response[0, 1:].any():
                    raise RowError("no_response", "no token of the answer has a prediction")
                found.append(norm(vlm, encoded))
            except RowError as error:
                found.append(error)
        return found

    def row_values(self, results: Mapping[View, float]) -> tuple[Any, ...]:
        """The norm, if it is finite."""
        if not math.isfinite(results[whole]):
            raise RowError("non_finite", "the gradient is not finite")
        return (results[whole],)
