"""Failed forwards: out of memory they are repeated in halves, otherwise their rows run one by one."""

import logging
from collections.abc import Callable, Sequence

import torch

from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.batching import BatchLimit, batches, forward_size
from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.prefix_sharing import RowSequence, single_rows
from hf_vitselect.models.token_stats import ResponseStats

_logger = logging.getLogger(__name__)

ROW_ERRORS = (RuntimeError, ValueError, IndexError)
"""What models raise for rows that they cannot run on."""

Forward = Callable[[Sequence[Encoded], Sequence[RowSequence]], dict[int, ResponseStats]]
Layout = Callable[[Sequence[Encoded], Sequence[int], Callable[[int, int], bool]], list[RowSequence]]


class SafeForward:
    """Forwards as large as memory allows. A row that cannot run is its error.

    `layout` lays rows out as sequences. `ceiling` falls when memory runs out, for all later calls too.
    """

    def __init__(self, forward: Forward, layout: Layout, ceiling: BatchLimit) -> None:
        self._forward = forward
        self._layout = layout
        self._ceiling = ceiling

    def __call__(self, rows: Sequence[Encoded], limit: BatchLimit) -> list[ResponseStats | RowError]:
        """The statistics of every row, or its error."""
        results: dict[int, ResponseStats | RowError] = {}
        while todo := [index for index in range(len(rows)) if index not in results]:
            limit = limit.within(self._ceiling)
            for batch in batches(rows, self._layout(rows, todo, limit.allows), limit):
                stats = self._stats_or_errors(rows, batch)
                if stats is None:
                    self._ceiling = limit.below(*forward_size(batch))
                    _logger.warning("Out of memory: forwards are now held to %s", self._ceiling)
                    break
                results |= stats
        return [results[index] for index in range(len(rows))]

    def _stats_or_errors(
        self, rows: Sequence[Encoded], sequences: Sequence[RowSequence]
    ) -> dict[int, ResponseStats | RowError] | None:
        """The results of one forward by index, or None if several rows need more memory than there is."""
        try:
            return dict(self._forward(rows, sequences))
        except ROW_ERRORS as error:
            refuse_broken_model(error)
            out_of_memory, reason = is_out_of_memory(error), str(error)
        if out_of_memory and torch.cuda.is_available():
            torch.cuda.empty_cache()
        indices = [index for sequence in sequences for index in sequence.indices]
        if len(indices) == 1:
            row_error = RowError(
                "too_long" if out_of_memory else "bad_row", f"the model refuses it: {reason}"
            )
            _logger.warning("A row is marked %s: %s", row_error.status, row_error)
            return {indices[0]: row_error}
        if out_of_memory:
            return None
        alone = [self._stats_or_errors(rows, [single]) for single in single_rows(rows, indices)]
        return {index: result for results in alone if results for index, result in results.items()}


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in str(error) for sign in ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def refuse_broken_model(error: Exception) -> None:
    """Raise an error for which no row is to blame: a broken device, or layers that cannot be compiled."""
    if isinstance(error, torch.AcceleratorError):
        raise error
    if isinstance(error, torch._dynamo.exc.TorchDynamoException):
        raise ModelError(f"the layers cannot be compiled, leave torch_compile off: {error}") from error
