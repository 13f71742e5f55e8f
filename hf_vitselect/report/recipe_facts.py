"""The recipe as the world may see it, and what both cards say of it."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from hf_vitselect.data.provenance import folder_name, without_folders
from hf_vitselect.report.license import licence_names
from hf_vitselect.report.markdown import link
from hf_vitselect.report.method_docs import formula, summary
from hf_vitselect.selection.recipe import Recipe, RowSet
from hf_vitselect.selection.scorer_recipes import ScorerRecipe
from hf_vitselect.selection.selection import Selection


def published_recipe(selection: Selection) -> Recipe:
    """The recipe as the world may see it, without folders of this machine and earlier publications."""
    return Recipe.from_json(without_places(selection.recipe.unpublished().to_json()))


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
    source, published = recipe.source, selection.recipe.published
    name, parameters = (recipe.rule.name, recipe.rule.arguments) if recipe.rule else ("an unknown rule", {})
    more = {"rule_notes": recipe.rule_notes, "end_of_turn": recipe.end_of_turn, **recipe.more}
    return {
        "rows": recipe.rows,
        "selected": len(selection),
        "digest": recipe.fingerprint,
        "source": link(source.repo_id) if source.repo_id else "a pool without a Hub address",
        "pool": {"config": source.config, "split": source.split, "commit": source.commit},
        "licences": licence_names(source.license),
        "budget": recipe.budget,
        "row_ids": recipe.row_ids,
        "balance": recipe.balance,
        "included": _row_set(recipe.included),
        "excluded": _row_set(recipe.excluded),
        "dropped": recipe.dropped,
        "dropped_reasons": recipe.dropped_reasons,
        "by": recipe.by,
        "over": recipe.over,
        "seed": recipe.seed,
        "rule": {"name": name, "parameters": parameters, "summary": summary(name), "formula": formula(name)},
        "scorers": [_scorer(scorer) for scorer in recipe.scorers],
        "more": {key: _short(value) for key, value in more.items() if value},
        "versions": recipe.versions,
        "published": published and {"link": link(published.repo_id), "commit": published.commit},
    }


def _row_set(rows: RowSet | None) -> dict[str, Any] | None:
    """Rows that the rule did not pick: how many, their digest, and whose they are."""
    if rows is None:
        return None
    recipe, whose = rows.recipe, None
    if recipe is not None and recipe.row_ids:
        whose = "those of the seed model"
    elif recipe is not None:
        whose = f"an earlier selection by {recipe.rule and recipe.rule.name}"
    left_out = sum((rows.left_out or {}).values())
    return {"rows": rows.rows - left_out, "digest": rows.digest, "whose": whose}


def _scorer(scorer: ScorerRecipe) -> dict[str, Any]:
    name, identity = scorer.scorer, scorer.identity
    return {
        "name": name,
        "column": scorer.column,
        "summary": summary(name),
        "formula": formula(name),
        "end_of_turn": scorer.settings.get("end_of_turn"),
        "model": identity.model,
        "commit": identity.commit,
        "digest": identity.digest,
    }


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
