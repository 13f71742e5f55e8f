"""Fixtures that all tests share: one torch thread, no network, tiny models saved once a session."""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from collections.abc import Callable

import datasets
import pytest
import torch
from tiny import ARCHITECTURES, Tiny, save

torch.set_num_threads(1)
datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tiny]:
    """A tiny model by the name of its architecture, built and saved at the first call."""
    made: dict[str, Tiny] = {}

    def build(name: str) -> Tiny:
        if name not in made:
            made[name] = save(ARCHITECTURES[name], tmp_path_factory.mktemp(name))
        return made[name]

    return build
