"""The pictures of the real pool and the words that people wrote about them.

Emoji are taken without skin-tone variants, joined to OpenMoji's table by code point. Clip art is taken with
the title and keywords of its SVG and the folder that its library filed it under. What is dropped, and why:

* a title that more than `SHARED_TITLE` pictures carry: it names a collection, not a picture
  ("gramastar", "Lemon SVG theme", "AIGA_Symbol_Signs");
* no title, a title without letters, or longer than `LONGEST_NAME` characters;
* a picture that shows nothing on white, or that is too large for Pillow's guard (one of 231 megapixels).

What stays is as the library has it: titles in Italian, French or Spanish, titles left over from the file
that the artist started from (a giraffe called "contour chipmunk"), copies, several pictures of one name.
"""

import html
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

SHARED_TITLE = 12
LONGEST_NAME = 50
EMOJI_LICENSE = "picture MIT (Fluent Emoji); words CC-BY-SA-4.0 (OpenMoji)"
CLIPART_LICENSE = "public domain (Open Clip Art Library)"


@dataclass(frozen=True)
class Picture:
    """One picture and its human-written metadata.

    Attributes:
        id: The source and the file's stem or path, unique.
        source: `emoji` or `openclipart`.
        name: Lower case: the emoji's annotation or the cleaned title.
        category: What it is filed under, in words; empty where the folder says nothing ("unsorted").
        subgroup: The finer heading: OpenMoji's subgroup or the folder's path.
        keywords: In the metadata's order, without the name's repetitions and machine leftovers.
        png: Encoded RGB on white, square.
        license: Of the picture and of its words.
    """

    id: str
    source: str
    name: str
    category: str
    subgroup: str
    keywords: tuple[str, ...]
    png: bytes
    license: str


def read_emoji(assets: Path, openmoji: Path, size: int) -> Iterator[Picture]:
    """Yields the emoji that have a picture and a row in OpenMoji's table, in the table's order."""
    files = {_code(path.stem): path for path in assets.glob("*.webp")}
    for row in json.loads((openmoji / "data" / "openmoji.json").read_text("utf-8")):
        path = files.get(_code(row["hexcode"]))
        other = row["group"].startswith("extras") or row["group"] == "component"
        if row["skintone"] or path is None or other:
            continue
        tags = [tag.strip().lower() for tag in row["tags"].split(",")]
        yield Picture(
            id=f"emoji/{path.stem}",
            source="emoji",
            name=row["annotation"].lower().replace("’", "'").replace("“", "").replace("”", ""),
            category=row["group"].replace("-", " and "),
            subgroup=row["subgroups"],
            keywords=tuple(dict.fromkeys(tag for tag in tags if tag)),
            png=_png(path, size) or b"",
            license=EMOJI_LICENSE,
        )


def read_clipart(pngs: Path, svgs: Path, size: int) -> Iterator[Picture]:
    """Yields the clip art that has a usable title, in the order of its paths."""
    metadata = {path: _svg_words(svgs, path.relative_to(pngs)) for path in sorted(pngs.rglob("*.png"))}
    shared = Counter(title for title, _ in metadata.values())
    for path, (title, keywords) in metadata.items():
        name = _clean_title(title)
        if shared[title] > SHARED_TITLE or not name or len(name) > LONGEST_NAME:
            continue
        folder = path.relative_to(pngs).parent.as_posix()
        png = _png(path, size)
        if png is not None:
            yield Picture(
                id=f"openclipart/{folder}/{path.stem}",
                source="openclipart",
                name=name,
                category=_folder_category(folder),
                subgroup=folder,
                keywords=keywords,
                png=png,
                license=CLIPART_LICENSE,
            )


def duplicate_groups(pictures: list[Picture], closer_than: float = 0.2) -> np.ndarray:
    """Numbers the groups of pictures that show nearly the same thing.

    Two pictures belong together where their 16 x 16 thumbnails differ by less than `closer_than` of the ink
    (distance from white) of the fainter one, in the 2-norm. Groups are the connected components.

    Returns:
        One group number per picture, shape (n,).
    """
    ink = np.stack([_ink(picture.png) for picture in pictures])
    square = (ink * ink).sum(1)
    pairs = []
    for start in range(0, len(ink), 512):
        block = slice(start, start + 512)
        distance = square[block, None] + square[None] - 2 * (ink[block] @ ink.T)
        close = distance < closer_than**2 * np.minimum(square[block, None], square[None])
        rows, columns = np.nonzero(close)
        pairs.append(np.stack([rows + start, columns]))
    rows, columns = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(len(ink), len(ink)))
    return connected_components(graph, directed=False)[1]


def _ink(png: bytes) -> np.ndarray:
    small = Image.open(io.BytesIO(png)).resize((16, 16), Image.Resampling.BOX)
    return 1.0 - np.asarray(small, np.float64).ravel() / 255.0


def _code(hexcode: str) -> str:
    """The code points without variation selectors, which the two emoji packages set differently."""
    return "-".join(part for part in hexcode.upper().split("-") if part != "FE0F")


def _png(path: Path, size: int) -> bytes | None:
    """The picture's visible part on a white square of `size` pixels; None where that shows nothing."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            picture = Image.open(path)
    except Image.DecompressionBombError:
        return None
    picture = picture.convert("RGBA")
    picture.thumbnail((4 * size, 4 * size), Image.Resampling.BOX)
    white = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(white, picture).convert("RGB")
    box = Image.fromarray((np.asarray(flat).min(2) < 245).astype(np.uint8)).getbbox()
    if box is None:
        return None
    flat = flat.crop(box)
    side = max(flat.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(flat, ((side - flat.width) // 2, (side - flat.height) // 2))
    out = io.BytesIO()
    square.resize((size, size), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


def _svg_words(svgs: Path, relative: Path) -> tuple[str, tuple[str, ...]]:
    """The title and the cleaned keywords of one SVG's metadata."""
    text = (svgs / relative).with_suffix(".svg").read_text("utf-8", errors="replace")
    metadata = re.search(r"<metadata.*?</metadata>", text, re.DOTALL)
    block = metadata.group(0) if metadata else ""
    work = re.split(r"<dc:(?:publisher|creator|rights)", block)[0]
    title = re.search(r"<dc:title[^>]*>(.*?)</dc:title>", work, re.DOTALL)
    items = [_clean_keyword(item) for item in re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", block, re.DOTALL)]
    return (title.group(1).strip() if title else ""), tuple(dict.fromkeys(item for item in items if item))


def _clean_keyword(word: str) -> str:
    """Empty for what a program left behind: "hash(0x8a393fc)", numbers, and names of the library itself."""
    word = re.sub(r"[_\s]+", " ", html.unescape(html.unescape(word))).strip().lower()
    leftover = re.match(r"hash\b|0x|\d+$|unsorted$|openclipart|architetto |signs and symbols$", word)
    return "" if leftover or not re.search(r"[a-z]", word) or len(word) > 30 else word


def _clean_title(title: str) -> str:
    title = html.unescape(html.unescape(title)).lower()
    title = re.sub(r"^(?:svg )?clip ?art by [^-]*-\s*", "", title)
    title = re.sub(r"\.svg$", "", title)
    title = re.sub(r"[_\s]+", " ", title).strip(" .-")
    title = re.sub(r"(?<=[a-z)])[ #-]*\d+[a-z]?$", "", title).strip(" .-#")
    return title if re.search(r"[a-z]{2}", title) and "\ufffd" not in title else ""


def _folder_category(folder: str) -> str:
    parts = folder.split("/")
    if parts[0] in ("unsorted", "special"):
        return ""
    return "flags" if "flags" in parts else parts[0].replace("_", " ")
