"""Selection -> Markdown and metadata of its cards; pure, no network.

Everything that is not written in a template stays text: Markdown, HTML and Jinja in a column's name, a
path or a recipe are shown, never obeyed.
"""

import copy
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import PurePath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from huggingface_hub import DatasetCard
from jinja2 import Environment, StrictUndefined

from hf_vitselect import report, rules, scorers
from hf_vitselect.selection import Selection

BEGIN, END = "<!-- vitselect:begin -->", "<!-- vitselect:end -->"
"""Around what this package writes; what stands outside belongs to the user."""

_PAPERS = {
    "2402.12501": "Your Vision-Language Model Itself Is a Strong Filter (Self-Filter)",
    "2503.20502": "MLLM-Selector: Necessity and Diversity-driven High-Value Data Selection for Enhanced "
    "Visual Instruction Tuning",
}
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_LONGEST_TEXT = 300
_MARKUP = str.maketrans({c: f"&#{ord(c)};" for c in "\\`*_{}[]<>#!|~&$@:\"'"})


class Markdown(str):
    """Text that may go into a card as it is; a template escapes every other value."""


def card_files(
    selection: Selection,
    plots: Mapping[str, bytes],
    *,
    existing: str = "",
    repo_id: str | None = None,
) -> dict[str, bytes]:
    """Everything that stands beside the rows on the Hub, by path.

    Args:
        plots: PNG files by name, as `hf_vitselect.report.plots` draws them.
        existing: a README that is there already, to be merged with.
        repo_id: where it will be published.

    Returns:
        ``README.md``, ``recipe.json``, ``picks.json`` (row ids and gains in pick order) and ``plots/``.

    Raises:
        ValueError: if the existing README's metadata is no mapping.
        yaml.YAMLError: if it is no YAML.
    """
    pictures = {f"plots/{name}": content for name, content in plots.items()}
    body = dataset_card(selection, repo_id=repo_id, plots=list(pictures))
    ids = selection.scores["row_id"][:]
    picks = {"row_id": [ids[i] for i in selection.indices], "gain": selection.gains.tolist()}
    return pictures | {
        "recipe.json": json.dumps(published_recipe(selection), indent=2).encode(),
        "picks.json": json.dumps(picks).encode(),
        "README.md": merge_card(existing, body, card_data(selection)).encode(),
    }


def dataset_card(selection: Selection, *, repo_id: str | None = None, plots: Sequence[str] = ()) -> str:
    """The body of the data set's card, in Markdown.

    Args:
        repo_id: where it will be published.
        plots: paths of pictures, relative to the card.

    Returns:
        A title, and the description between the marks `BEGIN` and `END`.

    Example:
        >>> body = dataset_card(selection, repo_id="me/llava-instruct-15pct")  # doctest: +SKIP
    """
    facts = _facts(selection)
    diversity = selection.recipe.get("diversity", {})
    return _render(
        "dataset_card.md.jinja",
        **facts,
        title=(repo_id or "A selection").rpartition("/")[2],
        repo_id=repo_id or "path/to/the/dataset",
        plots=[{"path": Markdown(quote(path)), "text": _plot_text(path)} for path in plots],
        statistics=_table(report.statistics(selection)),
        diversity=_table([{"figure": name, "value": value} for name, value in diversity.items()]),
        script=Markdown(_script(published_recipe(selection))),
        papers=[*_papers(facts)],
    )


def model_section(selection: Selection) -> str:
    """What the card of a model says about the selection that it was trained on, between the marks."""
    return _render("model_section.md.jinja", **_facts(selection))


def model_quick_start(model: str) -> str:
    """The section of a model card that says how to ask the model about a picture."""
    return _render("model_quick_start.md.jinja", model=model)


def card_data(selection: Selection) -> dict[str, Any]:
    """The metadata of the data set's card.

    Returns:
        Plain YAML values: the source's licence and name if they are known, sizes, tags, and under
        ``vitselect`` what a program needs to tell which rows of which pool these are.
    """
    recipe = published_recipe(selection)
    source = recipe["source"]
    data: dict[str, Any] = {}
    if license_name := source.get("license"):
        # The Hub takes its own short names only; the card's text has whatever the source says.
        known = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,40}", license_name.lower())
        data["license"] = license_name.lower() if known else "other"
    if source.get("repo_id"):
        data["source_datasets"] = [source["repo_id"]]
    data["size_categories"] = [next((name for top, name in _SIZES if len(selection) < top), "n>1M")]
    data["task_categories"] = ["image-text-to-text"]
    data["tags"] = ["vitselect", "data-selection"]
    left_out = ("budget", "scorers", "diversity", "versions")
    data["vitselect"] = {name: value for name, value in recipe.items() if name not in left_out}
    data["vitselect"]["source"] = {name: value for name, value in source.items() if value is not None}
    data["vitselect"]["scorers"] = [
        {"column": scorer.get("column"), "scorer": scorer.get("scorer"), **(scorer.get("identity") or {})}
        for scorer in recipe["scorers"]
    ]
    return data


def published_recipe(selection: Selection) -> dict[str, Any]:
    """The recipe as the world may see it: a model's folder is named without the folders above it."""
    recipe = copy.deepcopy(selection.recipe)
    recipe.pop("published", None)
    for scorer in recipe["scorers"]:
        identity = scorer.get("identity") or {}
        if "digest" in identity:
            scorer["model"] = _folder_name(identity["model"])
        while identity:
            if "digest" in identity:
                identity["model"] = _folder_name(identity["model"])
            identity = identity.get("base")
    return recipe


def merge_card(existing: str, body: str, data: Mapping[str, Any]) -> str:
    """Puts a body and metadata into a card that may be there already.

    Args:
        existing: the whole README; may be empty.
        body: with the marks, as `dataset_card` and `model_section` write it.
        data: as `card_data` gives it.

    Returns:
        The whole README. The text between the marks is replaced, or appended if there is none; the title
        before the marks is used only where there is no text yet. Of the metadata, our sizes and
        ``vitselect`` block replace older ones, lists are united, and other keys keep the value that they
        have, so that a licence that somebody has set by hand stays.

    Raises:
        ValueError: if the existing metadata is no mapping.
        yaml.YAMLError: if it is no YAML.
    """
    has_metadata = existing.lstrip().startswith("---")
    card = DatasetCard(existing if has_metadata else f"---\n{{}}\n---\n{existing}")
    card.text = merge_section(card.text, body)
    for name, value in data.items():
        old = card.data.get(name)
        if name in ("size_categories", "vitselect") or old is None:
            card.data[name] = value
        elif isinstance(value, list):
            card.data[name] = list(dict.fromkeys([*([old] if isinstance(old, str) else old), *value]))
    return str(card.content)


def merge_section(text: str, section: str) -> str:
    """Puts what stands between the marks into a text: in place of an older one, or at the end."""
    new = section[section.index(BEGIN) : section.index(END) + len(END)]
    end = text.find(END)
    start = text.rfind(BEGIN, 0, end) if end >= 0 else -1
    if start >= 0:
        return text[:start] + new + text[end + len(END) :]
    if not text.strip():
        return f"\n{section.strip()}\n"
    return f"{text.rstrip()}\n\n{new}\n"


def md(value: object) -> Markdown:
    """Any value as one line of Markdown that shows it literally."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    text = " ".join(text.split())
    if len(text) > _LONGEST_TEXT:
        text = f"{text[: _LONGEST_TEXT - 1]}…"
    return Markdown(re.sub(r"(?i)www\.", lambda m: f"{m[0][:-1]}&#46;", text.translate(_MARKUP)))


def code(value: object) -> Markdown:
    """Any value as a code span."""
    text = str(value)
    plain = text.isprintable() and text == " ".join(text.split()) and 0 < len(text) <= _LONGEST_TEXT
    # The rest of Markdown has no meaning in backticks; these characters have, in a table or on GitHub.
    return Markdown(f"`{text}`" if plain and not set(text) & set("`|<$\\") else f"<code>{md(text)}</code>")


def _py(value: object) -> Markdown:
    """A plain value as a Python literal that can end neither a code block nor a section of ours."""
    return Markdown(repr(value).replace("<", "\\x3c"))


def _render(template: str, **values: Any) -> str:
    return str(_template(template).render(begin=Markdown(BEGIN), end=Markdown(END), **values))


@lru_cache
def _template(name: str) -> Any:
    environment = Environment(
        finalize=lambda value: value if isinstance(value, Markdown) else md(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "py": _py, "number": lambda value: f"{value:,}"}
    return environment.from_string(files("hf_vitselect.hub_cards").joinpath(name).read_text("utf-8"))


def _facts(selection: Selection) -> dict[str, Any]:
    """What both cards say."""
    recipe = published_recipe(selection)
    source = recipe["source"]
    rule = dict(recipe.get("rule") or {})
    published = selection.recipe.get("published")
    return {
        "rows": recipe["rows"],
        "selected": len(selection),
        "digest": recipe["fingerprint"],
        "source": _link(source["repo_id"]) if source.get("repo_id") else "a pool without a Hub address",
        "pool": {name: source.get(name) for name in ("config", "split", "commit", "license")},
        "budget": recipe.get("budget"),
        "row_ids": recipe.get("row_ids"),
        "dropped": recipe.get("dropped", {}),
        "by": recipe.get("by"),
        "over": recipe.get("over"),
        "seed": recipe.get("seed"),
        "rule": {
            "name": rule.pop("rule", "an unknown rule"),
            "parameters": rule,
            "summary": _summary(rules, (recipe.get("rule") or {}).get("rule")),
        },
        "scorers": [
            {
                "name": scorer.get("scorer"),
                "column": scorer.get("column"),
                "summary": _summary(scorers, scorer.get("scorer")),
                **{key: (scorer.get("identity") or {}).get(key) for key in ("model", "commit", "digest")},
            }
            for scorer in recipe["scorers"]
        ],
        "versions": recipe.get("versions", {}),
        "published": published and {"link": _link(published["repo_id"]), "commit": published.get("commit")},
    }


def _class(module: Any, name: Any) -> Any:
    """The class of this name, if it is one of the module's own."""
    return getattr(module, name) if name in module.__all__ else None


def _summary(module: Any, name: Any) -> Markdown | None:
    """The first paragraph of a class's docstring."""
    documentation = inspect.getdoc(_class(module, name)) if _class(module, name) else None
    return Markdown(" ".join(documentation.split("\n\n")[0].split())) if documentation else None


def _papers(facts: Mapping[str, Any]) -> Iterator[Markdown]:
    """The papers that the docstrings of the rule and the scorers name."""
    used = [_class(rules, facts["rule"]["name"]), *(_class(scorers, s["name"]) for s in facts["scorers"])]
    documentation = "\n".join(inspect.getdoc(item) or "" for item in used if item)
    for paper in sorted(set(re.findall(r"arXiv (\d{4}\.\d{5})", documentation))):
        yield Markdown(f"[{_PAPERS.get(paper, f'arXiv {paper}')}](https://arxiv.org/abs/{paper})")


def _link(repo_id: str) -> Markdown:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repo_id, re.ASCII):
        return code(repo_id)
    return Markdown(f"[{md(repo_id)}](https://huggingface.co/datasets/{repo_id})")


def _plot_text(path: str) -> str:
    texts = {"scores": "Scores of pool and subset", "make_up": "Make-up of pool and subset"}
    return texts.get(PurePath(path).stem, PurePath(path).stem)


def _table(rows: Sequence[Mapping[str, Any]]) -> Markdown:
    """Rows whose first cell is a name and whose other cells are words of ours and numbers."""
    escaped = [{name: code(row[name]) if i == 0 else row[name] for i, name in enumerate(row)} for row in rows]
    return Markdown(report.table(escaped) if rows else "")


def _folder_name(path: str) -> str:
    return PureWindowsPath(path).name or "a local folder"


def _script(recipe: Mapping[str, Any]) -> str:
    """The Python code that makes the selection again."""
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
        config = [_py(source["config"])] if source.get("config") else []
        revision = [f"revision={_py(source['commit'])}"] if source.get("commit") else []
        split = f"split={_py(source.get('split') or 'train')}"
        lines.append(f"pool = load_dataset({', '.join([_py(from_hub), *config, split, *revision])})")
    else:
        lines.append(f"pool = ...  # the data set whose row ids have the digest {_py(recipe['fingerprint'])}")
    lines += [f"# the pool must have the column {_py(name)}" for name, call in makers.items() if call is None]
    if known:
        lines += ["scorers = [", *(f"    {call}," for call in known), "]"]
        lines.append('scored = score(pool, scorers, output_dir="scores")')
    arguments = ["scored" if known else "pool", str(_py(recipe.get("budget", recipe["selected"])))]
    arguments += [f"{name}={_py(recipe[name])}" for name in ("by", "over") if recipe.get(name)]
    arguments += [f"rule={rule_call or '...'}", f"seed={_py(recipe.get('seed', 0))}"]
    return "\n".join([*lines, "selection = select_diverse(", *(f"    {a}," for a in arguments), ")"])


def _pinned(scorer: Mapping[str, Any]) -> dict[str, Any]:
    """The exact commit in place of a branch; a folder has none."""
    return {"revision": (scorer.get("identity") or {}).get("commit")}


def _call(module: Any, recipe: Mapping[str, Any], name: Any, **changes: Any) -> str | None:
    """The constructor call that the recipe of a rule or a scorer tells, if the class is one of ours."""
    kind = _class(module, name)
    if kind is None:
        return None
    values = {**recipe, **changes}
    own = getattr(kind, "signal", None)
    arguments: list[str] = []
    for parameter in inspect.signature(kind).parameters.values():
        value = values.get(parameter.name, parameter.default)
        if isinstance(value, Mapping):
            arguments.append(f"{parameter.name}=...")
        elif parameter.default is parameter.empty:
            arguments.append(_py(value))
        elif value != parameter.default and (parameter.name, value) != ("column", own):
            arguments.append(f"{parameter.name}={_py(value)}")
    return f"{name}({', '.join(arguments)})"
