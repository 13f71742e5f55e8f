"""The demo's chain at a size where it learns nothing, but does everything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_from_disk
from hub_server import HubServer, client_env

from hf_vitselect.selection.selection import Selection

pytestmark = pytest.mark.slow

DEMO = """
import sys
from hf_vitselect.demo.chain import demo
from hf_vitselect.demo.models import DemoSettings
sizes = {"pool_rows": 160, "held_out_rows": 24, "caption_rows": 64, "clip_epochs": 1, "tune_epochs": 1}
settings, compared = DemoSettings(**sizes), len(sys.argv) > 3
print(demo(sys.argv[1], settings=settings, seeds=int(sys.argv[2]), owner="tester", compared=compared))
"""


def demo(folder: Path, hub: HubServer, home: Path, seeds: int, *compared: str) -> str:
    command = [sys.executable, "-c", DEMO, str(folder), str(seeds), *compared]
    done = subprocess.run(command, env=client_env(hub.url, home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished demo: folder, Hub, what it printed, and printed again, and when its stages were done."""
    tmp = tmp_path_factory.mktemp("demo")
    with HubServer(tmp / "hub") as hub:
        first = demo(tmp / "out", hub, tmp / "home", seeds=2)
        made = {path: path.stat().st_mtime_ns for path in (tmp / "out").glob("*.json")}
        again = demo(tmp / "out", hub, tmp / "home", seeds=2)
        yield tmp / "out", hub, first, again, made


def test_selection_is_compared_with_random(finished, tmp_path):
    folder, hub, *_ = finished
    printed = demo(folder, hub, tmp_path, 2, "compared")
    for part in (
        "- NeighborPenalty, 24 rows: ",
        "- random, lengths of NeighborPenalty, 24 rows: ",
        "| flaw: wrong",
    ):
        assert part in printed
    assert (folder / "compare" / "comparison.png").exists()


def test_everything_is_left_in_the_folder(finished):
    folder, *_ = finished
    assert "necessity" in load_from_disk(folder / "score" / "scored").column_names
    selection = Selection.load_from_disk(folder / "selection")
    random = Selection.load_from_disk(folder / "random")
    assert len(selection) == len(random) == 24
    assert (folder / "card" / "README.md").read_text().startswith("---")
    plots = {path.name for path in (folder / "card" / "plots").iterdir()}
    assert plots == {"scores.png", "composition.png", "lengths.png"}
    assert len(list(folder.glob("model_*_[01]/model.safetensors"))) == 4


def test_the_table_has_what_was_measured(finished):
    folder, _, printed, *_ = finished
    grades = json.loads((folder / "grades" / "grades.json").read_text())
    accuracy = [sum(run["right"]) / 24 for run in grades["fine-tuned on random"]]
    assert f"| fine-tuned on random    | {sum(accuracy) / 2:.3f}" in printed
    for part in ("flaw: wrong", "kind: multi_turn", "model_selection_1", "| all "):
        assert part in printed


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
