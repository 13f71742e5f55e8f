"""The door is light and complete, and the rooms import downwards only."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import hf_vitselect

PACKAGE = Path(hf_vitselect.__file__).parent
# From the ground floor up. A room may import from the floors below its own, and from itself.
FLOORS = [
    {"errors"},
    {"loading", "explain"},
    {"rules", "sources"},
    {"data", "columns", "diversity"},
    {"make_up", "refusals", "rows"},
    {"answers", "templates", "views", "weights"},
    {"encoding"},
    {"packing", "ahead", "signals", "forward"},
    {"batching"},
    {"vlm", "clip", "chat", "score_net"},
    {"scorer", "gradients"},
    {"measuring"},
    {"vlm_scorer"},
    {"response_scorer", "clip_scorer", "column_scorer", "chat_scorer"},
    {"scorers", "engines"},
    {"runs", "scoring"},
    {"validation"},
    {"selection", "contamination"},
    {"baselines", "catalogue", "rows_page"},
    {"report"},
    {"card", "summary"},
    {"evaluation", "training", "hub"},
    {"compare"},
    {"arguments"},
    {"plan"},
    {"commands"},
    {"pipeline"},
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


def imported(path):
    """The rooms that a file imports from anywhere in it, also inside functions and for typing only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package == "hf_vitselect" and rest and rest[0] != "__version__":
                # A name of the door stands for its room.
                yield hf_vitselect._ROOMS.get(rest[0], rest[0])


def test_every_room_has_a_floor():
    assert {parts[0] for parts, _ in modules()} <= FLOOR_OF.keys()


@pytest.mark.parametrize(("parts", "path"), [pytest.param(*it, id=".".join(it[0])) for it in modules()])
def test_imports_point_downwards(parts, path):
    floor = FLOOR_OF[parts[0]]
    assert {room for room in imported(path) if room != parts[0] and FLOOR_OF[room] >= floor} == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "scorers").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_scorer_imports_no_scorer(path):
    assert "scorers" not in imported(path)


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


def test_the_door_s_lists_agree():
    assert sorted(hf_vitselect.__all__) == sorted(hf_vitselect._ROOMS) == hf_vitselect.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hf_vitselect.nonsense  # noqa: B018


def test_star_import_gives_the_public_names():
    names = {}
    exec("from hf_vitselect import *", names)
    assert names.keys() - {"__builtins__"} == set(hf_vitselect.__all__)
