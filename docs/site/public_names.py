"""The public names of each room, read from the source: nothing of the package is imported."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "hf_vitselect"
ROOMS = (
    "data", "scorers", "scoring", "filters", "rules", "selection", "training", "evaluation", "hub", "exports",
    "report", "explorer", "models", "demo", "errors",
)  # fmt: skip
"""The rooms whose names are public, in the order in which a chain uses them."""
_BASES = {
    "ChatScorer": "hf_vitselect.scorers.base.chat",
    "ColumnScorer": "hf_vitselect.scorers.base.columns",
    "ResponseScorer": "hf_vitselect.scorers.base.response",
}
"""Base classes for scorers of one's own, whose options other docstrings refer to."""


@dataclass(frozen=True)
class Name:
    """A public name.

    Attributes:
        name: the name itself.
        module: the module that defines it, such as `hf_vitselect.rules.top_score`.
    """

    name: str
    module: str

    @property
    def path(self) -> str:
        """Its place in the reference, which is also its anchor."""
        return f"{self.module}.{self.name}"

    @property
    def room(self) -> str:
        """The room that defines it."""
        return self.module.split(".")[1]

    @cached_property
    def summary(self) -> str:
        """The first paragraph of its docstring, on one line."""
        for node in ast.parse(_file(self.module).read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == self.name:
                return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
        return ""


def door() -> list[Name]:
    """The names that `hf_vitselect` itself exports, from its stub."""
    return sorted(_imported(PACKAGE / "__init__.pyi", "hf_vitselect"), key=lambda name: name.name.lower())


def names_of(room: str) -> list[Name]:
    """The public names of a room: those that it lists, and those of the door that it defines."""
    if (PACKAGE / f"{room}.py").exists():
        tree = ast.parse((PACKAGE / f"{room}.py").read_text())
        return [Name(name, f"hf_vitselect.{room}") for name in _defined(tree)]
    code = PACKAGE / room / "__init__.py"
    stub = code.with_suffix(".pyi")
    names = _imported(stub if stub.exists() else code, f"hf_vitselect.{room}")
    imported = {name.name: name for name in names}
    listed = imported if stub.exists() else _listed(ast.parse(code.read_text()))
    more = {name.name: name for name in door() if name.room == room}
    if room == "scorers":
        more |= {name: Name(name, module) for name, module in _BASES.items()}
    public = {name: imported[name] for name in listed} | more
    return sorted(public.values(), key=lambda name: name.name.lower())


def summary_of(room: str) -> str:
    """The docstring of a room."""
    return ast.get_docstring(ast.parse(_file(f"hf_vitselect.{room}").read_text())) or ""


def _file(module: str) -> Path:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def _imported(file: Path, package: str) -> Iterator[Name]:
    """The names that a file imports from this package, where they are defined."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith("hf_vitselect")):
            module = f"{package}.{node.module}" if node.level else str(node.module)
            for alias in node.names:
                yield _definition(alias.name, module)


def _definition(name: str, module: str) -> Name:
    """Follow a name through the `__init__` of rooms."""
    file = _file(module)
    stub = file.with_suffix(".pyi")
    if file.name == "__init__.py":
        for passed in _imported(stub if stub.exists() else file, module):
            if passed.name == name:
                return passed
    return Name(name, module)


def _listed(tree: ast.Module) -> list[str]:
    """The names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return list(ast.literal_eval(node.value))
    raise ValueError("expected `__all__ = [...]`")


def _defined(tree: ast.Module) -> Iterator[str]:
    """Classes and documented constants of a module; its functions are helpers."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            yield getattr(node.target, "id", "")
