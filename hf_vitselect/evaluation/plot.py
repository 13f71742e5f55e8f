"""The plot of a comparison."""

from collections.abc import Sequence

import numpy as np

from hf_vitselect.evaluation.methods import FULL, RANDOM
from hf_vitselect.evaluation.verdicts import Line
from hf_vitselect.report.figures import canvas, png

_GRAY = "#6e7781"
_COLORS = {"better": "#1a7f37", "worse": "#bc4c00", "not distinguishable": "#0067a8"}


def draw(evaluation: str, lines: Sequence[Line]) -> bytes:
    """Plots each method's seeds, their mean, and the interval of its difference to random, as a PNG file.

    Intervals are drawn around random's mean, the dashed line. One that does not reach it is a verdict.
    """
    order = sorted(lines, key=lambda line: (line.method == FULL, line.rows))
    figure, axes = canvas(height=1.5 + 0.42 * len(order))
    several_budgets = len({line.rows for line in order if line.method != FULL}) > 1
    base = {line.rows: line.mean for line in order if line.method == RANDOM}
    for y, line in enumerate(order):
        color = _COLORS[line.random.verdict] if line.random is not None else _GRAY
        axes.plot(line.means, [y] * len(line.means), "o", color=color, alpha=0.4, markersize=5)
        axes.plot(line.mean, y, "D", color=color, markersize=7)
        if line.random is not None and np.isfinite(line.random.low):
            ends = [base[line.rows] + end for end in (line.random.low, line.random.high)]
            axes.plot(ends, [y, y], color=color, linewidth=2)
    for rows, mean in base.items():
        ys = [y for y, line in enumerate(order) if line.rows == rows]
        axes.plot([mean, mean], [min(ys) - 0.4, max(ys) + 0.4], color=_GRAY, linestyle="--", linewidth=1.2)
    axes.plot([], [], "o", color=_GRAY, alpha=0.4, label="a seed")
    axes.plot([], [], "D", color=_GRAY, label="mean")
    for verdict in sorted({line.random.verdict for line in order if line.random is not None}):
        axes.plot([], [], "D", color=_COLORS[verdict], label=f"mean: {verdict}")
    axes.plot([], [], color=_GRAY, linewidth=2, label="interval of the difference to random")
    labels = [f"{line.method} ({line.rows:,})" if several_budgets else line.method for line in order]
    axes.set_yticks(range(len(order)), labels, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(evaluation, parse_math=False)
    return png(figure)
