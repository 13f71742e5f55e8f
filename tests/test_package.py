"""The door is light and complete, and the rooms import downwards only."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hf_vitselect

PACKAGE = Path(hf_vitselect.__file__).parent
# From the ground floor up. A room may import from the floors below its own, and from itself.
FLOORS = [
    {"errors"},
    {"data", "resume", "call_text"},
    {"models", "rules"},
    {"filters", "scorers"},
    {"scoring"},
    {"selection"},
    {"report"},
    {"training", "hub"},
    {"evaluation"},
    {"demo"},
    {"cli"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    """Every module's parts below the package, without the door itself."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield parts, path


def imported_modules(path):
    """The dotted names that a file imports from anywhere in it, also inside functions and for typing only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path):
    """The rooms of this package that a file imports from."""
    for name in imported_modules(path):
        package, *rest = name.split(".")
        if package == "hf_vitselect" and rest and rest[0] != "__version__":
            yield rest[0]


def test_every_room_has_a_floor():
    assert {parts[0] for parts, _ in modules()} <= FLOOR_OF.keys()


@pytest.mark.parametrize(("parts", "path"), [pytest.param(*it, id=".".join(it[0])) for it in modules()])
def test_imports_point_downwards(parts, path):
    floor = FLOOR_OF[parts[0]]
    assert {room for room in imported(path) if room != parts[0] and FLOOR_OF[room] >= floor} == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "scorers").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_scorer_imports_no_scorer(path):
    assert {
        module for module in imported_modules(path) if re.match(r"hf_vitselect\.scorers\.(?!base\.)", module)
    } == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "rules").glob("*.py")), ids=lambda path: path.stem)
def test_a_rule_knows_arrays_only(path):
    assert set(imported(path)) <= {"rules"}


LIGHT = """
import json, sys, time
start = time.perf_counter()
import hf_vitselect
seconds = time.perf_counter() - start
heavy = {"torch", "transformers", "trl", "datasets", "peft", "PIL", "pyarrow", "numpy", "matplotlib"}
print(json.dumps([seconds, sorted(heavy & sys.modules.keys())]))
"""


def test_the_door_is_light():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    seconds, heavy = json.loads(done.stdout)
    assert heavy == []
    assert seconds < 1


@pytest.mark.parametrize("name", hf_vitselect.__all__)
def test_every_name_of_the_door_opens(name):
    assert getattr(hf_vitselect, name).__name__ == name
    assert name in dir(hf_vitselect)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        hf_vitselect.nonsense  # noqa: B018


def test_star_import_gives_the_public_names():
    names = {}
    exec("from hf_vitselect import *", names)
    assert names.keys() - {"__builtins__"} == set(hf_vitselect.__all__)
