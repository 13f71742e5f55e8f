"""Rules that a flag or a recipe names."""

import difflib

from hf_vitselect import rules
from hf_vitselect.rules.base import Rule

RULES: dict[str, type[Rule]] = {name: getattr(rules, name) for name in rules.__all__ if name != "Rule"}


def rule_class(name: str) -> type[Rule]:
    """The rule of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in RULES:
        spelled = {each.lower(): each for each in RULES}
        near = [spelled[it] for it in difflib.get_close_matches(name.lower(), spelled, n=1)]
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"expected a rule among {sorted(RULES)}, got {name!r}{advice}")
    return RULES[name]
