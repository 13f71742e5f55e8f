"""Rows of results as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """An aligned table, readable as plain text and as Markdown.

    Args:
        rows: cells by column name; missing ones and None are empty. Floats have four significant digits.
            Line breaks become spaces and bars are escaped; other Markdown is kept.
        columns: the columns in order; by default all, in order of appearance.

    Examples:
        >>> print(table([{"subset": "random", "accuracy": 0.5}, {"subset": "diverse", "accuracy": 0.625}]))
        | subset  | accuracy |
        |:--------|---------:|
        | random  |      0.5 |
        | diverse |    0.625 |
    """
    names = (
        list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    )
    cells = [[_cell(name) for name in names], *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(names))]
    numeric = [
        all(isinstance(row.get(name), (int, float, np.number, type(None))) for row in rows) for name in names
    ]

    def line(values: Sequence[str]) -> str:
        padded = (
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rules = (
        f"{'-' * (width + 1)}:" if right else f":{'-' * (width + 1)}"
        for width, right in zip(widths, numeric, strict=True)
    )
    return "\n".join([line(cells[0]), f"|{'|'.join(rules)}|", *(line(values) for values in cells[1:])])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1e4 else f"{number:,.0f}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("|", "\\|")
