"""What MkDocs does for this site besides its plugins: the reference's pages, and links in docstrings."""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).parent))
from public_names import ROOMS, door, names_of, summary_of

# Of these rooms a class's docstring says all; its methods are those of the base class.
_LEAVES = {"scorers", "filters", "rules", "exports"}
_BASES = {"Filter", "Rule", "Scorer"}
_LEAF = "\n    options:\n      members: [fit]"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each room."""
    for room in ROOMS:
        files.append(File.generated(config, f"reference/{room}.md", content=_room_page(room)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the table of the package's own names into its page."""
    return markdown.replace("<!-- the door -->", _door_table())


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links of the pages that docstrings name, such as docs/papers.md."""

    def link(match: re.Match[str]) -> str:
        file = files.get_file_from_path(match[1])
        return (
            match[0] if file is None else f'<a href="{get_relative_url(file.url, page.url)}">{match[0]}</a>'
        )

    return re.sub(r"(?<![\w/>.])docs/([\w/]+\.md)", link, html) if page.url.startswith("reference/") else html


def _room_page(room: str) -> str:
    parts = [f"# hf_vitselect.{room}", summary_of(room)]
    for name in names_of(room):
        leaf = room in _LEAVES and name.name not in _BASES
        parts.append(f"::: {name.path}{_LEAF if leaf else ''}")
    return "\n\n".join(parts)


def _door_table() -> str:
    rows = [f"| [`{name.name}`][{name.path}] | {name.summary} |" for name in door()]
    return "\n".join(["| name | what |", "| --- | --- |", *rows])
