"""The GPU script runs on a CPU too, survives its measurements, and its figures reach the docs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu  # noqa: E402
import gpu_tables  # noqa: E402

SCRIPT = """
import json, os, sys, time
asked = [name for name in sys.argv[sys.argv.index("--only") + 1 :] if name]
names = asked or ["one", "dies", "hangs", "last"]
print(json.dumps({"machine": {}, "names": names}), flush=True)
for name in names:
    if name == "dies":
        os._exit(3)
    if name == "hangs":
        time.sleep(60)
    print(json.dumps({"figure": name}), flush=True)
"""


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_tiny_run_measures_everything(tmp_path):
    out = tmp_path / "results.jsonl"
    command = [sys.executable, "benchmarks/gpu.py", "--tiny", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    machine, *measured, last = lines(out.read_text())
    assert lines(done.stdout) == [machine, *measured, last]
    assert str(tmp_path) not in machine["command"]
    assert len(measured) == 22
    assert [line["measurement"] for line in measured if "error" in line] == []
    skipped = [line["measurement"] for line in measured if "skipped" in line]
    assert [name for name in skipped if "flash" not in name] == [
        "train, qwen, FSDP",
        "train, qwen, ZeRO-3",
        "train, qwen, QLoRA",
    ]
    assert all(line["within"] for line in measured if "within" in line)


@pytest.mark.slow
def test_launched_training_prints_its_figures():
    launch = ["accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "1"]
    command = [sys.executable, "-m", *launch, "--module", "on_gpu.launched", "cpu"]
    done = subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["model"] == "tiny qwen"
    assert figures["rows/s"] > 0


def test_failed_measurements_stop_no_others(tmp_path, monkeypatch, capsys):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(gpu, "__file__", str(script))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--limit", "8"])
    gpu.main()
    found = {line["measurement"]: line for line in lines(capsys.readouterr().out) if "measurement" in line}
    assert found["one"]["figure"] == "one"
    assert found["dies"]["error"] == "the process ended with 3"
    assert found["hangs"]["error"] == "took more than 8 s"
    assert found["last"]["figure"] == "last"


def test_nothing_begins_after_the_deadline(tmp_path, monkeypatch, capsys):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(gpu, "__file__", str(script))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--deadline", "0"])
    gpu.main()
    skipped = [line["skipped"] for line in lines(capsys.readouterr().out) if "measurement" in line]
    assert skipped == ["not begun within 0 s"] * 4


def test_the_docs_hold_the_results():
    results, machines = gpu_tables.read(sorted((ROOT / "benchmarks" / "results").glob("*.jsonl")))
    pages = [page.read_text() for page in (ROOT / "docs" / "results").glob("*.md")]
    assert sum("<!-- gpu: " in page for page in pages) == 3
    assert [gpu_tables.fill(page, results, machines) for page in pages] == pages


PAGE = "<!-- gpu: selection -->\nold\n<!-- end -->\n"


def test_what_was_not_measured_says_so():
    assert "old" not in gpu_tables.fill(PAGE, {}, [])
    assert "2 of 2 rows were not measured yet." in gpu_tables.fill(PAGE, {}, [])


@pytest.mark.parametrize("other", [{"error": "no"}, {"skipped": "no"}], ids=["error", "skipped"])
def test_last_figure_of_measurement_stands(tmp_path, other):
    name = "select 15% of the smaller pool"
    figures = {"rows": 1000, "picks": 150, "ms a pick": 0.5, "peak GiB": None}
    file = tmp_path / "results.jsonl"
    made = [{"measurement": name, **figures, "seconds": seconds} for seconds in (3, 2)]
    file.write_text("\n".join(map(json.dumps, [*made, {"measurement": name, **other}])))
    table = gpu_tables.fill(PAGE, *gpu_tables.read([file]))
    assert "| 1,000 | 150 | 2 s | 0.5 ms | not measured |" in table
