"""What a selection looks like: numbers, plots and plain tables."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.baselines import length_column
from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.selection import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POOL, _SUBSET, _INK = "#bcc3cb", "#0067a8", "#24292f"
_BINS = 40
_MOST_BARS = 12
_LONGEST_LABEL = 32


def score_columns(selection: Selection) -> list[str]:
    """The selection's scores: what the rule looked at first, then every other scorer's numbers."""
    recipe = selection.recipe
    named = [recipe.get("by"), *(scorer.get("column") for scorer in recipe.get("scorers", []))]
    kinds = selection.scores.features
    return [
        name
        for name in dict.fromkeys(named)
        if name in kinds and isinstance(kinds[name], Value) and kinds[name].dtype != "string"
    ]


def score_values(selection: Selection, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The finite scores of the whole pool, and of the subset in pool order.

    Args:
        column: one of `score_columns`.

    Returns:
        Two float64 arrays of shapes (scored rows,) and (scored rows of the subset,).
    """
    table = selection.scores.select_columns(list(dict.fromkeys([column, "selected"]))).with_format("arrow")[:]
    values = pc.fill_null(pc.cast(table[column], pa.float64()), np.nan).to_numpy()
    finite = np.isfinite(values)
    return values[finite], values[finite & table["selected"].to_numpy()]


def statistics(selection: Selection) -> list[dict[str, Any]]:
    """Count, mean, standard deviation and quartiles of every score, in the pool and in the subset.

    Returns:
        Two rows for each of `score_columns`, with the keys score, rows, count, mean, std, min, 25%, 50%,
        75% and max; count leaves out rows without a score.
    """
    rows = []
    for column in score_columns(selection):
        for name, values in zip(("pool", "subset"), score_values(selection, column), strict=True):
            row: dict[str, Any] = {"score": column, "rows": name, "count": len(values)}
            if len(values):
                row |= {"mean": float(values.mean()), "std": float(values.std())}
                quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
                row |= dict(zip(("min", "25%", "50%", "75%", "max"), quartiles, strict=True))
            rows.append(row)
    return rows


def make_up(pool: Dataset, selection: Selection, column: str) -> dict[str, dict[str, float]]:
    """How often each value of a column is in the pool and in the subset.

    Args:
        pool: the pool that the selection was made from; may have columns that the selection does not.
        column: a column of plain values; meant for few distinct ones, such as a source or a kind.

    Returns:
        For each value, the pool's most frequent first: ``pool`` and ``subset`` (rows), ``pool_share`` and
        ``subset_share`` (0 to 1). A null is called ``(none)``.

    Raises:
        ColumnError: if there is no such column of plain values.
        LayoutError: if the pool does not have the rows of the selection's pool.

    Example:
        >>> make_up(pool, selection, "kind")["caption"]["subset_share"]  # doctest: +SKIP
        0.25
    """
    if len(pool) != selection.recipe["rows"]:
        raise LayoutError(
            f"expected the pool of {selection.recipe['rows']} rows that the selection was made from, "
            f"got {len(pool)} rows; give that pool"
        )
    if not isinstance(pool.features.get(column), Value):
        plain = [name for name, kind in pool.features.items() if isinstance(kind, Value)]
        raise ColumnError(f"expected a column of plain values, got {column!r}; choose one of {plain}")
    values = pool[column]
    everywhere, picked = Counter(values), Counter(values[index] for index in selection.indices)
    return _shares((value, count, picked[value]) for value, count in everywhere.items())


def make_ups(selection: Selection) -> dict[str, dict[str, dict[str, float]]]:
    """What the selection itself remembers of its make-up, and that of its answers' lengths.

    Returns:
        For each column that sorts the pool's rows into kinds, as `make_up` gives it; and under the length's
        name the rows in each quarter of the pool's lengths.
    """
    known = {
        name: _shares((row["value"], row["pool"], row["subset"]) for row in counts)
        for name, counts in selection.recipe.get("make_up", {}).items()
    }
    name = length_column(selection)
    lengths = _length_counts(selection, name) if name else []
    return known | ({name: _shares(lengths, sort=False)} if name and len(lengths) > 1 else {})


def duplicates(selection: Selection) -> dict[str, int]:
    """Rows that repeat an earlier one, picture for picture and word for word: in the pool, in the subset."""
    table = selection.scores.select_columns(["row_id", "selected"]).with_format("arrow")[:]
    contents = [row_id.rpartition("-")[0] for row_id in table["row_id"].to_pylist()]
    picked = [
        content for content, there in zip(contents, table["selected"].to_pylist(), strict=True) if there
    ]
    return {"pool": len(contents) - len(set(contents)), "subset": len(picked) - len(set(picked))}


def plots(selection: Selection, pool: Dataset | None = None, column: str | None = None) -> dict[str, bytes]:
    """Draws the selection against its pool.

    Args:
        pool: the pool that the selection was made from; needed for a ``column`` only that the selection
            does not remember.
        column: the column whose make-up is drawn; the first that the selection remembers if None.

    Returns:
        PNG files by name: ``scores.png``, the histogram of the main score, if there is one; ``make_up.png``
        if there is a column to draw; ``lengths.png``, the histogram of the answers' lengths.

    Raises:
        ColumnError: if there is no such column, or no pool to take it from.
    """
    drawn = {}
    if columns := score_columns(selection):
        pool_scores, subset_scores = score_values(selection, columns[0])
        if len(pool_scores):
            drawn["scores.png"] = _histogram(columns[0], pool_scores, subset_scores)
    remembered = {
        name: shares for name, shares in make_ups(selection).items() if name != length_column(selection)
    }
    column = column if column is not None else next(iter(remembered), None)
    if column is not None:
        if column not in remembered and pool is None:
            raise ColumnError(f"expected the pool that has the column {column!r}, got none; pass pool=")
        shares = remembered.get(column) if pool is None else make_up(pool, selection, column)
        drawn["make_up.png"] = _bars(column, shares or {})
    if (name := length_column(selection)) is not None:
        pool_lengths, subset_lengths = score_values(selection, name)
        if len(pool_lengths):
            drawn["lengths.png"] = _histogram(name, pool_lengths, subset_lengths)
    return drawn


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """An aligned table, readable as plain text and as Markdown.

    Args:
        rows: cells by column name; missing ones and None stay empty. Floats are written with four
            significant digits. Line breaks become spaces and bars are escaped; other Markdown is kept.
        columns: which, in order; by default all, in order of appearance.

    Example:
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


def _shares(counts: Iterable[tuple[Any, int, int]], sort: bool = True) -> dict[str, dict[str, float]]:
    """From (value, rows of the pool, rows of the subset) to counts and shares by the value's name."""
    named: dict[str, list[int]] = {}
    for value, pool, subset in counts:
        # Two values of one name, such as 1 and "1", are one bar.
        bar = named.setdefault("(none)" if value is None else str(value), [0, 0])
        bar[0], bar[1] = bar[0] + pool, bar[1] + subset
    rows, picked = (max(1, sum(bar[i] for bar in named.values())) for i in (0, 1))
    order = sorted(named.items(), key=lambda item: (-item[1][0], item[0])) if sort else named.items()
    return {
        name: {"pool": pool, "subset": subset, "pool_share": pool / rows, "subset_share": subset / picked}
        for name, (pool, subset) in order
    }


def _length_counts(selection: Selection, column: str) -> list[tuple[str, int, int]]:
    pool, subset = score_values(selection, column)
    if not len(pool):
        return []
    tops = np.unique(np.quantile(pool, [0.25, 0.5, 0.75, 1], method="inverted_cdf")).astype(int).tolist()
    bottoms = [int(pool.min()), *(top + 1 for top in tops[:-1])]
    return [
        (
            f"{low:,} to {top:,}" if low < top else f"{top:,}",
            int(((low <= pool) & (pool <= top)).sum()),
            int(((low <= subset) & (subset <= top)).sum()),
        )
        for low, top in zip(bottoms, tops, strict=True)
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1e4 else f"{number:,.0f}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("|", "\\|")


def _histogram(column: str, pool: NDArray[np.float64], subset: NDArray[np.float64]) -> bytes:
    figure, axes = _canvas(height=3.8)
    edges = np.histogram_bin_edges(pool, bins=_BINS).tolist()
    axes.hist(pool, edges, density=True, color=_POOL, label=f"pool ({len(pool):,} scored rows)")
    if len(subset):
        style: dict[str, Any] = {"density": True, "histtype": "stepfilled", "edgecolor": _SUBSET}
        face = (*_rgb(_SUBSET), 0.22)
        label = f"subset ({len(subset):,} rows)"
        axes.hist(subset, edges, facecolor=face, linewidth=1.8, label=label, **style)
        axes.axvline(float(np.median(subset)), color=_SUBSET, linestyle="--", linewidth=1.4)
    axes.axvline(float(np.median(pool)), color="#6e7781", linestyle="--", linewidth=1.4)
    axes.plot([], [], color=_INK, linestyle="--", linewidth=1.4, label="median")
    axes.set_xlabel(_label(column), parse_math=False)
    axes.set_ylabel("density")
    return _png(figure)


def _bars(column: str, shares: Mapping[str, Mapping[str, float]]) -> bytes:
    names = list(shares)[:_MOST_BARS]
    bars = [(_label(name), shares[name]["pool_share"], shares[name]["subset_share"]) for name in names]
    if rest := list(shares)[_MOST_BARS:]:
        pool_rest, subset_rest = (
            sum(shares[name][key] for name in rest) for key in ("pool_share", "subset_share")
        )
        bars.append((f"{len(rest):,} others", pool_rest, subset_rest))
    figure, axes = _canvas(height=1.3 + 0.5 * len(bars))
    places = np.arange(len(bars))
    for offset, color, label, which in ((-0.2, _POOL, "pool", 1), (0.2, _SUBSET, "subset", 2)):
        drawn = axes.barh(places + offset, [100 * bar[which] for bar in bars], 0.38, color=color, label=label)
        axes.bar_label(drawn, fmt="%.1f%%", padding=3, color=_INK, fontsize=9)
    axes.set_yticks(places, [bar[0] for bar in bars], parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("share of rows (%)")
    axes.set_ylabel(_label(column), parse_math=False)
    return _png(figure)


def _canvas(height: float) -> "tuple[Figure, Axes]":
    """A figure of its own, without pyplot: nothing global is touched and nothing must be closed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot(facecolor="white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#8c959f")
    axes.tick_params(colors=_INK, labelsize=10)
    axes.xaxis.label.set(size=11, color=_INK)
    axes.yaxis.label.set(size=11, color=_INK)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    """The figure with its legend above the axes, where it hides nothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=10, labelcolor=_INK)
    buffer = io.BytesIO()
    # Without the software's version the same selection gives the same bytes.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _rgb(color: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def _label(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"
