"""The common look of all figures: canvas, colors and PNG bytes."""

import io
from typing import TYPE_CHECKING

from hf_vitselect.data.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POOL, SUBSET, INK = "#bcc3cb", "#0067a8", "#24292f"
_LONGEST_LABEL = 32


def canvas(height: float) -> "tuple[Figure, Axes]":
    """A figure without pyplot: no global state, nothing to close. `height` is in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot(facecolor="white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#8c959f")
    axes.tick_params(colors=INK, labelsize=10)
    axes.xaxis.label.set(size=11, color=INK)
    axes.yaxis.label.set(size=11, color=INK)
    return figure, axes


def png(figure: "Figure") -> bytes:
    """The figure as PNG, its legend above the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=10, labelcolor=INK)
    buffer = io.BytesIO()
    # The same selection gives the same bytes, whatever the version of matplotlib says.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def rgb(color: str) -> tuple[float, ...]:
    """Red, green and blue of a color, from 0 to 1."""
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def short_label(text: str) -> str:
    """A text as one short line for an axis."""
    return one_line(text, _LONGEST_LABEL)
