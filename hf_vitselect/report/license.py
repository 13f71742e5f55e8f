"""The license that a subset inherits from its pool, and what it forbids."""

import re
from collections.abc import Iterable
from typing import Any

_FORBIDS = {
    "commerce": r"(?i)(?<![a-z])nc(?![a-z])|non-?\s?commercial",
    "derivatives": r"(?i)(?<![a-z])nd(?![a-z])|no-?\s?deriv",
}
_WARNINGS = {
    "commerce": "it forbids commercial use of the subset, and perhaps of models trained on it",
    "derivatives": "it forbids sharing derivatives, and a subset may be one; ask before you share the rows, "
    'or publish only the row ids (publish="indices")',
}


def license_names(value: Any) -> list[str]:
    """The names in a license field, which holds one name, a list, or nothing."""
    return [str(name) for name in (value if isinstance(value, list) else [value]) if name]


def hub_license(names: Iterable[str]) -> str | list[str] | None:
    """The license for a card's metadata, where the Hub accepts only its own short names."""
    short = r"[A-Za-z0-9][A-Za-z0-9.-]{1,40}"
    known = [name.lower() if re.fullmatch(short, name) else "other" for name in names]
    return known[0] if len(known) == 1 else known or None


def license_warnings(names: Iterable[str]) -> list[str]:
    """One sentence for everything that these licenses forbid."""
    return [
        f"the pool's license is {name}: {_WARNINGS[what]}"
        for name in names
        for what, pattern in _FORBIDS.items()
        if re.search(pattern, name)
    ]
