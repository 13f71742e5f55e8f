"""The licence that a subset inherits from its pool, and what it forbids."""

import re
from collections.abc import Iterable
from typing import Any

_FORBIDS = {
    "commerce": r"(?i)(?<![a-z])nc(?![a-z])|non-?\s?commercial",
    "derivatives": r"(?i)(?<![a-z])nd(?![a-z])|no-?\s?deriv",
}
_WARNINGS = {
    "commerce": "it forbids commercial use, of the subset and perhaps of what is trained on it",
    "derivatives": "it forbids sharing derivatives, which a subset may be; ask before you share the rows, "
    'or publish the row ids only (publish="indices")',
}


def licence_names(given: Any) -> list[str]:
    """The names in a license field: one, a list, or none."""
    return [str(name) for name in (given if isinstance(given, list) else [given]) if name]


def hub_licence(names: Iterable[str]) -> str | list[str] | None:
    """The same for a card's metadata, where the Hub takes its own short names only."""
    short = r"[A-Za-z0-9][A-Za-z0-9.-]{1,40}"
    known = [name.lower() if re.fullmatch(short, name) else "other" for name in names]
    return known[0] if len(known) == 1 else known or None


def licence_warnings(names: Iterable[str]) -> list[str]:
    """A sentence for everything that a licence of these names forbids."""
    return [
        f"the pool's licence is {name}: {_WARNINGS[what]}"
        for name in names
        for what, pattern in _FORBIDS.items()
        if re.search(pattern, name)
    ]
