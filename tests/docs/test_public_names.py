"""The reference lists every public name."""

import ast
import importlib
from pathlib import Path

import public_names
import pytest
from page_blocks import read_blocks

import hf_vitselect

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def test_door_has_every_name():
    listed = public_names.door()
    assert {name.name for name in listed} == {*hf_vitselect.__all__} - {"__version__"}
    for name in listed:
        assert getattr(hf_vitselect, name.name) is getattr(importlib.import_module(name.module), name.name)
        assert name.summary
        assert name in public_names.names_of(name.room)


@pytest.mark.parametrize("room", public_names.ROOMS)
def test_room_has_every_name(room):
    module, listed = importlib.import_module(f"hf_vitselect.{room}"), public_names.names_of(room)
    assert {name.name for name in listed} >= {*getattr(module, "__all__", ())}
    for name in listed:
        defined = getattr(importlib.import_module(name.module), name.name)
        assert getattr(module, name.name, defined) is defined


def imports(text):
    """What a page's blocks of Python import from this package, as (module, name)."""
    trees = (ast.parse(block.code) for block in read_blocks(text) if block.language == "python")
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [
        (node.module, alias.name)
        for node in nodes
        if node.module.split(".")[0] == "hf_vitselect"
        for alias in node.names
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_import_public_names_alone(page):
    rooms = {f"hf_vitselect.{room}": public_names.names_of(room) for room in public_names.ROOMS}
    listed = {module: {name.name for name in names} for module, names in rooms.items()}
    listed["hf_vitselect"] = {name.name for name in public_names.door()}
    assert [(module, name) for module, name in imports(page.read_text()) if name not in listed[module]] == []


def test_every_room_is_public():
    rooms = {path.parent.name for path in public_names.PACKAGE.glob("*/__init__.py")}
    assert rooms - {*public_names.ROOMS} == {"cli", "hub_cards"}
