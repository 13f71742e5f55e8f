"""The figures of benchmarks/gpu.py as tables in the docs.

    python benchmarks/gpu_tables.py

Reads every file of benchmarks/results/, where a later line about a measurement replaces an earlier one, and
writes each table between its two comments, `<!-- gpu: NAME -->` and `<!-- end -->`, on the pages of
docs/results/. A figure that no line gives is "not measured", and a row of such figures is left out.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import results_page

ROOT = Path(__file__).parent.parent
Results = Mapping[str, Mapping[str, Any]]
MISSING = "not measured"


def main() -> None:
    """Fills the pages."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    results, machines = read(sorted((ROOT / "benchmarks" / "results").glob("*.jsonl")))
    for page in sorted((ROOT / "docs" / "results").glob("*.md")):
        text = page.read_text()
        if (filled := fill(text, results, machines)) != text:
            page.write_text(filled)
            print(f"wrote {page.relative_to(ROOT)}")


def read(files: Sequence[Path]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The last line about each measurement that has a figure, and the machines, each with its command."""
    results: dict[str, dict[str, Any]] = {}
    machines = []
    for file in files:
        for line in map(json.loads, file.read_text().splitlines()):
            if "machine" in line:
                machines.append(line)
            elif "measurement" in line and not {"error", "skipped"} & line.keys():
                results[line["measurement"]] = line
    return results, machines


def fill(text: str, results: Results, machines: Sequence[Mapping[str, Any]]) -> str:
    """The page with its tables."""
    tables: dict[str, Callable[[], str]] = {
        "machines": lambda: _machines(machines),
        "agreement": lambda: _agreement(results),
        "scoring": lambda: _scoring(results),
        "overhead": lambda: _overhead(results),
        "training": lambda: _training(results),
        "selection": lambda: _selection(results),
        "faiss": lambda: _faiss(results),
    }
    return results_page.fill(text, "gpu", tables)


def _machines(machines: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for entry in machines:
        machine = entry["machine"]
        packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
        card = f"{machine.get('card', MISSING)}, driver {machine.get('driver', MISSING)}"
        software = f"Python {machine['python']}, CUDA {machine.get('cuda', MISSING)}, {packages}"
        lines.append(
            f"- {machine['date']}: {card}, {machine['cores']} cores, {software}: `{entry['command']}`"
        )
    return "\n".join(lines) or MISSING


def _agreement(results: Results) -> str:
    header = ["GPU against CPU float32", "LLaVA", "Qwen2.5-VL", "tolerance"]
    rows = []
    for dtype in ("float32", "bfloat16"):
        line = results.get(f"agreement in {dtype}", {})
        gaps = line.get("largest difference of a row, nats", {})
        rows.append(
            [
                dtype,
                *(_figure(gaps.get(family)) for family in ("llava", "qwen")),
                _figure(line.get("tolerance")),
            ]
        )
    return _table(header, rows)


def _scoring(results: Results) -> str:
    header = ["model", "attention", "rows an image", "rows/s", "tokens/s", "tokens/s as rows have them"]
    header += ["share of the peak", "share in forwards", "peak memory"]
    rows = []
    for family, name in (("llava", "LLaVA-1.5-7B"), ("qwen", "Qwen2.5-VL-3B")):
        for attention in ("sdpa", "flash_attention_2"):
            for count in (1, 4):
                line = results.get(f"{family}, {count} row{'s' * (count > 1)} an image, {attention}", {})
                figures = [line.get(key) for key in ("rows/s", "tokens/s", "tokens/s as rows have them")]
                shares = [line.get(key) for key in ("share of peak", "share of peak in forwards")]
                memory = _figure(line.get("peak GiB"), "GiB")
                rows.append(
                    [name, attention, str(count), *map(_figure, figures), *map(_percent, shares), memory]
                )
    return _table(header, rows)


def _overhead(results: Results) -> str:
    both, mapped = results.get("two scorers in one pass", {}), results.get("map", {})
    rows = [
        ["two scorers in one pass, against one", _percent(both["ratio"] - 1 if both else None)],
        ["`map`, against the bare model", _percent(mapped.get("map beside the bare model"))],
    ]
    return _table(["what", "more wall time"], rows)


def _training(results: Results) -> str:
    rows = []
    names = {
        "llava": "LLaVA-1.5-7B, LoRA",
        "qwen": "Qwen2.5-VL-3B, LoRA",
        "qwen, FSDP": "Qwen2.5-VL-3B, all weights, FSDP",
        "qwen, ZeRO-3": "Qwen2.5-VL-3B, all weights, ZeRO-3",
        "qwen, QLoRA": "Qwen2.5-VL-3B, QLoRA",
    }
    for key, name in names.items():
        line = results.get(f"train, {key}", {})
        batch = _figure(line.get("rows a step"))
        step, memory = _figure(line.get("seconds a step"), "s"), _figure(line.get("peak GiB"), "GiB")
        rows.append([name, batch, step, _figure(line.get("rows/s")), memory])
    return _table(["model", "rows a step", "a step", "rows/s", "peak memory"], rows)


def _selection(results: Results) -> str:
    rows = []
    for name in ("select 15% of the smaller pool", "select 2% of the larger pool"):
        line = results.get(name, {})
        counts = [f"{line[key]:,}" if line else MISSING for key in ("rows", "picks")]
        seconds, memory = _figure(line.get("seconds"), "s"), _figure(line.get("peak GiB"), "GiB")
        rows.append(
            [name.removeprefix("select "), *counts, seconds, _figure(line.get("ms a pick"), "ms"), memory]
        )
    return _table(["picks", "rows", "picked", "wall", "a pick", "peak GPU memory"], rows)


def _faiss(results: Results) -> str:
    rows = []
    for rule in ("SemDeDup", "FacilityLocation", "NeighborPenalty"):
        line = results.get(f"faiss, {rule}", {})
        counts = [f"{line[key]:,}" if line else MISSING for key in ("rows", "picks")]
        seconds = [_figure(line.get(f"seconds on the {where}"), "s") for where in ("device", "CPU")]
        rows.append([rule, *counts, *seconds, _percent(line.get("share of equal picks"))])
    return _table(["rule", "rows", "picked", "GPU", "CPU", "equal picks"], rows)


def _figure(value: float | None, unit: str = "") -> str:
    if value is None:
        return MISSING
    digits = (
        f"{value:.0e}" if 0 < abs(value) < 1e-3 else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    )
    return f"{digits} {unit}".strip()


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1%}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table without the rows of which hardly anything was measured."""
    known = [row for row in rows if 2 * row.count(MISSING) < len(row)]
    lines = [header, ["---"] * len(header), *known]
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines) if known else ""
    missing = f"{len(rows) - len(known)} of {len(rows)} rows were not measured yet." if known != rows else ""
    return "\n\n".join(filter(None, (shown, missing)))


if __name__ == "__main__":
    main()
