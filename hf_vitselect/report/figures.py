"""One look for every figure: canvas, colors and PNG bytes."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POOL, SUBSET, INK = "#bcc3cb", "#0067a8", "#24292f"


_LONGEST_LABEL = 32


def canvas(height: float) -> "tuple[Figure, Axes]":
    """A figure of its own, without pyplot: nothing global is touched and nothing must be closed."""
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
    """The figure with its legend above the axes, where it hides nothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=10, labelcolor=INK)
    buffer = io.BytesIO()
    # Without the software's version the same selection gives the same bytes.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def rgb(color: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def short_label(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"
