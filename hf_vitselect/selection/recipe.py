"""The recipe of a selection: its pool, its method, and the scorers of its columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.call_text import Call, parse_call, short_call, write_call
from hf_vitselect.data.provenance import recorded_source, versions
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.data.text import one_line
from hf_vitselect.errors import UsageError
from hf_vitselect.notebook import Cell, html_summary
from hf_vitselect.selection.composition import ValueCount, composition
from hf_vitselect.selection.filtering import FilterRecord
from hf_vitselect.selection.json_part import JsonPart, expect, read
from hf_vitselect.selection.kinds import Kinds
from hf_vitselect.selection.method import read_method
from hf_vitselect.selection.scorer_recipes import ScorerRecipe

_SHOWN_KINDS = 8


@dataclass(frozen=True, kw_only=True)
class Source(JsonPart):
    """The known origin of a pool. `license` and `language` are a text or a list, as on the pool's card."""

    repo_id: str | None
    commit: str | None
    name: str | None
    config: str | None
    split: str | None
    license: Any
    language: Any = None


@dataclass(frozen=True, kw_only=True)
class RowSet(JsonPart):
    """Rows that the user named."""

    rows: int
    digest: str  # of their ids
    recipe: "Recipe | None" = None  # of their selection, if they are one
    left_out: Mapping[str, int] | None = None  # number of them that could not be picked, by status


@dataclass(frozen=True, kw_only=True)
class KindShare(JsonPart):
    """A kind of row in a selection.

    Attributes:
        name: The kind.
        rows: Rows of the pool that could be picked.
        left: Those that the filters left, an estimate where not all rows of the kind were scored.
        picked: Picked rows.
        score: Mean score of the rows left, None without any.
        weight: Its share of the budget, relative to the other kinds' weights.
    """

    name: str
    rows: int
    left: int
    picked: int
    score: float | None
    weight: float


@dataclass(frozen=True, kw_only=True)
class Published(JsonPart):
    """The repository that a selection was pushed to."""

    repo_id: str
    commit: str | None


@dataclass(frozen=True, kw_only=True)
class Recipe(JsonPart):
    """The pool and the method of a selection.

    Attributes:
        fingerprint: Digest of the pool's row ids.
        rows: Number of rows in the pool.
        selected: Number of picked rows.
        included: Rows that were in the subset from the start.
        excluded: Rows that were never picked.
        by: The score column, if the rule or the quotas use scores.
        over: The feature column, if the rule uses features.
        diversity: Figures by name, see `diversity`.
        composition: Counts of values, see `composition`.
        budget: Rows (int) or a share (float), as it was given.
        dropped: Number of rows that could not be picked, by status.
        dropped_reasons: The first reason of each status.
        method: The method with all its arguments, as `write_call` writes it; None if unknown.
        filters: What each of its filters did.
        kinds: The kinds of question, if the method has them.
        shares: What each kind gives to the subset, if the method has kinds.
        need_skipped: Why the shares go without the method's need.
        skill: How well the seed model predicts recurring answers: 1 if it knows all of them, 0 if as well as
            a guess by how frequent each one is; None if unknown.
        rule_notes: What the rule says about its picks.
        end_of_turn: Of a seed model: the token after each response.
        row_ids: Of a seed model: the file with the ids of its rows.
        versions: Of packages, by name.
        texts_removed: Whether texts of rows were removed, see `without_texts`.
        id_column: The column of the source's own ids, if it was named.
    """

    format: int = 2
    source: Source
    fingerprint: str
    rows: int
    selected: int
    included: RowSet | None
    excluded: RowSet | None
    by: str | None
    over: str | None
    scorers: tuple[ScorerRecipe, ...]
    diversity: Mapping[str, float] = field(default_factory=dict)
    composition: Mapping[str, tuple[ValueCount, ...]] = field(default_factory=dict)
    budget: float | None
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_reasons: Mapping[str, str] = field(default_factory=dict)
    method: str | None
    filters: tuple[FilterRecord, ...] = ()
    kinds: Kinds | None = None
    shares: tuple[KindShare, ...] = ()
    need_skipped: str | None = None
    skill: float | None = None
    rule_notes: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None
    end_of_turn: str | None = None
    row_ids: str | None = None
    versions: Mapping[str, str]
    published: Published | None = None
    texts_removed: bool | None = None
    id_column: str | None = None

    @classmethod
    def about(cls, pool: Dataset, ids: list[str], indices: NDArray[np.int64]) -> Self:
        """Record which rows of a pool with these row ids were picked; `dataclasses.replace` adds how."""
        unset = ("included", "excluded", "by", "over", "budget", "method", "seed")
        how: dict[str, Any] = dict.fromkeys(unset)
        return cls(
            source=Source.from_json(recorded_source(pool), "source"),
            fingerprint=pool_digest(ids),
            rows=len(pool),
            selected=len(indices),
            scorers=(),
            composition=composition(pool, indices),
            versions=versions("hf_vitselect", "datasets", "numpy", "torch", "transformers"),
            **how,
        )

    @classmethod
    def from_json(cls, value: Any, name: str = "recipe") -> Self:
        """Read a recipe of format 1 or 2 from any JSON value. A SelectionError names the field at fault."""
        version = value.get("format") if isinstance(value, Mapping) else value
        expect(version in (1, 2), f"{name}.format", "1 or 2", version)
        recipe = super().from_json(_from_format_1(value, name) if version == 1 else value, name)
        in_pool = 0 <= recipe.selected <= recipe.rows
        expect(in_pool, f"{name}.selected", f"0 to {recipe.rows}", recipe.selected)
        expect(_names_rule(recipe.method), f"{name}.method", "a method with its rule", recipe.method)
        return recipe

    @property
    def method_call(self) -> Call | None:
        """The method as a call; its class, filters and rule may be the user's own."""
        return None if self.method is None else parse_call(self.method)

    @property
    def rule_call(self) -> Call | None:
        """The method's rule as a call."""
        call = self.method_call
        rule: Call | None = call and call.keywords["rule"]
        return rule

    @property
    def headline(self) -> str:
        """The size of the subset and of its pool."""
        share = f" ({self.selected / self.rows:.1%})" if self.rows else ""
        return f"{self.selected:,} of {self.rows:,} rows{share}"

    @property
    def facts(self) -> dict[str, str]:
        """The method, the pool, what was left out and the kinds that gave rows: a line each."""
        source = self.source
        left_out = [_what_it_did(record) for record in self.filters]
        left_out += [f"{name} {rows:,}" for name, rows in self.dropped.items()]
        kinds = [f"{share.name} {share.picked:,}" for share in self._largest_kinds()]
        names = [source.repo_id or source.name, source.config, source.split]
        facts = {
            "method": "unknown" if self.method is None else short_call(self.method, read_method),
            "pool": " ".join(filter(None, names)) or "no name",
            "left out": ", ".join(left_out) or "nothing",
            "kinds": ", ".join(kinds) or "none",
        }
        return {name: one_line(fact) for name, fact in facts.items()}

    def summary(self, title: str) -> str:
        """Five lines of plain text, the first with a title."""
        lines = [f"  {name:9} {fact}" for name, fact in self.facts.items()]
        return "\n".join([f"{title}: {self.headline}", *lines])

    def html(self, title: str, tables: Mapping[str, Sequence[Mapping[str, Cell]]] | None = None) -> str:
        """A summary for a notebook, with the largest kinds of rows and more tables below it."""
        kinds: list[dict[str, Cell]] = [
            {"kind": one_line(share.name), "pool": share.rows, "left": share.left, "picked": share.picked}
            for share in self._largest_kinds()[:_SHOWN_KINDS]
        ]
        tables = {"Rows of the largest kinds": kinds, **(tables or {})}
        return html_summary(f"{title}: {self.headline}", self.facts, tables=tables)

    def _largest_kinds(self) -> list[KindShare]:
        return sorted((share for share in self.shares if share.picked), key=lambda kind: -kind.picked)

    def _repr_html_(self) -> str:
        """The summary for a notebook."""
        return self.html("Recipe")

    def unpublished(self) -> Self:
        """Drop `published`, also from the recipes of included and excluded rows."""
        return replace(self, published=None, **self._named(lambda recipe: replace(recipe, published=None)))

    def without_texts(self) -> Self:
        """Remove the texts of rows, also from the recipes of included and excluded rows.

        These are the kinds' questions, the answers and kinds that filters go by, reasons, and fields of other
        versions. The kinds get numbers as names, unless they are values that `composition` counts.
        """
        column = self.method_call and self.method_call.keywords.get("kinds")
        counted = self.composition.get(column, ()) if isinstance(column, str) else ()
        public = {str(count.value) for count in counted}
        removed = replace(
            self,
            more={},
            dropped_reasons={},
            filters=tuple(map(_without_texts, self.filters)),
            kinds=None,
            shares=tuple(
                share if share.name in public else replace(share, name=f"kind {i}")
                for i, share in enumerate(self.shares, start=1)
            ),
            **self._named(lambda recipe: recipe.without_texts()),
        )
        return self if removed == self else replace(removed, texts_removed=True)

    def _named(self, change: Callable[["Recipe"], "Recipe"]) -> dict[str, Any]:
        """The included and the excluded rows, if they are a selection, with a changed recipe."""
        return {
            name: replace(rows, recipe=change(rows.recipe))
            for name, rows in (("included", self.included), ("excluded", self.excluded))
            if rows and rows.recipe
        }


def _what_it_did(record: FilterRecord) -> str:
    name = parse_call(record.filter).name
    restored = f" ({record.restored:,} restored)" if record.restored else ""
    return f"{name} skipped" if record.skipped else f"{name} {record.dropped:,}{restored}"


def _without_texts(record: FilterRecord) -> FilterRecord:
    numbers = {name: value for name, value in record.thresholds.items() if isinstance(value, int | float)}
    return replace(record, thresholds=numbers)


def _names_rule(method: str | None) -> bool:
    try:
        return method is None or isinstance(parse_call(method).keywords.get("rule"), Call)
    except UsageError:
        return False


def _from_format_1(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The recipe in format 2: format 1 had a rule and a column to balance in place of a method."""
    changed = {**value, "format": 2, "method": None, "composition": value.get("make_up", {})}
    rule, balance = changed.pop("rule", None), changed.pop("balance", None)
    changed.pop("make_up", None)
    expect(rule is None or isinstance(rule, Mapping), f"{name}.rule", "an object or null", rule)
    expect(balance is None or isinstance(balance, Mapping), f"{name}.balance", "an object or null", balance)
    if rule:
        arguments = {key: item for key, item in rule.items() if key != "rule"}
        method: dict[str, Any] = {"rule": Call(read(str, rule.get("rule"), f"{name}.rule"), (), arguments)}
        method |= {key: value[key] for key in ("by", "over") if value.get(key) is not None}
        for key, part in (("kinds", "column"), ("quota", "quota")) if balance else ():
            method[key] = read(str, balance.get(part), f"{name}.balance.{part}")
        changed["method"] = write_call(Call("Method", (), method))
    return changed
