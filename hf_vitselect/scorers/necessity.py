"""Necessity: how badly the seed model answers a row (MLLM-Selector, arXiv 2503.20502)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datasets import Features, Value

from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.scorers.base.views import View, whole

if TYPE_CHECKING:
    from hf_vitselect.models.token_stats import ResponseSignals


class NecessityScorer(ResponseScorer):
    """Mean negative log-likelihood of the response under a seed model, picture and instruction given.

    A re-implementation: the paper (MLLM-Selector, arXiv 2503.20502, necessity scoring with the seed
    model) gives no formula that could be read, and this is the reading that its symbols suggest.
    Response tokens are what SFT supervises: every assistant turn and its end-of-turn token.

    Adds `necessity` (float32, nats per response token, at least 0, higher = more needed),
    `response_tokens` (int32), `necessity_status` and `necessity_reason`. With another `column` all
    take its name: `x`, `x_response_tokens`, `x_status`, `x_reason`.

    Args:
        model: the seed model, a Hub id or a folder; loaded at the first row, not before.
        column: name of the main column.
        processor: used in place of the model's own `AutoProcessor`: a processor, or its Hub id or folder. An
            adapter that was saved without one takes its base model's.
        revision: a commit, branch or tag on the Hub.
        dtype: a torch dtype's name; `auto` is the checkpoint's. Half precision moves scores by
            about 1e-3 with the batch's make-up.
        batch_size: rows in one forward; does not change the scores beyond rounding. On a CPU a forward has
            2,048 tokens at most, unless one row has more.
        batch_tokens: tokens in one forward, padding included, in place of `batch_size`: for a GPU, where
            it is filled whatever the rows' lengths.
        max_length: rows with more tokens are `too_long`; the model's own context if None.
        end_of_turn: `auto` supervises the template's end-of-turn token and, after a response that the
            template does not close, inserts the tokenizer's EOS, as training does; `template` leaves the
            prompt as the template writes it.
        attn_implementation: the attention kernel, as in `transformers`, whose choice it is if None. Under
            any but `sdpa` rows of one picture cost a whole forward each.
        torch_compile: whether `torch.compile` makes the layers' kernels, once for rows of any length: some
            seconds at the first rows, and on a CPU a C++ compiler.
        trust_remote_code: as in `transformers`.

    Raises:
        ModelError: at the first row, if the model cannot be loaded or lacks weights, the processor has no
            chat template or a slow tokenizer, or does not fit the model, or the layers cannot be compiled.
        ValueError: if a forward could hold nothing, or `end_of_turn` is neither.

    Example:
        >>> scored = pool.map(NecessityScorer("me/llava-1.5-7b-seed"), batched=True)  # doctest: +SKIP
    """

    cost = "1 forward"

    signal = "necessity"

    @property
    def values(self) -> Features:
        """The score and the number of response tokens."""
        return Features({self.column: Value("float32"), self._tokens: Value("int32")})

    def value(self, losses: Mapping[View, "ResponseSignals"]) -> float:
        """The mean loss."""
        return losses[whole].mean

    def row_values(self, results: Mapping[View, "ResponseSignals"]) -> tuple[Any, ...]:
        """The score and the number of response tokens."""
        return (*super().row_values(results), len(results[whole].nll))

    @property
    def _tokens(self) -> str:
        return "response_tokens" if self.column == self.signal else f"{self.column}_response_tokens"
