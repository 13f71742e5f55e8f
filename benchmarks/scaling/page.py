"""The tables of docs/results/scale.md, from the lines of benchmarks/results/scale.jsonl."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import results_page

from hf_vitselect.report import table

Line = Mapping[str, Any]


def fill(page: str, lines: Sequence[str]) -> str:
    """The page with its tables; of several lines about a stage and size the last one counts."""
    latest: dict[tuple[str, int], Line] = {}
    for line in map(json.loads, lines):
        latest[line["stage"], line["rows"]] = line
    return results_page.fill(page, "scale", {"methods": lambda: _methods(latest)})


def _methods(latest: Mapping[tuple[str, int], Line]) -> str:
    rows: list[dict[str, str]] = []
    for stage in dict.fromkeys(stage for stage, _ in latest):
        sizes = sorted(rows for name, rows in latest if name == stage)
        smaller = dict(pairwise(sizes))
        before = {larger: smaller_one for smaller_one, larger in smaller.items()}
        for size in sizes:
            line = latest[stage, size]
            rows.append(
                {
                    "stage": stage,
                    "rows": f"{size:,}",
                    "CPU": f"{line['cpu']:.1f} s",
                    "wall": f"{line['wall']:.1f} s",
                    "load": f"{line['load']:.1f}",
                    "peak": f"{line['peak'] / 2**20:.0f} MiB",
                    "exponent": _exponent(latest[stage, before[size]], line) if size in before else "",
                    "outcome": _outcome(line["figures"]),
                    "commit": line["commit"],
                }
            )
    return table(rows)


def _exponent(small: Line, large: Line) -> str:
    """The power of the rows with which the CPU seconds grow."""
    return f"{math.log(large['cpu'] / small['cpu']) / math.log(large['rows'] / small['rows']):.2f}"


def _outcome(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in figures.items())


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_outcome(value)})"
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:.5g}" if isinstance(value, float) else str(value)
    )
