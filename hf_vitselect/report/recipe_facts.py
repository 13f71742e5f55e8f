"""The recipe as it is published, and what the cards of the dataset and of a model both say about it."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal

from hf_vitselect.call_text import Call, parse_call, read_call, short_call, write_call
from hf_vitselect.data.provenance import folder_name, without_folders
from hf_vitselect.errors import UsageError
from hf_vitselect.report.license import license_names
from hf_vitselect.report.markdown import link
from hf_vitselect.report.method_docs import formula, summary
from hf_vitselect.rules import RULES
from hf_vitselect.selection.method import read_method
from hf_vitselect.selection.recipe import Recipe, RowSet
from hf_vitselect.selection.scorer_recipes import ScorerRecipe
from hf_vitselect.selection.selection import Selection

Publish = Literal["rows", "indices"]
"""What is published: the picked rows and everything about them, or only ids and numbers, no text of a row."""


def published_recipe(selection: Selection, publish: Publish = "rows") -> Recipe:
    """The recipe without folders of this machine and without earlier publications."""
    recipe = selection.recipe.unpublished()
    recipe = recipe.without_texts() if publish == "indices" else recipe
    written = without_paths(recipe.to_json())
    if recipe.method:
        written["method"] = _call_without_paths(recipe.method)
    for record, plain in zip(recipe.filters, written["filters"], strict=True):
        plain["filter"] = _call_without_paths(record.filter)
    return Recipe.from_json(written)


def _call_without_paths(text: str) -> str:
    """A call whose texts are cut one by one: its escaped characters look like folders."""
    try:
        return write_call(_cut_texts(parse_call(text)))
    except UsageError:
        return str(without_paths(text))


def _cut_texts(value: Any) -> Any:
    if isinstance(value, Call):
        return Call(value.name, _cut_texts(value.arguments), _cut_texts(value.keywords))
    if isinstance(value, Mapping):
        return {name: _cut_texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_cut_texts, value))
    return without_paths(value)


def without_paths(value: Any) -> Any:
    """Plain settings with every path, of any system, cut to its last part."""
    if isinstance(value, str):
        whole = PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute() or value[:1] == "~"
        return folder_name(value) if whole else without_folders(value)
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    plain = {name: without_paths(item) for name, item in value.items()}
    # A digest is that of a folder, which may be a relative path.
    if "digest" in value or "digest" in (value.get("identity") or {}):
        folders = [name for name in ("model", "processor") if isinstance(value.get(name), str)]
        plain |= {name: folder_name(value[name]) for name in folders}
    return plain


def facts(selection: Selection, publish: Publish = "rows") -> dict[str, Any]:
    """The values that the templates of both cards share."""
    recipe, published = published_recipe(selection, publish), selection.recipe.published
    method, rule = recipe.method_call, recipe.rule_call
    call = "an unknown method" if recipe.method is None else short_call(recipe.method, read_method)
    has_name = method is not None and method.name != "Method"
    more = {"rule_notes": recipe.rule_notes, "end_of_turn": recipe.end_of_turn, **recipe.more}
    return {
        "recipe": recipe,
        "selected": len(selection),
        "source": link(recipe.source.repo_id) if recipe.source.repo_id else "a pool without a Hub address",
        "licenses": license_names(recipe.source.license),
        "method": {
            "name": _name(method),
            "call": call,
            # It may not hold with other arguments.
            "summary": summary(method.name) if method and call == f"{method.name}()" else None,
            "has_name": has_name,
            "is_rule": not has_name and not recipe.filters and not recipe.shares,
        },
        "rule": {
            "name": None if rule is None else rule.name,
            "call": "an unknown rule" if rule is None else short_call(write_call(rule), _read_rule),
            "summary": summary(rule and rule.name),
            "formula": formula(rule and rule.name),
        },
        "included": _row_set(recipe.included),
        "excluded": _row_set(recipe.excluded),
        "scorers": [_scorer(scorer) for scorer in recipe.scorers],
        "more": {key: _short(value) for key, value in more.items() if value},
        "published": published and {"link": link(published.repo_id), "commit": published.commit},
    }


def _read_rule(text: str) -> Any:
    return read_call(text, RULES)


def _row_set(rows: RowSet | None) -> dict[str, Any] | None:
    """Rows that the rule did not pick: how many, their digest, and their origin."""
    if rows is None:
        return None
    recipe, origin = rows.recipe, None
    if recipe is not None and recipe.row_ids:
        origin = "those of the seed model"
    elif recipe is not None:
        origin = f"an earlier selection by {_name(recipe.method_call)}"
    return {"rows": rows.rows - sum((rows.left_out or {}).values()), "digest": rows.digest, "origin": origin}


def _name(method: Call | None) -> str:
    """The name of a method, or of its rule if the method has no name of its own."""
    if method is None:
        return "an unknown method"
    rule: Call = method.keywords["rule"]
    return rule.name if method.name == "Method" else method.name


def _scorer(scorer: ScorerRecipe) -> dict[str, Any]:
    return {
        "name": scorer.scorer,
        "column": scorer.column,
        "summary": summary(scorer.scorer),
        "formula": formula(scorer.scorer),
        "end_of_turn": scorer.settings.get("end_of_turn"),
        "identity": scorer.identity,
        "processor": _processor(scorer),
    }


def _processor(scorer: ScorerRecipe) -> dict[str, str | None] | None:
    """Name and exact version of the processor; None if it is the model's."""
    given, named = scorer.settings.get("processor"), scorer.identity.processor
    if isinstance(given, Mapping):
        return {"name": given["class"], "commit": None, "digest": given["digest"]}
    return {"name": named.model, "commit": named.commit, "digest": named.digest} if named else None


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
