"""A card as HTML with its images inside."""

import base64
from collections.abc import Mapping
from pathlib import Path

from markdown_it import MarkdownIt

from hf_vitselect.report.merge_readme import read_card

_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def card_html(readme: str, images: Mapping[str, bytes]) -> str:
    """Render a card's text without its metadata.

    Args:
        readme: The card in Markdown; HTML in it is shown literally or kept as the card's templates wrote it.
        images: Its images by path; others are not shown.
    """
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(read_card(readme).text)
    for token in tokens:
        if "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "n")  # the page's policy forbids styles of elements
        for inner in token.children or []:
            path = str(inner.attrGet("src") or "")
            if inner.type == "image" and path in images:
                content = base64.b64encode(images[path]).decode()
                inner.attrSet("src", f"data:{_TYPES[Path(path).suffix]};base64,{content}")
                inner.attrSet("class", path.partition("/")[0])
    return str(parser.renderer.render(tokens, parser.options, {}))
