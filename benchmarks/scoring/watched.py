"""A VLM that counts the operations of its forwards."""

from collections.abc import Sequence
from typing import Any

from scoring.models import forward_flops

from hf_vitselect.models.encoding import Encoded
from hf_vitselect.models.prefix_sharing import RowSequence
from hf_vitselect.models.token_stats import ResponseStats
from hf_vitselect.models.vlm import VLM, ForwardStats


class Watched(VLM):
    """Remembers what went through its forwards."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self.forget()

    def forget(self) -> None:
        """Starts anew."""
        self.stats = ForwardStats()
        self.pairs = 0.0
        self.answers = 0
        self.patches: list[int] = []

    def flops(self) -> float:
        """Floating-point operations so far, without padding and what masks hide."""
        return forward_flops(self.model, self.stats.tokens, self.pairs, self.answers, self.patches)

    def _counted_forward(
        self, rows: Sequence[Encoded], sequences: Sequence[RowSequence]
    ) -> dict[int, ResponseStats]:
        for sequence in sequences:
            first = rows[sequence.indices[0]]
            self.pairs += sequence.shared**2 / 2
            if first.prefix:
                self.patches.append(_patches(first))
            for index in sequence.indices:
                own = rows[index].length - sequence.shared
                self.pairs += own * (sequence.shared + own / 2)
                self.answers += int(rows[index].response.sum())
        return super()._counted_forward(rows, sequences)


def _patches(row: Encoded) -> int:
    """Patches of the row's images in the vision tower."""
    if (grid := row.inputs.get("image_grid_thw")) is not None:
        return int(grid.prod(-1).sum())
    images, _, height, width = row.inputs["pixel_values"].shape
    return images * ((height // 14) * (width // 14) + 1)
