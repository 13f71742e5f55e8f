"""What pages of results are made with: tables between two comments, and the commit that was measured."""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path


def fill(page: str, about: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The page with each table between its comments, `<!-- ABOUT: NAME -->` and `<!-- end -->`.

    Raises:
        KeyError: If the page has a comment for a table that is not there.
    """
    return re.sub(
        rf"(<!-- {about}: (\w+) -->\n).*?(<!-- end -->)",
        lambda block: f"{block[1]}{tables[block[2]]()}\n{block[3]}",
        page,
        flags=re.DOTALL,
    )


def commit() -> str:
    """The commit of this file's repository, marked if something is not committed."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
