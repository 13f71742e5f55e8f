"""Benchmarks with lines of results and a page, rehearsed on pools that teach nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def rehearse(
    script: str, folder: Path, block: str, *flags: str, times: int = 1
) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure the demo's testbed, then write a page with one block: the lines, and the table's rows."""
    results, page = folder / "lines.jsonl", folder / "page.md"
    page.write_text(f"<!-- {block} -->\n<!-- end -->\n")
    command = [sys.executable, str(BENCHMARKS / script)]
    measure = ["measure", "--tiny", "--testbeds", "demo", "--folder", str(folder / "run"), *flags]
    for _ in range(times):
        subprocess.run([*command, *measure, "--results", str(results)], check=True)
    subprocess.run([*command, "page", "--results", str(results), "--page", str(page)], check=True)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    return lines, [row for row in page.read_text().splitlines() if row.startswith("| demo")]
