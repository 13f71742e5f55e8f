"""A vision-language model with its encoder: loaded, and run on rows."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.models.batching import BatchLimit, forward_size
from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.forward import compile_layers
from hf_vitselect.models.options import EndOfTurn, ModelOptions
from hf_vitselect.models.out_of_memory import SafeForward
from hf_vitselect.models.prefetch import prefetch
from hf_vitselect.models.prefix_sharing import RowSequence
from hf_vitselect.models.prefix_trial import PrefixTrial
from hf_vitselect.models.processors import SavedProcessor, load_processor, refuse_failed_probe
from hf_vitselect.models.response_forward import ResponseForward
from hf_vitselect.models.token_stats import ResponseStats
from hf_vitselect.models.weights import load_whole

_logger = logging.getLogger(__name__)

_CPU_TOKENS = 2048
"""The largest forward of several sequences on a CPU: more of them gain nothing and leave the caches."""

_WINDOW = 256
"""Rows that are sorted by length together, where batches are counted in tokens."""


@dataclass
class ForwardStats:
    """Counts of what a model has done so far."""

    rows: int = 0
    alone: int = 0  # tokens, counted for each row by itself
    tokens: int = 0  # tokens that went through the model, shared prefixes once
    padded: int = 0  # the same with padding
    forward_seconds: float = 0.0
    seconds: float = 0.0  # wall time in `VLM.score`; outside of forwards the model waits

    def add(self, rows: Sequence[Encoded], sequences: Sequence[RowSequence], seconds: float) -> None:
        """Count one forward."""
        indices = [index for sequence in sequences for index in sequence.indices]
        self.rows += len(indices)
        self.alone += sum(rows[index].length for index in indices)
        self.tokens += sum(sequence.length for sequence in sequences)
        self.padded += forward_size(sequences)[1]
        self.forward_seconds += seconds

    def __str__(self) -> str:
        padding = 1 - self.tokens / max(1, self.padded)
        busy = self.forward_seconds / max(1e-9, self.seconds)
        return (
            f"{self.rows} rows, {self.alone} tokens as {self.tokens}, {padding:.1%} padding, "
            f"{busy:.1%} of {self.seconds:.1f} s in forwards"
        )


def longest_row(config: Any, max_length: int | None = None) -> int | None:
    """The longest row that is scored, in tokens: the model's context, or less; None without a limit."""
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min((limit for limit in (max_length, context) if limit is not None), default=None)


class VLM:
    """A model on its device with its encoder, ready to score; `stats` counts what it has done."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        max_length: int | None = None,
        *,
        end_of_turn: EndOfTurn = "auto",
    ) -> None:
        self.model = model.eval()
        self.encoder = Encoder(processor, longest_row(model.config, max_length), end_of_turn=end_of_turn)
        self.stats = ForwardStats()
        self.forward = ResponseForward(model, self.encoder)
        self._trial = PrefixTrial(model, self.forward)
        ceiling = BatchLimit(
            rows=1 if _rotates_by_longest_row(model.config.get_text_config()) else None,
            tokens=_CPU_TOKENS if model.device.type == "cpu" else None,
        )
        self._safe_forward = SafeForward(self._counted_forward, self._trial.sequences, ceiling)

    @classmethod
    def load(
        cls,
        model: str,
        options: ModelOptions | None = None,
        *,
        identity: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> "VLM":
        """Load a model or a PEFT adapter, and its processor, from the Hub or a folder.

        `identity` names the exact weights as `revisions.identify` does, with those of a named `processor` and
        remote `code`; if None, they are those of `options.revision` at this time. Without a `device` it is
        the first GPU, else the CPU.
        """
        options = options or ModelOptions()
        exact = identity or {"commit": options.revision}
        revision, base_revision = exact.get("commit"), exact.get("base", {}).get("commit")
        code = exact.get("code", [])
        processor = options.processor
        if isinstance(processor, SavedProcessor):
            processor = processor.load()
        else:
            processor = load_processor(
                processor or model,
                revision=exact.get("processor", {}).get("commit") if processor else revision,
                base_revision=base_revision,
                trust_remote_code=options.trust_remote_code,
            )
        loaded = load_whole(
            AutoModelForImageTextToText,
            model,
            revision=revision,
            base_revision=base_revision,
            dtype=options.dtype,
            attn_implementation=options.attn_implementation,
            trust_remote_code=options.trust_remote_code,
            code_revision=code[0]["commit"] if len(code) == 1 else None,
        )
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        vlm = cls(loaded.to(device), processor, options.max_length, end_of_turn=options.end_of_turn)
        if options.torch_compile:
            compile_layers(loaded)
        # A model that cannot run at all must fail here, not turn every row of a pool into a bad one.
        for result in vlm.score(vlm.encoder.probes):
            if isinstance(result, RowError):
                refuse_failed_probe(processor, result, loaded)
        return vlm

    @property
    def no_sharing_reason(self) -> str | None:
        """Reason why rows of one image do not share its tokens; None while nothing is known against it."""
        return self._trial.no_sharing_reason

    def score(
        self,
        rows: Sequence[Conversation | RowError],
        batch_size: int | None = 8,
        batch_tokens: int | None = None,
    ) -> list[ResponseStats | RowError]:
        """The statistics of every row's response; a row that cannot be scored is its error.

        Threads decode images and tokenize texts while the model runs. Rows with the same images are scored
        together. Rows are sorted by length within windows of 16 batches (256 rows under `batch_tokens` alone,
        fewer at first); only the images of two windows are in memory. A forward that runs out of memory is
        repeated in halves, and later ones are no larger than these.
        """
        start = time.perf_counter()
        limit = BatchLimit(batch_size, batch_tokens)
        results: dict[int, ResponseStats | RowError] = {}
        for window in prefetch(self.encoder, rows, 16 * batch_size if batch_size else _WINDOW):
            results |= {index: row for index, row in window if isinstance(row, RowError)}
            encoded = {index: row for index, row in window if isinstance(row, Encoded)}
            results |= zip(encoded, self._safe_forward(list(encoded.values()), limit), strict=True)
        self.stats.seconds += time.perf_counter() - start
        _logger.info("Scored: %s", self.stats)
        return [results[index] for index in range(len(rows))]

    def _counted_forward(
        self, rows: Sequence[Encoded], sequences: Sequence[RowSequence]
    ) -> dict[int, ResponseStats]:
        start = time.perf_counter()
        stats = self.forward(rows, sequences)
        self.stats.add(rows, sequences, time.perf_counter() - start)
        return stats


def _rotates_by_longest_row(text_config: Any) -> bool:
    """Whether the positions of all rows of a forward depend on its longest row, as with longrope."""
    rope = getattr(text_config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, Mapping))]
    return any(kind.get("rope_type") == "longrope" for kind in kinds)
