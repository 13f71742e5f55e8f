"""How much a row would move the model (GraNd, arXiv 2107.07075)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from datasets import Features, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.scorers.base.views import View, whole
from hf_vitselect.scorers.base.vlm import VLMScorer

if TYPE_CHECKING:
    from hf_vitselect.models.vlm import VLM


@dataclass(kw_only=True, eq=False)
class GraNdScorer(VLMScorer):
    """GraNd: the L2 norm of the gradient of the row's mean response loss.

    Unofficial re-implementation of Paul et al. (arXiv 2107.07075, section 2); differences in docs/papers.md.
    Over all parameters a row costs a forward and a backward, and memory for one gradient as large as the
    model, so it suits small models. Over the output layer alone (without the tied input embeddings) a row
    costs one forward. Rows are taken one at a time.

    Adds `grand` (float32, at least 0, higher = harder), `grand_status` and `grand_reason`. Options of
    `ModelOptions` are keywords too, except for batch sizes, attention kernel and compilation.

    Args:
        model: the model, a Hub id or a folder.
        column: name of the main column.
        parameters: `"all"`, exact, or `"last_layer"`.

    Raises:
        ModelError: at the first row, if the processor has no chat template or a slow tokenizer, or under
            `"last_layer"` if the model changes its logits after that layer.
        ValueError: if `parameters` is unknown.

    Examples:
        >>> scored = pool.map(GraNdScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    column: str = "grand"
    # Options that make no difference here. Left at their defaults they are not in the recipe either.
    batch_size: int = field(default=1, init=False)
    batch_tokens: int | None = field(default=None, init=False)
    attn_implementation: str | None = field(default=None, init=False)
    torch_compile: bool = field(default=False, init=False)
    parameters: Literal["all", "last_layer"] = "last_layer"

    cost = "1 forward, or 1 forward and 1 gradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parameters not in ("all", "last_layer"):
            raise ValueError(f"parameters: expected 'all' or 'last_layer', got {self.parameters!r}")

    @property
    def values(self) -> Features:
        """The score."""
        return Features({self.column: Value("float32")})

    def forward(self, rows: Sequence[Conversation | RowError]) -> list[float | RowError]:
        """The gradient norm of every row."""
        vlm: VLM = self.loaded
        return [row if isinstance(row, RowError) else self._norm_or_error(vlm, row) for row in rows]

    def _norm_or_error(self, vlm: "VLM", row: Conversation) -> float | RowError:
        from hf_vitselect.models.gradients import gradient_norm, output_gradient_norm

        norm = gradient_norm if self.parameters == "all" else output_gradient_norm
        try:
            encoded = vlm.encoder.encode(row)
        except RowError as error:
            return error
        if not encoded.response[0, 1:].any():
            return RowError("no_response", "no token of the answer has a prediction")
        return norm(vlm, encoded)

    def row_values(self, results: Mapping[View, float]) -> tuple[Any, ...]:
        """The norm, if it is finite."""
        if not math.isfinite(results[whole]):
            raise RowError("non_finite", "the gradient is not finite")
        return (results[whole],)
