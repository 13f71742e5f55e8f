"""The page of all files: each module and template with the first line of its documentation.

python docs/files.py > docs/files.md
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "hf_vitselect"


def page() -> str:
    """The page, as Markdown."""
    lines = [
        "# Files",
        "",
        "Written by `python docs/files.py > docs/files.md`. A room imports only rooms below it.",
    ]
    rooms = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    lines += ["", "| file | |", "|---|---|", *_rows(sorted(PACKAGE.glob("*.py")))]
    for room in rooms:
        files = sorted([*room.rglob("*.py"), *room.rglob("*.jinja")])
        inside = (path for path in files if path != room / "__init__.py")
        lines += ["", f"## {room.name}/", "", _summary(room / "__init__.py"), "", "| file | |", "|---|---|"]
        lines += _rows(inside)
    return "\n".join([*lines, ""])


def _rows(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        yield f"| `{path.relative_to(PACKAGE).as_posix()}` | {_summary(path)} |"


def _summary(path: Path) -> str:
    """The first paragraph of a module's docstring, or a template's comment in its first line."""
    if path.suffix == ".jinja":
        return path.read_text().partition("\n")[0].strip("{#- }")
    documentation = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(documentation.split("\n\n")[0].split())


if __name__ == "__main__":
    print(page(), end="")
