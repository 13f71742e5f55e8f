"""The plot of a comparison."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_vitselect.evaluation.methods import FULL, RANDOM
from hf_vitselect.report.figures import canvas, png

if TYPE_CHECKING:
    from hf_vitselect.evaluation.comparison import Line

_GREY = "#6e7781"
_COLORS = {"better": "#1a7f37", "worse": "#bc4c00", "not distinguishable": "#0067a8"}


def draw(evaluation: str, lines: "Sequence[Line]") -> bytes:
    """Every method's seeds and mean, and the interval of its difference to random, drawn about random's mean.

    An interval that does not reach the dashed line, random's mean, is a verdict.

    Args:
        evaluation: the label of the axis.
        lines: one evaluation's.

    Returns:
        A PNG file.
    """
    order = sorted(lines, key=lambda line: (line.method == FULL, line.rows))
    figure, axes = canvas(height=1.5 + 0.42 * len(order))
    many = len({line.rows for line in order if line.method != FULL}) > 1
    base = {line.rows: line.mean for line in order if line.method == RANDOM}
    for place, line in enumerate(order):
        color = _COLORS[line.random.verdict] if line.random is not None else _GREY
        axes.plot(line.means, [place] * len(line.means), "o", color=color, alpha=0.4, markersize=5)
        axes.plot(line.mean, place, "D", color=color, markersize=7)
        if line.random is not None and line.random.low > float("-inf"):
            ends = [base[line.rows] + end for end in (line.random.low, line.random.high)]
            axes.plot(ends, [place, place], color=color, linewidth=2)
    for rows, mean in base.items():
        places = [i for i, line in enumerate(order) if line.rows == rows]
        axes.plot(
            [mean, mean], [min(places) - 0.4, max(places) + 0.4], color=_GREY, linestyle="--", linewidth=1.2
        )
    axes.plot([], [], "o", color=_GREY, alpha=0.4, label="a seed")
    axes.plot([], [], "D", color=_GREY, label="mean")
    for verdict in sorted({line.random.verdict for line in order if line.random is not None}):
        axes.plot([], [], "D", color=_COLORS[verdict], label=f"mean: {verdict}")
    axes.plot([], [], color=_GREY, linewidth=2, label="interval of the difference to random")
    axes.set_yticks(
        range(len(order)),
        [f"{line.method} ({line.rows:,})" if many else line.method for line in order],
        parse_math=False,
    )
    axes.invert_yaxis()
    axes.set_xlabel(evaluation, parse_math=False)
    return png(figure)
