"""Small HTML for notebooks: facts, notes and tables, escaped, for light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape

Cell = int | str | None
"""A number is aligned to the right; a text is shown as it is."""

_NUMBER = ' class="number"'

# The colors are the page's own: notebooks have themes that do not follow the system's.
_STYLE = """\
<style>
.hf-vitselect { font-size: 13px; line-height: 1.5; max-width: 60em; }
.hf-vitselect p { margin: .3em 0; }
.hf-vitselect div { overflow-x: auto; }
.hf-vitselect table { border-collapse: collapse; margin: .5em 0; font-size: 1em; }
.hf-vitselect tr, .hf-vitselect th, .hf-vitselect td { background: none; color: inherit; text-align: left;
  vertical-align: top; padding: .15em .9em .15em 0; border: 0; }
.hf-vitselect th { font-weight: normal; opacity: .7; white-space: nowrap; }
.hf-vitselect tr + tr td { border-top: 1px solid rgba(127, 127, 127, .3); }
.hf-vitselect .facts td { border: 0; }
.hf-vitselect td { overflow-wrap: break-word; }
.hf-vitselect .number { text-align: right; font-variant-numeric: tabular-nums; }
</style>"""


def html_summary(
    title: str,
    facts: Mapping[str, str],
    *,
    notes: Sequence[str] = (),
    tables: Mapping[str, Sequence[Mapping[str, Cell]]] | None = None,
) -> str:
    """An object on one small screen, as HTML that loads and runs nothing.

    Args:
        title: Its first line.
        facts: Values by name, one a line.
        notes: Sentences below them.
        tables: Rows by the caption of their table, if there are any; cells by the name of their column.
    """
    parts = [_STYLE, f"<p><strong>{escape(title)}</strong></p>"]
    if facts:
        lines = (f"<tr><th>{escape(name)}</th><td>{escape(fact)}</td></tr>" for name, fact in facts.items())
        parts.append(f'<table class="facts">{"".join(lines)}</table>')
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    for caption, rows in filter(lambda item: item[1], (tables or {}).items()):
        parts.append(f"<p>{escape(caption)}</p><div>{_table(rows)}</div>")
    return f'<div class="hf-vitselect">{"".join(parts)}</div>'


def _table(rows: Sequence[Mapping[str, Cell]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = {name for name in names if all(isinstance(row.get(name), int | None) for row in rows)}
    heads = "".join(_cell("th", name, name in numeric) for name in names)
    lines = ("".join(_cell("td", row.get(name), name in numeric) for name in names) for row in rows)
    return f"<table>{''.join(f'<tr>{cells}</tr>' for cells in (heads, *lines))}</table>"


def _cell(tag: str, cell: Cell, right: bool) -> str:
    shown = "" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell
    return f"<{tag}{_NUMBER * right}>{escape(shown)}</{tag}>"
