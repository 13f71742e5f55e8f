"""Make README.md fit for PyPI, which shows it elsewhere: with the repository's address in front of its links.

    python docs/site/pypi.py https://github.com/OWNER/NAME v0.1.0

Also adds the address to setup.cfg. The workflow for releases runs it, because only that knows both.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def with_address(markdown: str, repository: str, tag: str) -> str:
    """Markdown whose relative links and images lead to a tag of a repository."""

    def absolute(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        kind = "raw" if image else "blob"
        return f"{image}[{text}]({repository}/{kind}/{tag}/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)]+)\)", absolute, markdown)


def with_urls(setup: str, repository: str, tag: str) -> str:
    """The text of setup.cfg with the repository's addresses among its `project_urls`."""
    urls = {
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
    }
    lines = "".join(f"    {name} = {url}\n" for name, url in urls.items())
    if "project_urls =\n" not in setup:
        raise ValueError("setup.cfg: expected a line `project_urls =`")
    return setup.replace("project_urls =\n", f"project_urls =\n{lines}", 1)


if __name__ == "__main__":
    for file, change in (("README.md", with_address), ("setup.cfg", with_urls)):
        (ROOT / file).write_text(change((ROOT / file).read_text(), *sys.argv[1:]))
