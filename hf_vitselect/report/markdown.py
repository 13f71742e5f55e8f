"""Text escaped as Markdown, and the templates, which escape every value."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from hf_vitselect.data.text import one_line
from hf_vitselect.report.tables import table

BEGIN, END = "<!-- vitselect:begin -->", "<!-- vitselect:end -->"
"""The marks around the text of this package. All other text belongs to the user."""

_LONGEST_TEXT = 300
_MARKUP = str.maketrans({c: f"&#{ord(c)};" for c in "\\`*_{}[]<>#!|~&$@:\"'"})


class Markdown(str):
    """Text that goes into a card unchanged; templates escape every other value."""


def md(value: object, longest: int = _LONGEST_TEXT) -> Markdown:
    """Any value as one line of Markdown that renders literally, cut at a length."""
    text = one_line(str(value), longest)
    return Markdown(re.sub(r"(?i)www\.", lambda m: f"{m[0][:-1]}&#46;", text.translate(_MARKUP)))


def code(value: object) -> Markdown:
    """Any value as a code span."""
    text = str(value)
    plain = text.isprintable() and text == " ".join(text.split()) and 0 < len(text) <= _LONGEST_TEXT
    # In a table or on GitHub these characters have a meaning even in backticks.
    return Markdown(f"`{text}`" if plain and not set(text) & set("`|<$\\") else f"<code>{md(text)}</code>")


def py(value: object) -> Markdown:
    """A plain value as a Python literal that cannot end a code block or our section."""
    return Markdown(repr(value).replace("<", "\\x3c"))


def python(text: str) -> Markdown:
    """The text of a call as Python that cannot end a code block or our section."""
    escaped = (c if c.isprintable() and c != "<" else f"\\U{ord(c):08x}" for c in text)
    return Markdown("".join(escaped))


def link(repo_id: str) -> Markdown:
    """A dataset's name, linked to the Hub if it is a valid repository id."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repo_id, re.ASCII):
        return code(repo_id)
    return Markdown(f"[{md(repo_id)}](https://huggingface.co/datasets/{repo_id})")


def escaped_table(rows: Iterable[Mapping[str, Any]]) -> Markdown:
    """A table, empty without rows; cells that are neither numbers nor `Markdown` are escaped."""
    escaped = [{_cell(name): _cell(value) for name, value in row.items()} for row in rows]
    return Markdown(table(escaped) if escaped else "")


def _cell(value: Any) -> Any:
    return value if isinstance(value, (int, float, Markdown, type(None))) else md(value)


def render(template: str, **values: Any) -> str:
    """Render a template of `hub_cards`."""
    return str(_template(template).render(begin=Markdown(BEGIN), end=Markdown(END), **values))


@lru_cache
def _template(name: str) -> Any:
    environment = Environment(
        finalize=lambda value: value if isinstance(value, Markdown) else md(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "py": py, "number": lambda value: f"{value:,}"}
    return environment.from_string(files("hf_vitselect.hub_cards").joinpath(name).read_text("utf-8"))
