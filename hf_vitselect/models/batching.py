"""Which sequences share a forward: those of similar length, within a limit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.prefix_sharing import RowSequence


@dataclass(frozen=True)
class BatchLimit:
    """The most rows and tokens (padding included) of a forward, or None; a longer sequence runs alone."""

    rows: int | None = None
    tokens: int | None = None

    def allows(self, rows: int, tokens: int) -> bool:
        """Whether a forward may be this large."""
        return (self.rows is None or rows <= self.rows) and (self.tokens is None or tokens <= self.tokens)

    def within(self, other: "BatchLimit") -> "BatchLimit":
        """The stricter of both."""
        return BatchLimit(_least(self.rows, other.rows), _least(self.tokens, other.tokens))

    def below(self, rows: int, tokens: int) -> "BatchLimit":
        """Half of a forward that was too large."""
        if self.tokens is not None:
            return BatchLimit(tokens=max(1, tokens // 2))
        return BatchLimit(rows=max(1, rows // 2))


def batches(
    rows: Sequence[Encoded], sequences: Iterable[RowSequence], limit: BatchLimit
) -> list[list[RowSequence]]:
    """Fill forwards with sequences of similar length, the longest first.

    Rows with images and rows without never share one, so that neither changes the other's rounding.
    """
    filled: list[list[RowSequence]] = []
    kinds: dict[frozenset[str], list[RowSequence]] = {}
    for sequence in sequences:
        kinds.setdefault(frozenset(rows[sequence.indices[0]].inputs), []).append(sequence)
    for alike in kinds.values():
        batch: list[RowSequence] = []
        for sequence in sorted(alike, key=lambda sequence: -sequence.length):
            if batch and not limit.allows(*forward_size([*batch, sequence])):
                filled.append(batch)
                batch = []
            batch.append(sequence)
        filled.append(batch)
    return filled


def forward_size(batch: Sequence[RowSequence]) -> tuple[int, int]:
    """A forward's rows, and its tokens with padding."""
    longest = max(sequence.length for sequence in batch)
    return sum(len(sequence.indices) for sequence in batch), longest * len(batch)


def _least(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)
