"""What LLaMA-Factory's and ms-swift's own data code loads of an export.

Each runs in an environment of its own, whose Python is named by LLAMA_FACTORY_PYTHON or MS_SWIFT_PYTHON.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Value
from pools import mixed_pool

from hf_vitselect import Selection, select_diverse
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.rows import read_rows
from hf_vitselect.exports import LlamaFactory, MsSwift, export
from hf_vitselect.exports.text import marked_text
from hf_vitselect.rules import TopScore

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "load_export.py"


def selection() -> Selection:
    rows: Dataset = mixed_pool(12).add_column("system", ["be brief", None] * 6)
    scored = rows.add_column("necessity", [float(i) for i in range(12)], feature=Value("float32"))
    return select_diverse(scored, 10, rule=TopScore())


def load(variable: str, *arguments: str) -> list[dict[str, Any]]:
    """The rows as the trainer in this environment loads them."""
    if (python := os.environ.get(variable)) is None:
        pytest.skip(f"{variable} names no Python of an environment with this trainer")
    command = [python, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"turns"')]


def written(chosen: Selection) -> list[dict[str, Any]]:
    """The rows as they were selected."""
    read = [row for row in read_rows(chosen.dataset) if isinstance(row, Conversation)]
    return [
        {
            "turns": [[turn.role, marked_text(turn)] for turn in row.turns],
            "images": [image.digest() for image in row.images],
        }
        for row in read
    ]


def test_llama_factory_loads_everything(tmp_path: Path) -> None:
    chosen = selection()
    export(chosen, tmp_path, LlamaFactory(), name="mine")
    rows = load("LLAMA_FACTORY_PYTHON", "llama-factory", str(tmp_path), "mine")
    assert rows == written(chosen)


def test_ms_swift_loads_everything(tmp_path: Path) -> None:
    chosen = selection()
    file = export(chosen, tmp_path, MsSwift())
    assert load("MS_SWIFT_PYTHON", "ms-swift", str(file)) == written(chosen)
