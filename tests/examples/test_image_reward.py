"""docs/guides/image_reward.md: its code runs, with a stand-in for the package that has the model."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Features, Value, concatenate_datasets
from pools import assistant, encode, mixed_pool, pool, raw_images, stripes, user

from hf_vitselect.data.rows import read_table, undecoded

ROOT = Path(__file__).parents[2]
# What image-reward 1.5 offers, and a reward that depends on text and picture.
STAND_IN = """
import hashlib

def load(name):
    assert name == "ImageReward-v1.0"
    return Model()

class Model:
    def score(self, prompt, image):
        assert image.mode == "RGB"
        return hashlib.sha256(prompt.encode() + image.tobytes()).digest()[0] / 100 - 1
"""


def export_and_join():
    """The last two Python blocks of the document; the first loads a pool."""
    page = ROOT / "docs" / "guides" / "image_reward.md"
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[1:]


def by_hand(row):
    rewards = [
        hashlib.sha256(row.transcript.encode() + picture.decode().tobytes()).digest()[0] / 100 - 1
        for picture in row.images
    ]
    return pytest.approx(sum(rewards) / len(rewards), abs=1e-6) if rewards else None


TALK = [user("what?", 1), assistant("red")]
BROKEN = encode(stripes(), "JPEG")[:-40]
BAD = [(TALK, [BROKEN]), (TALK, [None]), ([{"role": "narrator", "content": []}], [])]
POOL = concatenate_datasets([mixed_pool(8), pool(BAD)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the document's first two steps have run."""
    folder = tmp_path_factory.mktemp("image_reward")
    (folder / "ImageReward.py").write_text(STAND_IN)
    export, _ = export_and_join()
    script = [sys.executable, str(ROOT / "examples" / "image_reward.py")]
    files = ["for_image_reward.parquet", "image_reward.parquet"]
    with contextlib.chdir(folder):
        exec(export, {"pool": POOL})
        subprocess.run([*script, *files], check=True, env=os.environ | {"PYTHONPATH": str(folder)})
    return folder


def join(folder, dataset):
    """The document's third step."""
    names = {"pool": dataset}
    with contextlib.chdir(folder):
        exec(export_and_join()[1], names)
    return names["pool"]


def test_every_row_gets_reward_or_status(folder):
    scored = join(folder, POOL)
    rows = [row for table in undecoded(POOL) for row in read_table(table)]
    assert scored["image_reward"][:] == [*map(by_hand, rows[:8]), None, None, None]
    expected = ["ok" if row.images else "image_missing" for row in rows[:8]]
    assert scored["image_reward_status"][:] == [*expected, "image_error", "image_missing", "image_missing"]


def test_columns_have_exact_types(folder):
    scored = join(folder, POOL)
    added = {"image_reward": Value("float32"), "image_reward_status": Value("string")}
    assert scored.features == Features({**POOL.features, **added})
    assert raw_images(scored) == raw_images(POOL)


def test_rewards_of_another_pool_are_refused(folder):
    with pytest.raises(AssertionError, match="another pool"):
        join(folder, POOL.select([1, 0, *range(2, len(POOL))]))
