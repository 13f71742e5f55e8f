"""The card as a folder of files, and as one self-contained HTML page."""

import base64
import os
from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment
from markdown_it import MarkdownIt

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.merge_readme import read_card
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.selection.selection import Selection

_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def write_report(
    selection: Selection,
    folder: str | os.PathLike[str],
    *,
    plots: Mapping[str, bytes] | None = None,
    run: str | os.PathLike[str] | None = None,
) -> Path:
    """Write what a push would show, without the Hub.

    Args:
        selection: any selection.
        folder: created if missing; older files of the same names are replaced.
        plots: as in `card_files`.
        run: the folder of the run that made the selection.

    Returns:
        The page, `index.html`, next to the files of `card_files`.

    Raises:
        ColumnError: if the rows have columns of reserved names.

    Examples:
        >>> write_report(selection, "report")  # doctest: +SKIP
        PosixPath('report/index.html')
    """
    refuse_reserved(selection.dataset.features)
    published = selection.recipe.published
    record = None if run is None else RunRecord.read(run)
    made = card_files(selection, plots, repo_id=published.repo_id if published else None, run=record)
    made["index.html"] = html_page(made["README.md"].decode(), made).encode()
    for path, content in made.items():
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Path(folder, "index.html")


def html_page(readme: str, images: Mapping[str, bytes]) -> str:
    """A card as one page with its images, light or dark like the reader's system.

    The page can load and run nothing, whatever the card says.
    """
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(read_card(readme).text)
    for token in tokens:
        for inner in token.children or []:
            path = str(inner.attrGet("src") or "")
            if inner.type == "image" and path in images:
                content = base64.b64encode(images[path]).decode()
                inner.attrSet("src", f"data:{_TYPES[Path(path).suffix]};base64,{content}")
                inner.attrSet("class", path.partition("/")[0])
    title = next((after.content for at, after in pairwise(tokens) if at.tag == "h1"), "")
    template = files("hf_vitselect.hub_cards").joinpath("page.html.jinja").read_text("utf-8")
    body = parser.renderer.render(tokens, parser.options, {})
    return Environment(autoescape=True).from_string(template).render(title=title, body=body)
