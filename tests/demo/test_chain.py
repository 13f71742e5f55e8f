"""The demo's chain at a size where it learns nothing, but does everything."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import load_from_disk
from hub_server import HubServer, client_env

from hf_vitselect.demo.chain import PAPERS
from hf_vitselect.evaluation.trials import trial_folder
from hf_vitselect.selection.selection import Selection

pytestmark = pytest.mark.slow

DEMO = """
import sys
from hf_vitselect.demo.chain import demo
from hf_vitselect.demo.models import DemoSettings
sizes = {"pool_rows": 160, "held_out_rows": 24, "caption_rows": 64, "clip_epochs": 1, "tune_epochs": 1}
if __name__ == "__main__":  # the comparison's processes import this file
    print(demo(sys.argv[1], settings=DemoSettings(**sizes), seeds=2, owner="tester"))
"""


def demo(folder: Path, hub: HubServer, home: Path) -> str:
    script = home.with_suffix(".py")
    script.write_text(DEMO)
    command = [sys.executable, str(script), str(folder)]
    done = subprocess.run(command, env=client_env(hub.url, home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished demo: folder, Hub, what it printed, and printed again, and when its stages were done."""
    tmp = tmp_path_factory.mktemp("demo")
    with HubServer(tmp / "hub") as hub:
        first = demo(tmp / "out", hub, tmp / "home")
        made = {path: path.stat().st_mtime_ns for path in (tmp / "out").glob("*.json")}
        again = demo(tmp / "out", hub, tmp / "home")
        yield tmp / "out", hub, first, again, made


def test_default_is_compared_with_random(finished):
    folder, _, printed, *_ = finished
    for part in ("exact match", "exact match, rows with image", "log-likelihood"):
        assert f"## {part}\n\n| method        | rows |" in printed
    assert printed.count("- CleanBalanced, 24 rows: ") == 3
    picked = printed.partition("## What was picked")[2]
    assert "| flaw: wrong" in picked
    record = json.loads((folder / "compare" / "comparison.json").read_text())
    means = {line["method"]: line["means"] for line in record["lines"]["exact match"]}
    assert {name: len(values) for name, values in means.items()} == {"random": 2, "CleanBalanced": 2}
    assert (folder / "compare" / "comparison.png").exists()


def test_papers_methods_have_no_verdict(finished):
    part = finished[2].partition("one seed each, which proves nothing")[2]
    for name in PAPERS:
        assert re.search(rf"\| {name} +\| \d\.\d{{3}} +\|", part)


def test_dropped_rows_are_counted_by_flaw(finished):
    folder, _, printed, *_ = finished
    selection, flaws = (
        Selection.load_from_disk(folder / "selection"),
        load_from_disk(folder / "data" / "pool"),
    )
    dropped = np.array([name == "UnusedImage" for name in selection.scores["dropped_by"]])
    blind = np.array(flaws["flaw"]) == "blind"
    [row] = [line for line in printed.splitlines() if line.startswith("| UnusedImage")]
    assert f"{(dropped & blind).sum()} of {blind.sum()}" in row
    assert row.split("|")[2].strip() == str(dropped.sum())


def test_everything_is_left_in_the_folder(finished):
    folder, *_ = finished
    columns = load_from_disk(folder / "score" / "scored").column_names
    assert {"necessity", "image_gain", "embedding"} <= set(columns)
    selection = Selection.load_from_disk(folder / "selection")
    trial = Selection.load_from_disk(trial_folder(folder / "compare", "CleanBalanced", 24, 0) / "subset")
    assert selection.row_ids == trial.row_ids
    assert len(selection) == 24
    card = (folder / "card" / "README.md").read_text()
    assert "exact match, rows with image" in card
    plots = {path.name for path in (folder / "card" / "plots").iterdir()}
    assert plots == {"scores.png", "composition.png", "lengths.png"}


def test_the_same_call_repeats_no_stage(finished):
    *_, first, again, made = finished
    assert again in first
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())


def test_pushed_subset_and_model_link(finished):
    _, hub, *_ = finished
    data = hub.commit("datasets", "tester/vitselect-demo")["files"]
    assert {"README.md", "recipe.json", "plots/composition.png"} <= data.keys()
    card = hub.commit("models", "tester/vitselect-demo-llava")["files"]["README.md"]
    assert "tester/vitselect-demo" in hub.read(card).decode()
