"""Fixtures that all tests share: one torch thread, no network, tiny models saved once a session."""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from collections.abc import Callable, Iterator

import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset, List, Value
from hub_server import HubServer
from pools import mixed_pool
from tiny import ARCHITECTURES, Tiny, save

torch.set_num_threads(1)
datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def scored_pool() -> Dataset:
    """40 rows with pictures and made-up scores, kinds and vectors; rows 3 and 17 could not be scored."""
    rng = np.random.default_rng(0)
    failed = (3, 17)
    necessity = [None if i in failed else float(rng.gamma(2.0)) for i in range(40)]
    pool = mixed_pool(40)
    pool = pool.add_column("necessity", necessity, feature=Value("float32"))
    status = ["image_error" if i in failed else "ok" for i in range(40)]
    pool = pool.add_column("necessity_status", status, feature=Value("string"))
    vectors = rng.normal(size=(40, 4)).tolist()
    pool = pool.add_column("embedding", vectors, feature=List(Value("float32"), length=4))
    kinds = [("caption", "count", "colour")[i % 7 % 3] for i in range(40)]
    return pool.add_column("kind", kinds, feature=Value("string"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub of the module's own on this machine."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tiny]:
    """A tiny model by the name of its architecture, built and saved at the first call."""
    made: dict[str, Tiny] = {}

    def build(name: str) -> Tiny:
        if name not in made:
            made[name] = save(ARCHITECTURES[name], tmp_path_factory.mktemp(name))
        return made[name]

    return build
