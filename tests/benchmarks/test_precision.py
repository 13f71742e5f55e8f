"""The benchmark of half precision, rehearsed on pools that teach nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_dtypes_are_measured_and_shown(tmp_path):
    results, page = tmp_path / "lines.jsonl", tmp_path / "page.md"
    page.write_text("<!-- precision: picks -->\n<!-- end -->\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "precision.py")]
    measure = ["measure", "--tiny", "--testbeds", "demo", "--folder", str(tmp_path / "run")]
    for _ in range(2):
        subprocess.run([*command, *measure, "--results", str(results)], check=True)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["pool"], line["dtype"]) for line in lines] == [
        (pool, dtype) for pool in (1, 2, 3, 4) for dtype in ("bfloat16", "float16")
    ]
    assert all(0 < line["necessity"]["largest difference"] < 1 for line in lines)
    assert all(0 < share <= 1 for line in lines for share in line["picks"].values())
    subprocess.run([*command, "page", "--results", str(results), "--page", str(page)], check=True)
    rows = [line.split("|")[1:4] for line in page.read_text().splitlines() if line.startswith("| demo")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["demo", "bfloat16", "4"],
        ["demo", "float16", "4"],
    ]
