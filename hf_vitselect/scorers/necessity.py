"""Necessity: how badly the seed model answers a row (MLLM-Selector, arXiv 2503.20502)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datasets import Features, Value

from hf_vitselect.errors import RowError
from hf_vitselect.rows import Conversation
from hf_vitselect.scorer import Scorer

if TYPE_CHECKING:
    from hf_vitselect.vlm import VLM, ResponseLoss


class NecessityScorer(Scorer):
    """Mean negative log-likelihood of the response under a seed model, picture and instruction given.

    A re-implementation: the paper (MLLM-Selector, arXiv 2503.20502, necessity scoring with the seed
    model) gives no formula that could be read, and this is the reading that its symbols suggest.
    Response tokens are what SFT supervises: every assistant turn and its end-of-turn token.

    Adds ``necessity`` (float32, nats per response token, at least 0, higher = more needed),
    ``response_tokens`` (int32) and ``necessity_status``. With another ``column`` all three take its name:
    ``x``, ``x_response_tokens``, ``x_status``.

    Args:
        model: the seed model, a Hub id or a folder; loaded at the first row, not before.
        column: name of the main column.
        processor: a processor to use in place of the model's own `AutoProcessor`.
        revision: a commit, branch or tag on the Hub.
        dtype: a torch dtype's name; ``auto`` is the checkpoint's. Half precision moves scores by
            about 1e-3 with the batch's make-up.
        batch_size: rows in one forward; does not change the scores beyond rounding.
        max_length: rows with more tokens are ``too_long``; the model's own context if None.
        trust_remote_code: as in `transformers`.

    Raises:
        ModelError: at the first row, if the processor has no chat template or a slow tokenizer.

    Example:
        >>> scored = pool.map(NecessityScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str,
        *,
        column: str = "necessity",
        processor: Any = None,
        revision: str | None = None,
        dtype: str = "auto",
        batch_size: int = 8,
        max_length: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__(column=column, model=str(model), revision=revision)
        self.dtype = str(dtype).removeprefix("torch.")
        self.batch_size = batch_size
        self.max_length = max_length
        self.trust_remote_code = trust_remote_code
        self.processor = None
        if processor is not None:
            from hf_vitselect.encoding import SavedProcessor

            self.processor = SavedProcessor.of(processor)

    @property
    def features(self) -> Features:
        """The score, the number of response tokens, the status."""
        tokens = "response_tokens" if self.column == "necessity" else f"{self.column}_response_tokens"
        return Features(
            {self.column: Value("float32"), tokens: Value("int32"), self.status_column: Value("string")}
        )

    def score_rows(self, rows: Sequence[Conversation | RowError]) -> dict[str, list[Any]]:
        """Scores the rows in batches of similar length."""
        results = [_necessity(result) for result in self.loaded.score(rows, self.batch_size)]
        return dict(zip(self.features, map(list, zip(*results, strict=True)), strict=True))

    def load(self, identity: Mapping[str, Any]) -> "VLM":
        """The seed model with its processor."""
        from hf_vitselect.vlm import VLM

        return VLM.load(
            identity["model"],
            processor=None if self.processor is None else self.processor.load(),
            revision=identity.get("commit"),
            dtype=self.dtype,
            device=self._device(),
            max_length=self.max_length,
            trust_remote_code=self.trust_remote_code,
        )


def _necessity(result: "ResponseLoss | RowError") -> tuple[float | None, int | None, str]:
    if isinstance(result, RowError):
        return None, None, result.status
    tokens = len(result.nll)
    if tokens == 0:
        return None, None, "no_response"
    mean = result.nll.double().mean().item()
    if not math.isfinite(mean):
        return None, None, "non_finite"
    return mean, tokens, "ok"
