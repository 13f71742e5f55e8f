"""What MkDocs does for this site besides its plugins: pages from elsewhere, and links in docstrings."""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).parent))
from bars import draw
from public_names import ROOMS, door, names_of, summary_of

# Of these rooms a class's docstring says all; its methods are those of the base class.
_LEAVES = {"scorers", "filters", "rules", "exports"}
_BASES = {"ChatScorer", "ColumnScorer", "Filter", "ResponseScorer", "Rule", "Scorer"}
_LEAF = "\n    options:\n      members: [fit]"


_ROOT = Path(__file__).parents[2]
_OF_ROOT = {
    "README": "index",
    "CONTRIBUTING": "contributing",
    "SECURITY": "security",
    "CHANGELOG": "changelog",
}
"""Pages of the repository's root that the site has too."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root, and a page for each room."""
    for source, name in _OF_ROOT.items():
        text = (_ROOT / f"{source}.md").read_text()
        files.append(File.generated(config, f"{name}.md", content=_moved(text)))
    for room in ROOMS:
        files.append(File.generated(config, f"reference/{room}.md", content=_room_page(room)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the table of the door's names and the charts; lead links to pages of the root to those here."""
    for source, name in _OF_ROOT.items():
        markdown = markdown.replace(f"../{source}.md", f"{name}.md")
    return draw(markdown.replace("<!-- the door -->", _door_table()))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links of the pages that docstrings name, such as docs/papers.md."""

    def link(match: re.Match[str]) -> str:
        file = files.get_file_from_path(match[1])
        return (
            match[0] if file is None else f'<a href="{get_relative_url(file.url, page.url)}">{match[0]}</a>'
        )

    from_docstrings = page.url.startswith(("reference/", "methods/"))
    return re.sub(r"(?<![\w/>.])docs/([\w/]+\.md)", link, html) if from_docstrings else html


def _moved(text: str) -> str:
    """A page of the root with its links as they are from docs/."""
    text = text.replace("](docs/", "](")
    for source, name in _OF_ROOT.items():
        text = text.replace(f"]({source}.md", f"]({name}.md")
    return text


def _room_page(room: str) -> str:
    parts = [f"# hf_vitselect.{room}", summary_of(room)]
    for name in names_of(room):
        leaf = room in _LEAVES and name.name not in _BASES
        parts.append(f"::: {name.path}{_LEAF if leaf else ''}")
    return "\n\n".join(parts)


def _door_table() -> str:
    rows = [f"| [`{name.name}`][{name.path}] | {name.summary} |" for name in door()]
    return "\n".join(["| name | what |", "| --- | --- |", *rows])
