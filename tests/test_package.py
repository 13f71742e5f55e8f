"""The package as a tree: a light door, rooms that import downwards only, tests that mirror them."""

import ast
import importlib
import json
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from pools import mixed_pool

import hf_vitselect

PACKAGE = Path(hf_vitselect.__file__).parent
ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
# From the ground up. A room imports only from the floors below its own, and from itself.
FLOORS = [
    {"errors", "notebook", "progress"},
    {"data", "rules", "resume", "call_text"},
    {"models", "filters"},
    {"scorers"},
    {"scoring"},
    {"selection"},
    {"report", "exports"},
    {"training", "hub"},
    {"evaluation", "explorer"},
    {"demo"},
    {"cli"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted({*PACKAGE.rglob("*.py")} - {PACKAGE / "__init__.py"})
TEST_FILES = sorted(TESTS.rglob("test_*.py"))
OF_ALL_ROOMS = {"test_package.py", "test_words.py", "test_pages.py", "test_blocks.py"}
OTHER_TREES = {
    "examples": ROOT / "examples",
    "benchmarks": ROOT / "benchmarks",
    "docs": ROOT / "docs" / "site",
}
SCRIPTS = sorted(path for tree in OTHER_TREES.values() for path in tree.rglob("*.py"))


def each(paths, root):
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(root)))


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def of_room(name):
    return [path for path in MODULES if room_of(path) == name]


@cache
def nodes_of(path):
    return list(ast.walk(ast.parse(path.read_text())))


def imports_of(path):
    """The dotted names that a file imports from anywhere in it, also inside functions and for typing only."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name):
    """The file of the package that an import reads, or None for another package's."""
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return None
    for length in range(len(rest), -1, -1):
        path = PACKAGE.joinpath(*rest[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def functions_of(path):
    return [node for node in nodes_of(path) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_every_room_has_a_floor():
    assert {room_of(path) for path in MODULES} - {"hub_cards"} <= FLOOR_OF.keys()


@each(MODULES, PACKAGE)
def test_imports_point_downwards(path):
    rooms = {room_of(file) for file in map(file_of, imports_of(path)) if file in MODULES} - {room_of(path)}
    assert {room for room in rooms if FLOOR_OF[room] >= FLOOR_OF[room_of(path)]} == set()


def test_no_files_import_in_circles():
    graph = {path: {*map(file_of, imports_of(path))} - {None} for path in MODULES}
    TopologicalSorter(graph).prepare()


@each([path for path in of_room("scorers") if path.stem != "__init__"], PACKAGE)
def test_scorers_import_no_other_scorer(path):
    assert {
        file for file in map(file_of, imports_of(path)) if file and file.parent.name == "scorers"
    } == set()


@each(of_room("rules"), PACKAGE)
def test_rules_know_no_datasets(path):
    assert {name.partition(".")[0] for name in imports_of(path)} & {"datasets", "pyarrow"} == set()


@each(TEST_FILES, TESTS)
def test_tests_mirror_the_tree(path):
    """`tests/<room>/test_<file>.py` or `test_<file>_<aspect>.py`; tests of helpers mirror tests/ itself."""
    room = path.parent.relative_to(TESTS)
    folders = [OTHER_TREES.get(str(room), PACKAGE / room), TESTS]
    words = path.stem.split("_")[1:]
    names = ["_".join(words[:length]) for length in range(1, len(words) + 1)]
    assert path.name in OF_ALL_ROOMS or any(
        (folder / f"{name}.py").is_file() for folder in folders for name in names
    )


@each(TEST_FILES, TESTS)
def test_test_names_are_short(path):
    names = [node.name for node in functions_of(path) if node.name.startswith("test_")]
    assert [name for name in names if not 3 <= name.count("_") <= 6] == []


@each(MODULES, PACKAGE)
def test_no_function_is_long(path):
    """At most 60 lines below the docstring."""
    for function in functions_of(path):
        body = function.body[ast.get_docstring(function) is not None :]
        assert not body or function.end_lineno - body[0].lineno < 60, function.name


def test_no_class_is_long():
    classes = [node for path in MODULES for node in nodes_of(path) if isinstance(node, ast.ClassDef)]
    assert {node.name for node in classes if node.end_lineno - node.lineno >= 300} == set()


@each(SCRIPTS, ROOT)
def test_scripts_use_public_names(path):
    """Whatever examples and benchmarks import, the door or a room exports."""
    for name in filter(file_of, imports_of(path)):
        module, _, attribute = name.rpartition(".")
        assert module.count(".") <= 1, name
        room = importlib.import_module(module)
        assert attribute in getattr(room, "__all__", dir(room)), name


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
def test_every_public_name_opens(name):
    assert getattr(hf_vitselect, name).__name__ == name
    assert name in dir(hf_vitselect)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nonsense"):
        hf_vitselect.nonsense  # noqa: B018


def test_star_import_gives_public_names():
    names = {}
    exec("from hf_vitselect import *", names)
    assert names.keys() - {"__builtins__"} == set(hf_vitselect.__all__)


WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"matplotlib", "markdown_it", "trl"}:
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
from hf_vitselect import NecessityScorer, load_pool, score, select_diverse
from hf_vitselect.rules import TopScore
from hf_vitselect.selection import CleanBalanced

scored = score(load_pool(sys.argv[1]), NecessityScorer(sys.argv[2]), sys.argv[3])
print(len(select_diverse(scored, 2, rule=TopScore())))
print(len(select_diverse(scored, 2, method=CleanBalanced(filters=[]))))
"""


def test_selecting_needs_no_trainer_or_plots(tiny, tmp_path):
    mixed_pool(9).save_to_disk(tmp_path / "pool")
    arguments = [tmp_path / "pool", tiny("llava").folder, tmp_path / "scores"]
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["2", "2"]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["select", "-h"]])
def test_help_is_fast(arguments):
    """Under a second of CPU, also of a slow machine: nothing heavy is imported."""
    script = LIGHT.replace(
        "import hf_vitselect\n", f"from hf_vitselect.cli.main import main; main({arguments})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, heavy = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert seconds < 1
