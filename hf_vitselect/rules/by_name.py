"""Rules that a flag or a recipe names."""

from hf_vitselect import rules
from hf_vitselect.rules.base import Rule

RULES: dict[str, type[Rule]] = {name: getattr(rules, name) for name in rules.__all__ if name != "Rule"}


def rule_class(name: str) -> type[Rule]:
    """The rule of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in RULES:
        raise ValueError(f"expected a rule among {sorted(RULES)}, got {name!r}")
    return RULES[name]
