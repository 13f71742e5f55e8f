"""Check the built site: internal links and their anchors, files, and every public name in the reference.

    python docs/site/check_site.py build/site

Addresses on other machines are not fetched; whatever a page would load from one is refused.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from public_names import ROOMS, door, names_of

_LOADS = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class _Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag defines and what it refers to."""
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        loads = [values[name] for kind, name in _LOADS if kind == tag and name in values]
        if tag == "link" and values.get("rel") == "stylesheet":
            loads.append(values["href"])
        self.loads += loads
        self.links += [values["href"], *loads] if tag in ("a", "link") and "href" in values else loads


def faults(site: Path) -> list[str]:
    """What is wrong with a built site, one line each."""
    pages = {path.resolve(): _Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    lines = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        lines += [f"{name}: loads {load}" for load in page.loads if urlsplit(load).netloc]
        lines += [f"{name}: {fault}" for link in page.links if (fault := _fault(site, path, link, pages))]
    anchors = set().union(*(page.anchors for page in pages.values()))
    public = {name.path for names in (door(), *map(names_of, ROOMS)) for name in names}
    return lines + [f"the reference lacks {name}" for name in sorted(public - anchors)]


def _fault(site: Path, page: Path, link: str, pages: dict[Path, _Page]) -> str:
    """What is wrong with one link of a page, "" if nothing is."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    base = site if parts.path.startswith("/") else page.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return f"no file for {link}"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"no anchor for {link}"
    return ""


if __name__ == "__main__":
    sys.exit("\n".join(faults(Path(sys.argv[1]))) or None)
