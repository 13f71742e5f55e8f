"""The docs keep up with the code: imports, calls, flags, paths and the page of files."""

import ast
import contextlib
import importlib
import inspect
import io
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from page_blocks import read_blocks

from hf_vitselect.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"])
FOLDERS = "docs|examples|benchmarks|tests|hf_vitselect"


def blocks(page, language):
    """The fenced blocks of one language, without their indentation."""
    return [block.code for block in read_blocks(page.read_text()) if block.language == language]


PYTHON = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
]


def imported(block):
    """The names that a block imports from this package, and what they are."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "hf_vitselect":
            module = importlib.import_module(node.module)
            yield from ((alias.name, getattr(module, alias.name)) for alias in node.names)


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_call_what_exists(block):
    names = dict(imported(block))
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            options = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(names[node.func.id]).bind(*node.args, **options)


def commands(page):
    """The commands of a page, each as a list of words, with the block's own variables put in."""
    text = page.read_text()
    indented = re.findall(r"^    (python .*)$", text, re.MULTILINE)
    inline = re.findall(r"`(hf-vitselect [^`]+)`", text)
    for block in [*blocks(page, "bash"), *indented, *inline]:
        block = block.replace("\\\n", " ")
        for name, value in re.findall(r"\b([A-Z]+)=\"?([^\"\n;]*)", block):
            block = re.sub(rf"\$(\{{{name}\}}|{name}\b)", lambda _, value=value: value, block)
        for line in re.split(r"\n|; do |&& ", block):
            yield shlex.split(re.sub(r"\$\(.*", "", line), comments=True)


def uses(program):
    """Each use of a program in the docs: page, its words after the name."""
    return [
        pytest.param(word, words[number + 1 :], id=f"{page.name}-{' '.join(words)[:60]}")
        for page in PAGES
        for words in commands(page)
        for number, word in enumerate(words)
        if re.search(program, word) and not word.startswith("-")
    ]


def flags(words):
    return {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}


def known(text):
    return set(re.findall(r"--[a-z_0-9]+", text))


@cache
def help_of(command):
    """What `hf-vitselect COMMAND --help_all` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([command, "--help_all"]) == 0
    return out.getvalue()


@pytest.mark.parametrize(("_", "words"), uses(r"(^|/)hf-vitselect$"))
def test_flags_of_commands_exist(_, words):
    if words and re.fullmatch(r"[a-z_]+", words[0]):
        assert flags(words) <= known(help_of(words[0])) | {"--help_all"}


@cache
def help_of_script(script, *command):
    return subprocess.run(
        [sys.executable, script, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
@pytest.mark.parametrize(("script", "words"), uses(r"^(examples|benchmarks)/(?!image_reward)\w+\.py$"))
def test_flags_of_scripts_exist(script, words):
    command = words[:1] if words and re.fullmatch("[a-z]+", words[0]) else []
    assert flags(words) <= known(help_of_script(script, *command))


DOCS = ROOT / "docs"
READ_IN_ORDER = [ROOT / "README.md", DOCS / "tutorial.md", DOCS / "tasks.md", *DOCS.glob("guides/*.md")]


@pytest.mark.parametrize("page", sorted(READ_IN_ORDER), ids=lambda page: page.name)
def test_code_fits_its_column(page):
    code = [*blocks(page, "python"), *blocks(page, "bash"), *blocks(page, "yaml")]
    assert [line for block in code for line in block.splitlines() if len(line) > 96] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_and_links_exist(page):
    text = page.read_text()
    links = [target for target in re.findall(r"\]\(([^)#]+)", text) if not target.startswith("http")]
    paths = re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w/]+\.(?:pyi?|md|yaml)\b", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_files_page_is_what_code_says():
    written = runpy.run_path(str(ROOT / "docs" / "files.py"))["page"]()
    assert (ROOT / "docs" / "files.md").read_text() == written, "python docs/files.py > docs/files.md"


def test_commands_page_is_what_code_says():
    written = runpy.run_path(str(ROOT / "docs" / "commands.py"))["page"]()
    assert (ROOT / "docs" / "commands.md").read_text() == written, (
        "python docs/commands.py > docs/commands.md"
    )


def test_dependencies_page_is_what_packages_say():
    written = runpy.run_path(str(ROOT / "docs" / "dependencies.py"))["page"]()
    command = "python docs/dependencies.py > docs/dependencies.md"
    assert (ROOT / "docs" / "dependencies.md").read_text() == written, command
    assert "not stated" not in written
