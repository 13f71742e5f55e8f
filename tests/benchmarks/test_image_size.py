"""The benchmark of smaller images, rehearsed on pools that teach nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_sizes_are_measured_and_shown(tmp_path):
    results, page = tmp_path / "lines.jsonl", tmp_path / "page.md"
    page.write_text("<!-- image size: picks -->\n<!-- end -->\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "image_size.py")]
    measure = ["measure", "--tiny", "--testbeds", "demo", "--folder", str(tmp_path / "run")]
    subprocess.run([*command, *measure, "--results", str(results)], check=True)
    (line,) = map(json.loads, results.read_text().splitlines())
    whole, *smaller, _ = line["sizes"]
    assert (whole["tokens"], whole["picks"]["15%"]) == (36, 1)
    assert [size["tokens"] for size in smaller] == [25, 16, 9]
    assert all(size["necessity"]["largest difference"] > 0 for size in smaller)
    subprocess.run([*command, "page", "--results", str(results), "--page", str(page)], check=True)
    assert page.read_text().count("| demo") == 5
