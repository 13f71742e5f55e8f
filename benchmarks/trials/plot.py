"""The plot of docs/results/evidence.md: accuracy by rows, of random rows and of the default."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trials.plan import Arm, Plan

GRAY, BLUE, GREEN = "#6e7781", "#0067a8", "#1a7f37"


def plot(lines: Mapping[str, Any], plan: Plan) -> bytes:
    """One panel a testbed, as a PNG file."""
    figure = Figure(figsize=(4.6 * len(plan.curve), 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(plan.curve), squeeze=False)[0]
    for axes, (bed, curve) in zip(panels, plan.curve.items(), strict=True):
        versus = [each for each in plan.versus if each.default.pools == plan.base[bed].pools]
        random = {arm.budget: arm for arm in (*curve.values(), *(each.random for each in versus))}
        _draw(axes, lines, list(random.values()), "random rows", GRAY, "o-")
        _draw(axes, lines, [each.default for each in versus], "the default", BLUE, "D-")
        oracles = [each.oracle for each in versus if each.oracle is not None]
        _draw(axes, lines, oracles, "oracle: sound, distinct rows", GREEN, "^:")
        axes.set_xscale("log")
        measured = [budget for budget, arm in random.items() if arm.lines(lines)]
        axes.set_xticks(measured, [f"{budget:.0%}" for budget in measured])
        axes.minorticks_off()
        axes.set_title(bed)
        axes.set_xlabel("rows trained on, of the pool")
    panels[0].set_ylabel("held-out accuracy")
    drawn = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if drawn:
        figure.legend(
            drawn.values(), drawn.keys(), loc="outside upper center", ncols=len(drawn), frameon=False
        )
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _draw(axes: Axes, lines: Mapping[str, Any], arms: list[Arm], label: str, color: str, style: str) -> None:
    """Means over pools and seeds, with bars of one standard deviation of seeds inside pools."""
    points = []
    for arm in sorted(arms, key=lambda arm: arm.budget):
        values = arm.values(lines, "accuracy")
        if len(values):
            spread = float(np.sqrt(values.var(axis=0, ddof=1).mean())) if len(values) > 1 else 0.0
            points.append((arm.budget, float(values.mean()), spread))
    if points:
        budgets, means, spreads = zip(*points, strict=True)
        axes.errorbar(budgets, means, spreads, fmt=style, color=color, label=label, markersize=5, capsize=2)
