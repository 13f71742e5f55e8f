"""The Python script that recreates a selection from its recipe."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hf_vitselect.call_text import Call, parse_call, read_call, write_call
from hf_vitselect.errors import UsageError
from hf_vitselect.filters import FILTERS
from hf_vitselect.report.markdown import Markdown, py, python
from hf_vitselect.rules import RULES
from hf_vitselect.scorers import SCORERS
from hf_vitselect.scorers.base.chat import ChatScorer
from hf_vitselect.scorers.base.response import ResponseScorer
from hf_vitselect.selection.method import NAMED, Method, read_method
from hf_vitselect.selection.recipe import Recipe


def script(recipe: Recipe) -> Markdown:
    """The Python script that recreates the selection."""
    source, from_hub = recipe.source, recipe.source.repo_id
    makers = {
        # The exact commit instead of a branch; a folder has none.
        made.column: made.scorer and _call(made.scorer, {**made.settings, "revision": made.identity.commit})
        for made in recipe.scorers
    }
    known = [call for call in makers.values() if call]
    method = _method(recipe)
    given = [name for name, call in makers.items() if call is None]
    if method:
        added = {name for call in known for name in _columns(call)}
        given += [name for name in _used_columns(recipe, method) if name not in {*makers, *added}]

    lines = ["from datasets import load_dataset"] if from_hub else []
    names = sorted({call.partition("(")[0] for call in known})
    lines.append(f"from hf_vitselect import {', '.join([*names, 'score', 'select_diverse'])}")
    lines += [*(_imports(method) if method else []), ""]
    if from_hub:
        config = [py(source.config)] if source.config else []
        revision = [f"revision={py(source.commit)}"] if source.commit else []
        split = f"split={py(source.split or 'train')}"
        lines.append(f"pool = load_dataset({', '.join([py(from_hub), *config, split, *revision])})")
    else:
        lines.append(f"pool = ...  # the dataset whose row ids have the digest {py(recipe.fingerprint)}")
    lines += [f"# the pool must have the column {py(name)}" for name in given]
    named = {"included": recipe.included, "excluded": recipe.excluded}
    sets = {name: rows for name, rows in named.items() if rows}
    lines += [
        f"{name} = [...]  # {rows.rows} row ids with the digest {py(rows.digest)}"
        for name, rows in sets.items()
    ]
    if known:
        lines += ["scorers = [", *(f"    {call}," for call in known), "]"]
        lines.append('scored = score(pool, scorers, output_dir="scores")')
    budget = recipe.selected if recipe.budget is None else recipe.budget
    arguments = ["scored" if known else "pool", str(py(budget))]
    arguments += [f"method={python(write_call(method)) if method else '...'}", f"seed={py(recipe.seed or 0)}"]
    arguments += [f"{name.removesuffix('d')}={name}" for name in sets]
    return Markdown(
        "\n".join([*lines, "selection = select_diverse(", *(f"    {a}," for a in arguments), ")"])
    )


def _method(recipe: Recipe) -> Method | None:
    """The method, if all its parts are of this package."""
    try:
        return None if recipe.method is None else read_method(recipe.method)
    except UsageError:
        return None


def _imports(method: Method) -> list[str]:
    """The lines that import what the method's text names."""
    used = set(_names(parse_call(write_call(method))))
    rooms: dict[str, Iterable[str]] = {
        "hf_vitselect.filters": FILTERS,
        "hf_vitselect.rules": RULES,
        "hf_vitselect.selection": [*NAMED, "QuestionKinds"],
    }
    named = {room: sorted(used.intersection(names)) for room, names in rooms.items()}
    return [f"from {room} import {', '.join(names)}" for room, names in named.items() if names]


def _names(value: Any) -> Iterator[str]:
    """The classes that a parsed call names."""
    if isinstance(value, Call):
        yield value.name
        value = [*value.arguments, *value.keywords.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from _names(item)


def _used_columns(recipe: Recipe, method: Method) -> list[str]:
    """The columns that the selection used, without those of skipped filters."""
    skipped = [record.skipped is not None for record in recipe.filters]
    ran = tuple(each for each, skip in zip(method.filters, skipped, strict=False) if not skip)
    return list(dict.fromkeys([*method.required_columns, *replace(method, filters=ran).filter_columns]))


def _columns(call: str) -> Iterable[str]:
    """The columns that a scorer adds next to its main one; only these kinds of scorers add any."""
    kind = SCORERS[call.partition("(")[0]]
    if not issubclass(kind, ResponseScorer | ChatScorer):
        return ()  # nor is the width of an embedding known before its model is loaded
    try:
        return list(read_call(call, SCORERS).features)
    except UsageError:  # an argument that is another object
        return ()


def _call(name: str, values: Mapping[str, Any]) -> str | None:
    """The constructor call of a scorer with these arguments.

    None for a class of the user's own, and for one made by its `fit`, which needs a pool.
    """
    kind = SCORERS.get(name)
    if kind is None or hasattr(kind, "fit"):
        return None
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
