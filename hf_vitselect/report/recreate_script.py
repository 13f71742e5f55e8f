"""The Python code that makes a selection again, from its recipe."""

import inspect
from collections.abc import Mapping
from typing import Any

from hf_vitselect import rules, scorers
from hf_vitselect.report.markdown import Markdown, py


def script(recipe: Mapping[str, Any]) -> Markdown:
    """The Python code that makes the selection again.

    Args:
        recipe: as it is published; a scorer or rule that is none of ours becomes a comment or `...`.
    """
    source, rule = recipe["source"], recipe.get("rule") or {}
    makers = {s.get("column"): _call(scorers, s, s.get("scorer"), **_pinned(s)) for s in recipe["scorers"]}
    known = [call for call in makers.values() if call]
    rule_call = _call(rules, rule, rule.get("rule"))

    from_hub = source.get("repo_id")
    lines = ["from datasets import load_dataset"] if from_hub else []
    names = sorted({call.partition("(")[0] for call in known})
    lines.append(f"from hf_vitselect import {', '.join([*names, 'score', 'select_diverse'])}")
    if rule_call:
        lines.append(f"from hf_vitselect.rules import {rule_call.partition('(')[0]}")
    lines.append("")
    if from_hub:
        config = [py(source["config"])] if source.get("config") else []
        revision = [f"revision={py(source['commit'])}"] if source.get("commit") else []
        split = f"split={py(source.get('split') or 'train')}"
        lines.append(f"pool = load_dataset({', '.join([py(from_hub), *config, split, *revision])})")
    else:
        lines.append(f"pool = ...  # the data set whose row ids have the digest {py(recipe['fingerprint'])}")
    lines += [f"# the pool must have the column {py(name)}" for name, call in makers.items() if call is None]
    sets = {name: rows for name in ("included", "excluded") if (rows := recipe.get(name))}
    lines += [
        f"{name} = [...]  # {rows['rows']} row ids with the digest {py(rows['digest'])}"
        for name, rows in sets.items()
    ]
    if known:
        lines += ["scorers = [", *(f"    {call}," for call in known), "]"]
        lines.append('scored = score(pool, scorers, output_dir="scores")')
    arguments = ["scored" if known else "pool", str(py(recipe.get("budget", recipe["selected"])))]
    arguments += [f"{name}={py(recipe[name])}" for name in ("by", "over") if recipe.get(name)]
    arguments += [f"rule={rule_call or '...'}", f"seed={py(recipe.get('seed', 0))}"]
    arguments += [f"{name.removesuffix('d')}={name}" for name in sets]
    if balance := recipe.get("balance"):
        arguments += [f"balance={py(balance['column'])}", f"balance_quota={py(balance['quota'])}"]
    return Markdown(
        "\n".join([*lines, "selection = select_diverse(", *(f"    {a}," for a in arguments), ")"])
    )


def _pinned(scorer: Mapping[str, Any]) -> dict[str, Any]:
    """The exact commit in place of a branch; a folder has none."""
    return {"revision": (scorer.get("identity") or {}).get("commit")}


def _call(module: Any, recipe: Mapping[str, Any], name: Any, **changes: Any) -> str | None:
    """The constructor call that the recipe of a rule or a scorer tells.

    None if the class is none of ours, or is made by its `fit`, which looks at a pool that no recipe holds.
    """
    kind = getattr(module, name) if name in module.__all__ else None
    if kind is None or hasattr(kind, "fit"):
        return None
    values = {**recipe, **changes}
    arguments: list[str] = []
    for parameter in inspect.signature(kind).parameters.values():
        value = values.get(parameter.name, parameter.default)
        if isinstance(value, Mapping):
            arguments.append(f"{parameter.name}=...")
        elif parameter.default is parameter.empty:
            arguments.append(py(value))
        elif value != parameter.default:
            arguments.append(f"{parameter.name}={py(value)}")
    return f"{name}({', '.join(arguments)})"
