"""Fixtures of the tests of models."""

import shutil

import pytest


@pytest.fixture
def llava(tiny, tmp_path):
    """The folder of a tiny LLaVA of the test's own, to be damaged."""
    folder = tmp_path / "llava"
    shutil.copytree(tiny("llava").folder, folder)
    return folder
