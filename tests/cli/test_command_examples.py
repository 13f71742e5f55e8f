"""The examples in the commands' help run on a small demo's folder."""

import shlex
from pathlib import Path

import pytest

from hf_vitselect.cli.command import COMMANDS, find_command
from hf_vitselect.cli.main import main
from hf_vitselect.demo.chain import demo
from hf_vitselect.demo.models import DemoSettings

pytestmark = pytest.mark.slow

# The demo has tests of its own, and a push needs the Hub.
RUNNABLE = [name for name in COMMANDS if name not in ("demo", "push")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small demo in it, and the repository's examples next to it."""
    folder = tmp_path_factory.mktemp("here")
    sizes = {"pool_rows": 160, "held_out_rows": 6, "caption_rows": 64, "clip_epochs": 1, "tune_epochs": 1}
    demo(folder / "demo", settings=DemoSettings(**sizes), seeds=1)
    (folder / "examples").symlink_to(Path(__file__).parents[2] / "examples")
    return folder


@pytest.mark.parametrize("name", RUNNABLE)
def test_examples_run_on_the_demo(name, folder, monkeypatch, capsys):
    if name == "explore":
        pytest.importorskip("embedding_atlas", reason="the extra explore is not installed")
    monkeypatch.chdir(folder)
    flags = shlex.split(find_command(name).example)
    quick = ["--max_steps", "1"] if "--use_cpu" in flags else []
    seeds = ["--seeds", "1"] if name == "compare" else []
    assert main([name, *flags, *quick, *seeds]) == 0, capsys.readouterr().err
