"""Which sequences share a forward: of similar length, within a limit that is halved when memory runs out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_vitselect.models.encoding import Encoded
from hf_vitselect.models.prefix_sharing import Pack


@dataclass(frozen=True)
class Limit:
    """How much goes into one forward.

    Attributes:
        rows: the largest number of rows, or None.
        tokens: the largest number of tokens, padding included, or None. A sequence that alone has more is
            a forward of its own.
    """

    rows: int | None = None
    tokens: int | None = None

    def allows(self, rows: int, tokens: int) -> bool:
        """Whether a forward may be this large."""
        return (self.rows is None or rows <= self.rows) and (self.tokens is None or tokens <= self.tokens)

    def within(self, other: "Limit") -> "Limit":
        """The stricter of both."""
        return Limit(_least(self.rows, other.rows), _least(self.tokens, other.tokens))

    def below(self, rows: int, tokens: int) -> "Limit":
        """Half of a forward that was too large."""
        if self.tokens is not None:
            return Limit(tokens=max(1, tokens // 2))
        return Limit(rows=max(1, rows // 2))


def batches(rows: Sequence[Encoded], packs: Iterable[Pack], limit: Limit) -> list[list[Pack]]:
    """Fills forwards with sequences of similar length, the longest first.

    Rows with pictures and rows without don't share one: whether the latter are there then changes nothing
    for the former, not even the rounding.
    """
    filled: list[list[Pack]] = []
    kinds: dict[frozenset[str], list[Pack]] = {}
    for pack in packs:
        kinds.setdefault(frozenset(rows[pack.places[0]].inputs), []).append(pack)
    for alike in kinds.values():
        batch: list[Pack] = []
        for pack in sorted(alike, key=lambda pack: -pack.length):
            if batch and not limit.allows(*size([*batch, pack])):
                filled.append(batch)
                batch = []
            batch.append(pack)
        filled.append(batch)
    return filled


def size(batch: Sequence[Pack]) -> tuple[int, int]:
    """A forward's rows, and its tokens, padding included."""
    longest = max(pack.length for pack in batch)
    return sum(len(pack.places) for pack in batch), longest * len(batch)


def _least(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)
