"""Blocks of rows, so that no temporary array grows with the pool."""

from collections.abc import Iterator


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Return the slices of at most `size` rows that cover `rows` rows in order."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
