"""The floating-point operations of a model's forwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scoring.models import forward_flops

from hf_vitselect.models import ForwardStats


@dataclass
class Operations(ForwardStats):
    """Counts what the operations of a VLM's forwards depend on: `vlm.stats = Operations()`.

    Attributes:
        pairs: pairs of tokens of which one sees the other, summed over the sequences.
        answers: tokens with logits.
        patches: the patches of each image that went through the vision tower.
    """

    pairs: float = 0.0
    answers: int = 0
    patches: list[int] = field(default_factory=list)

    def add(self, rows: Sequence[Any], sequences: Sequence[Any], seconds: float) -> None:
        """Counts one forward."""
        super().add(rows, sequences, seconds)
        for sequence in sequences:
            first = rows[sequence.indices[0]]
            self.pairs += sequence.shared**2 / 2
            if first.prefix:
                self.patches.append(image_patches(first))
            for index in sequence.indices:
                own = rows[index].length - sequence.shared
                self.pairs += own * (sequence.shared + own / 2)
                self.answers += int(rows[index].response.sum())

    def flops(self, model: Any) -> float:
        """Floating-point operations so far, without padding and what masks hide."""
        return forward_flops(model, self.tokens, self.pairs, self.answers, self.patches)


def image_patches(row: Any) -> int:
    """Patches of an encoded row's images in the vision tower."""
    if (grid := row.inputs.get("image_grid_thw")) is not None:
        return int(grid.prod(-1).sum())
    images, _, height, width = row.inputs["pixel_values"].shape
    return images * ((height // 14) * (width // 14) + 1)
