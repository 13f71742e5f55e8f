"""Every block of code of the tutorial and the guides runs, on tiny models and the tests' Hub."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hub_server import HubServer, client_env
from page_blocks import read_blocks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# It needs another environment: tests/examples/test_image_reward.py runs it.
ELSEWHERE = {DOCS / "guides" / "image_reward.md"}
EXPLORE = DOCS / "guides" / "explore.md"
GUIDES = sorted({*DOCS.glob("guides/*.md")} - ELSEWHERE)
PAGES = [DOCS / "tutorial.md", DOCS / "tasks.md", *GUIDES, ROOT / "README.md"]


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """What went wrong in each page's blocks; a page that is cut short has fewer."""
    pages = [page for page in PAGES if page != EXPLORE or find_spec("embedding_atlas")]
    folder = tmp_path_factory.mktemp("pages")
    (folder / "work").mkdir()
    command = [
        sys.executable,
        str(ROOT / "tests" / "page_blocks.py"),
        str(folder / "work"),
        str(folder / "errors.json"),
    ]
    with HubServer(folder / "hub") as hub:
        env = client_env(hub.url, folder / "home") | {
            "PYTHONWARNINGS": "ignore",
            "RAY_raylet_start_wait_time_s": "120",
        }
        done = subprocess.run(
            [*command, *map(str, pages)], env=env, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "errors.json").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page, errors):
    if page == EXPLORE:
        pytest.importorskip("embedding_atlas", reason="the extra explore is not installed")
    seen = errors[page.name]
    assert seen == [""] * len(read_blocks(page.read_text())), seen[-1]
