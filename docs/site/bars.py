"""Bar charts of a page's tables: what a table says, drawn.

A comment after a table, `<!-- bars: model, rows an image | rows/s | caption -->`, becomes a chart of the
column `rows/s`, whose bars are labeled by the columns before it. Cells without a number are left out.
"""

import html
import re
from collections.abc import Iterator

_MARK = re.compile(r"^<!-- bars: ([^|]+) \| ([^|]+?)(?: \| (.+?))? -->$", re.MULTILINE)
_ROW = re.compile(r"^\|.*\|$")
_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?(e-?\d+)?")


def draw(markdown: str) -> str:
    """A page with its charts in place of the comments.

    Raises:
        ValueError: if no table stands before a comment, or it lacks a column, or the column has no number.
    """

    def chart(mark: re.Match[str]) -> str:
        return _chart(_table(markdown[: mark.start()]), mark[1].split(", "), mark[2], mark[3] or mark[2])

    return _MARK.sub(chart, markdown)


def _table(before: str) -> list[dict[str, str]]:
    """The rows of the last table of a text."""
    lines = before.splitlines()
    while lines and not _ROW.match(lines[-1]):
        lines.pop()
    rows: list[list[str]] = []
    while lines and _ROW.match(lines[-1]):
        rows.insert(0, [cell.strip() for cell in lines.pop().strip("|").split("|")])
    if len(rows) < 3:
        raise ValueError("expected a table before the comment `<!-- bars: ... -->`")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def _chart(rows: list[dict[str, str]], labels: list[str], column: str, caption: str) -> str:
    for name in [*labels, column]:
        if name not in rows[0]:
            raise ValueError(f"expected the column {name!r} of the table, which has {list(rows[0])}")
    bars = list(_bars(rows, labels, column))
    if not bars:
        raise ValueError(f"expected a number in the column {column!r}, got {[row[column] for row in rows]}")
    top = max(value for _, _, value in bars)
    lines = [f'<figure class="bars"><figcaption>{html.escape(caption)}</figcaption>']
    for label, text, value in bars:
        share = max(value, 0) / top if top > 0 else 0
        bar = f'<i style="width: calc((100% - 4rem) * {share:.3f})"></i>'
        lines.append(f"<div><span>{html.escape(label)}</span><span>{bar}{html.escape(text)}</span></div>")
    return "\n".join([*lines, "</figure>"])


def _bars(rows: list[dict[str, str]], labels: list[str], column: str) -> Iterator[tuple[str, str, float]]:
    """Label, text and value of each bar; a value is the first number of its cell."""
    first, *others = labels
    for row in rows:
        if match := _NUMBER.match(row[column]):
            label = ", ".join([row[first], *(f"{name}: {row[name]}" for name in others)])
            yield label.replace("`", ""), match[0], float(match[0].replace(",", ""))
