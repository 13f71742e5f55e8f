"""Whether a model allows prefix sharing: by its configuration, then by a trial on two rows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from hf_vitselect.models.batching import BatchLimit
from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.out_of_memory import ROW_ERRORS, is_out_of_memory, refuse_broken_model
from hf_vitselect.models.prefix_sharing import RowSequence, share_prefixes, single_rows
from hf_vitselect.models.token_stats import ResponseStats

_logger = logging.getLogger(__name__)

Forward = Callable[[Sequence[Encoded], Sequence[RowSequence]], dict[int, ResponseStats]]


class PrefixTrial:
    """Sequences of rows that share prefixes, once a trial has shown that this changes no loss.

    `no_sharing_reason` says why rows share no prefix; None while nothing is known against it.
    """

    def __init__(self, model: Any, forward: Forward) -> None:
        self.no_sharing_reason = _no_sharing_reason(model)
        self._dtype = model.dtype
        self._forward = forward
        self._tried = False

    def sequences(
        self, rows: Sequence[Encoded], indices: Sequence[int], allows: Callable[[int, int], bool]
    ) -> list[RowSequence]:
        """The rows with these indices as sequences, with prefixes shared if the model allows it."""
        if self.no_sharing_reason is not None:
            return single_rows(rows, indices)
        sequences = share_prefixes(rows, indices, allows)
        sharing = [each for each in sequences if each.shared]
        for each in sharing:
            if not self._tried:
                self._try([rows[index] for index in each.indices[:2]])
        known = self._tried or not sharing
        return sequences if known and self.no_sharing_reason is None else single_rows(rows, indices)

    def _try(self, rows: Sequence[Encoded]) -> None:
        """Compare the losses of two rows in one sequence with those of each alone."""
        try:
            apart = self._forward(rows, single_rows(rows, range(2)))
        except ROW_ERRORS as error:
            refuse_broken_model(error)
            return  # these rows may be to blame, so the next ones are tried
        try:
            together = self._forward(rows, share_prefixes(rows, range(2), BatchLimit().allows))
        except (*ROW_ERRORS, TypeError) as error:
            refuse_broken_model(error)
            if is_out_of_memory(error):
                return
            self.no_sharing_reason = f"it refuses the mask: {error}"
        else:
            self.no_sharing_reason = _difference(apart, together, self._dtype)
        self._tried = True
        _logger.info(
            "Rows of one image in one sequence: %s", self.no_sharing_reason or "their losses are the same"
        )


def _no_sharing_reason(model: Any) -> str | None:
    """Reason why a model's rows cannot share a sequence, according to its configuration."""
    config = model.config.get_text_config()
    if config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}, and only sdpa takes a custom mask"
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        return f"it has {', '.join(sorted(kinds))} layers, which make their own masks"
    if not getattr(config, "layer_types", None) and getattr(config, "sliding_window", None):
        return f"it attends to {config.sliding_window} tokens only"
    return None


def _difference(
    apart: Mapping[int, ResponseStats], together: Mapping[int, ResponseStats], dtype: torch.dtype
) -> str | None:
    """Difference of the losses in one sequence from those of rows alone, or None.

    A wrong position or mask changes some token by more than 1e-4 nats even in a model with random weights.
    Half precision changes single tokens by more, so there the rows' means are compared.
    """
    pairs = [(apart[index], together[index]) for index in apart]
    if dtype == torch.float32:
        tolerance = 1e-4
        gaps = [(one.nll - two.nll).abs().max().item() for one, two in pairs]
    else:
        tolerance = 0.02
        gaps = [abs(one.mean - two.mean) for one, two in pairs]
    return None if max(gaps) <= tolerance else f"losses differ by {max(gaps):.2g} nats"
