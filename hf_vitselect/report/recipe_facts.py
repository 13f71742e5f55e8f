"""The recipe as the world may see it, and what both cards say of it."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from hf_vitselect.data.provenance import folder_name, without_folders
from hf_vitselect.report.license import licence_names
from hf_vitselect.report.markdown import link
from hf_vitselect.report.method_docs import formula, summary
from hf_vitselect.selection.selection import Selection

_TOLD = {
    *("format", "source", "fingerprint", "rows", "selected", "by", "over", "scorers", "diversity", "make_up"),
    *(
        "budget",
        "dropped",
        "dropped_reasons",
        "rule",
        "seed",
        "versions",
        "published",
        "row_ids",
        "balance",
        "included",
        "excluded",
    ),
}
"""The parts of a recipe that a card has words for; all others are shown as they are."""


def published_recipe(selection: Selection) -> dict[str, Any]:
    """The recipe as the world may see it: what lies on this machine is named without its folders."""
    recipe: dict[str, Any] = without_places(selection.recipe)
    for rows in (recipe, *(recipe.get(name) or {} for name in ("included", "excluded"))):
        rows.get("recipe", rows).pop("published", None)
    return recipe


def without_places(value: Any) -> Any:
    """Plain settings of which nobody learns where they lay: files of any system by their last names."""
    if isinstance(value, str):
        whole = PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute() or value[:1] == "~"
        return folder_name(value) if whole else without_folders(value)
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    plain = {name: without_places(item) for name, item in value.items()}
    if "digest" in value or "digest" in (
        value.get("identity") or {}
    ):  # of a folder, which may be a relative one
        folders = [name for name in ("model", "processor") if isinstance(value.get(name), str)]
        plain |= {name: folder_name(value[name]) for name in folders}
    return plain


def facts(selection: Selection) -> dict[str, Any]:
    """What the cards of the data set and of a model both say."""
    recipe = published_recipe(selection)
    source = recipe["source"]
    rule = dict(recipe.get("rule") or {})
    name = rule.pop("rule", "an unknown rule")
    published = selection.recipe.get("published")
    return {
        "rows": recipe["rows"],
        "selected": len(selection),
        "digest": recipe["fingerprint"],
        "source": link(source["repo_id"]) if source.get("repo_id") else "a pool without a Hub address",
        "pool": {name: source.get(name) for name in ("config", "split", "commit")},
        "licences": licence_names(source),
        "budget": recipe.get("budget"),
        "row_ids": recipe.get("row_ids"),
        "balance": recipe.get("balance"),
        "included": _row_set(recipe.get("included")),
        "excluded": _row_set(recipe.get("excluded")),
        "dropped": recipe.get("dropped", {}),
        "dropped_reasons": recipe.get("dropped_reasons", {}),
        "by": recipe.get("by"),
        "over": recipe.get("over"),
        "seed": recipe.get("seed"),
        "rule": {"name": name, "parameters": rule, "summary": summary(name), "formula": formula(name)},
        "scorers": [_scorer(scorer) for scorer in recipe["scorers"]],
        "more": {key: _short(value) for key, value in recipe.items() if key not in _TOLD and value},
        "versions": recipe.get("versions", {}),
        "published": published and {"link": link(published["repo_id"]), "commit": published.get("commit")},
    }


def _row_set(rows: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rows that were not picked by the rule: how many, their digest, and whose they are."""
    if not rows:
        return None
    recipe = rows.get("recipe", {})
    whose = None
    if recipe.get("row_ids"):
        whose = "those of the seed model"
    elif recipe:
        whose = f"an earlier selection by {recipe.get('rule', {}).get('rule')}"
    left_out = sum(rows.get("left_out", {}).values())
    return {"rows": rows["rows"] - left_out, "digest": rows["digest"], "whose": whose}


def _scorer(scorer: Mapping[str, Any]) -> dict[str, Any]:
    name, identity = scorer.get("scorer"), scorer.get("identity") or {}
    return {
        "name": name,
        "column": scorer.get("column"),
        "summary": summary(name),
        "formula": formula(name),
        "end_of_turn": scorer.get("end_of_turn"),
        **{key: identity.get(key) for key in ("model", "commit", "digest")},
    }


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
