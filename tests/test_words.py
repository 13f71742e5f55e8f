"""Code, docs and help texts use the field's words, American spelling and plain English."""

import ast
import fnmatch
import re
from pathlib import Path

import pytest

import hf_vitselect
from hf_vitselect.cli.command import COMMANDS
from hf_vitselect.cli.main import main

ROOT = Path(hf_vitselect.__file__).parents[1]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("hf_vitselect", "docs", "examples", "benchmarks", ".")
    for pattern in ("*.py", "*.pyi", "*.md", "*.yaml", "*.jinja", "setup.cfg", "Makefile")
    for path in (ROOT.glob(pattern) if folder == "." else (ROOT / folder).rglob(pattern))
    if not path.is_relative_to(ROOT / "benchmarks" / "data")
)

# A pattern of whole words (a name is split at its underscores) -> what to write in its place.
WORDS = {
    "pack(s|ed|ing)?": "prefix sharing",
    "make[ _-]?up": "composition",
    "ahead": "prefetch",
    "measuring": "shared forward",
    "crews?": "worker pool",
    "hir(e|es|ed|ing)": "start",
    "seats?": "slot",
    "bur(y|ies|ied)": "reap",
    "child(ren)?": "worker process",
    "or_exit": "failed rows",
    "tally": "stats",
    "plain_because": "no_sharing_reason",
    "pictures?": "image",
    "catalogues?": "methods page",
    "fraction_or_rows": "budget",
}
AMERICAN = {
    "neighbour(s|hood|ing)?": "neighbor",
    "(un)?licence[sd]?": "license",
    "colour(s|ed|ing|ful)?": "color",
    "behaviours?": "behavior",
    "favour(s|ed|ite)?": "favor",
    "honour(s|ed)?": "honor",
    "grey(s|scale)?": "gray",
    "cent(re|res|red)": "center",
    "artefacts?": "artifact",
    "judgements?": "judgment",
    "labell(ed|ing)": "labeled",
    "cancell(ed|ing)": "canceled",
    "modell(ed|ing)": "modeled",
    "misspelt|spelt|learnt": "misspelled, spelled, learned",
    "whilst|amongst|towards": "while, among, toward",
    "analys(e|es|ed|ing)": "analyze",
    r"(?!arise)\w*(al|an|ar|at|ct|er|gn|id|il|im|in|it|ok|on|or)is(e|es|ed|er|ers|ing|ations?)": "-ize",
}
HABITS = {
    "beside": "next to, besides, with",
    "(go|goes|going|went) on": "continue, resume",
    "(is|are|was|were) (?-i:none)": "is not a, does not exist",
    "(is|are|was|were) there(?! (is|are|a|an|any|no)\b)": "exists",
    "so (many|much)": "the number",
    "mend(s|ed|ing)?": "fix",
    "tells?|told": "determine, distinguish, say",
    "affair": "is decided by",
    "in silence": "silently",
    "whoever": "the reader",
    "from memory|was not read|could not be read here": "differences in docs/papers.md",
}
# Names of variables, arguments, functions and classes that say nothing or mislead.
VARIABLES = {"places": "indices", "it": "a noun", "found": "a noun"}
ARGUMENTS = VARIABLES | {"wanted": "budget", "share": "budget"}
DEFINITIONS = {
    "Joined": "ScorerGroup",
    "Work": "Task",
    "Limit": "BatchLimit",
    "Signals": "TokenStats",
    "explained": "translate_errors",
    "secret": "resolve_token",
}
MODULES = {"answers", "packing", "ahead", "signals", "measuring", "child", "make_up", "catalogue", "write"}

# Verbs of summary lines in the third person; the imperative is the dialect.
THIRD_PERSON = (
    "Adds|Answers|Asks|Attaches|Builds|Calls|Checks|Chooses|Compares|Compiles|Computes|Converts|Counts|"
    "Creates|Decodes|Downloads|Draws|Embeds|Encodes|Ends|Fetches|Fills|Fine-tunes|Finds|Finishes|Gives|Goes|Holds|"
    "Joins|Keeps|Kills|Leaves|Lets|Loads|Looks|Makes|Maps|Measures|Merges|Opens|Orders|Parses|Picks|"
    "Prepares|Proposes|Publishes|Pushes|Puts|Raises|Reads|Rebuilds|Refuses|Remembers|Removes|Renders|"
    "Resolves|Returns|Runs|Saves|Says|Selects|Sends|Simulates|Splits|Starts|Stores|Takes|Trains|"
    "Watches|Writes|Yields"
)

# What may stay: files, the text that is not looked at, and why.
ALLOWED = [
    ("hf_vitselect/training/*", r"\b(eval_)?packing\b", "an argument of TRL's SFTConfig"),
    ("hf_vitselect/data/dataset_layout.py", r"\|picture", "names of columns that are refused"),
    ("hf_vitselect/data/placeholders.py", r"\|picture", "spellings of placeholders"),
    ("hf_vitselect/scorers/*", r"at pictures and|The pictures \\", "prompts, which scores depend on"),
    ("hf_vitselect/demo/pool.py", r"describe the picture", "the demo's conversations"),
    ("hf_vitselect/demo/shapes.py", r"(are|is) there", "the demo's conversations"),
    ("hf_vitselect/training/response_trainer.py", r'"licence"', "a key of TRL's model cards"),
    ("docs/*.md", r"`picture`", "a name of columns that are refused"),
    ("hf_vitselect/report/rows_page.py", r"`picture`", "a name of columns that are refused"),
    ("docs/*.md", r"\| (kind: )?colour +\|", "a kind of rows in measured tables"),
    ("docs/*.md", r"\| colour \| ", "a kind of rows in measured tables"),
    (
        "benchmarks/realpool/questions.py",
        r'"colour"|[| ]colour \||[Ww]hich colour|grey',
        "content of a measured pool",
    ),
    ("benchmarks/realpool/fetch.py", r'"npm", "pack"', "a command of npm"),
    ("benchmarks/trials/garments.py", r"are there|is there", "the garments' conversations"),
    ("benchmarks/realpool/*", r"[Pp]ictures?", "emoji and clip art, which are drawings"),
    ("benchmarks/real_pool.py", r"emoji pictures", "emoji and clip art, which are drawings"),
    ("benchmarks/on_gpu/*", r"map beside the bare model", "a key of the raw results"),
    ("benchmarks/gpu_tables.py", r"map beside the bare model", "a key of the raw results"),
    ("benchmarks/first_minutes.py", r"RUSAGE_CHILDREN", "a constant of Python"),
    ("hf_vitselect/report/card_html.py", r"\.children", "an attribute of markdown-it's tokens"),
    ("hf_vitselect/report/method_docs.py", r"Towards High", "a paper's title"),
    ("hf_vitselect/selection/recipe.py", r'"make_up"', "a key of the recipe's format 1"),
]


def _one(patterns):
    """One expression of whole words for all patterns, and what each of its named groups stands for."""
    groups = {f"g{number}": instead for number, instead in enumerate(patterns.values())}
    body = "|".join(f"(?P<g{number}>{pattern})" for number, pattern in enumerate(patterns))
    return re.compile(rf"(?<![^\W_])(?:{body})(?![^\W_])", re.IGNORECASE), groups


TEXT, INSTEAD = _one(WORDS | AMERICAN | HABITS)


def findings(name):
    """Each word of a file to change, in one line."""
    text = (ROOT / name).read_text()
    for files, allowed, _ in ALLOWED:
        if fnmatch.fnmatch(name, files):
            text = re.sub(allowed, "", text)
    for number, line in enumerate(text.splitlines(), 1):
        for match in TEXT.finditer(line):
            yield f"{name}:{number}: {match[0]!r}, say: {INSTEAD[match.lastgroup]}"
    if name.endswith(".py"):
        tree = ast.parse((ROOT / name).read_text())
        changes = [*_names(tree), *(_summaries(tree) if name.startswith("hf_vitselect/") else [])]
        yield from (f"{name}:{number}: {word!r}, say: {instead}" for number, word, instead in changes)


def _names(tree):
    """The names of variables, arguments, functions and classes that are on a list above."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VARIABLES:
            yield node.lineno, node.id, VARIABLES[node.id]
        elif isinstance(node, ast.arg) and node.arg in ARGUMENTS:
            yield node.lineno, node.arg, ARGUMENTS[node.arg]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name.lstrip("_") in DEFINITIONS:
            yield node.lineno, node.name, DEFINITIONS[node.name.lstrip("_")]


def _summaries(tree):
    """Summary lines of docstrings that are neither an imperative nor a noun."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            line, *_ = (ast.get_docstring(node) or " ").splitlines()
            words = (
                "What|That|From" if isinstance(node, ast.Module) else "What|That|From|Which|Where|How|Why|Who"
            )
            if re.match(rf"({words})\b", line) or re.match(rf"({THIRD_PERSON})\b(?! of\b)", line):
                yield getattr(node, "lineno", 1), line, "an imperative or a noun"


@pytest.mark.parametrize("name", FILES)
def test_words_of_the_field(name):
    assert not list(findings(name))


@pytest.mark.parametrize("command", COMMANDS)
def test_words_of_the_help(command, capsys):
    main([command, "--help"])
    assert not [*TEXT.finditer(capsys.readouterr().out)]


def test_modules_have_usual_names():
    assert not MODULES & {Path(name).stem for name in FILES if name.startswith("hf_vitselect/")}


def test_no_exception_is_idle():
    texts = {name: (ROOT / name).read_text() for name in FILES}
    for files, allowed, reason in ALLOWED:
        assert any(
            re.search(allowed, text) for name, text in texts.items() if fnmatch.fnmatch(name, files)
        ), f"nothing needs this exception: {files}, {reason}"
