"""The recipe of a selection: its pool, its rule, and the scorers of its columns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.call_text import Call
from hf_vitselect.data.provenance import recorded_source, versions
from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.rules import RULES
from hf_vitselect.rules.base import Rule
from hf_vitselect.selection.composition import ValueCount, composition
from hf_vitselect.selection.json_part import JsonPart, expect, plain
from hf_vitselect.selection.scorer_recipes import ScorerRecipe


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
class RuleCall(JsonPart):
    """A rule's class, which may be a user's own, with its arguments."""

    name: str | None = field(metadata={"key": "rule"})

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """Record a rule."""
        return cls(name=type(rule).__name__, more=plain(asdict(rule)))  # type: ignore[call-overload]

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by name, as plain JSON."""
        return self.more

    def rule(self) -> Rule:
        """Make the rule again, if it is one of `hf_vitselect.rules`."""
        rule: Rule = Call(str(self.name), (), dict(self.arguments)).make(RULES)
        return rule


@dataclass(frozen=True, kw_only=True)
class Balance(JsonPart):
    """The column whose values have quotas of their own, and how these are set."""

    column: str
    quota: Literal["proportional", "uniform"]


@dataclass(frozen=True, kw_only=True)
class RowSet(JsonPart):
    """Rows that the user named."""

    rows: int
    digest: str  # of their ids
    recipe: "Recipe | None" = None  # of their selection, if they are one
    left_out: Mapping[str, int] | None = None  # number of them that could not be picked, by status


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
        by: The score column, if the rule uses scores.
        over: The feature column, if the rule uses features.
        diversity: Figures by name, see `diversity`.
        composition: Counts of values, see `composition`.
        budget: Rows (int) or a share (float), as it was given.
        dropped: Number of rows that could not be picked, by status.
        dropped_reasons: The first reason of each status.
        rule_notes: What the rule says about its picks.
        end_of_turn: Of a seed model: the token after each response.
        row_ids: Of a seed model: the file with the ids of its rows.
        versions: Of packages, by name.
    """

    format: int = 1
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
    composition: Mapping[str, tuple[ValueCount, ...]] = field(
        default_factory=dict, metadata={"key": "make_up"}
    )
    budget: float | None
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_reasons: Mapping[str, str] = field(default_factory=dict)
    balance: Balance | None
    rule: RuleCall | None
    rule_notes: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None
    end_of_turn: str | None = None
    row_ids: str | None = None
    versions: Mapping[str, str]
    published: Published | None = None

    @classmethod
    def about(cls, pool: Dataset, ids: list[str], indices: NDArray[np.int64]) -> Self:
        """Record which rows of a pool with these row ids were picked; `dataclasses.replace` adds how."""
        unset = ("included", "excluded", "by", "over", "budget", "balance", "rule", "seed")
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
        """Read a recipe of format 1 from any JSON value. A SelectionError names the field at fault."""
        version = value.get("format") if isinstance(value, Mapping) else value
        expect(version == 1, f"{name}.format", "1", version)
        recipe = super().from_json(value, name)
        in_pool = 0 <= recipe.selected <= recipe.rows
        expect(in_pool, f"{name}.selected", f"0 to {recipe.rows}", recipe.selected)
        return recipe

    def to_json(self) -> dict[str, Any]:
        """Write format 1. The recipe of a seed model's rows has an order and fewer fields of its own."""
        written = super().to_json()
        if self.row_ids is None:
            return written
        last = (
            "rule",
            "seed",
            "end_of_turn",
            "dropped",
            "dropped_reasons",
            "row_ids",
            "versions",
            "published",
        )
        moved = {name: written.pop(name) for name in last if name in written}
        del written["balance"], written["rule_notes"]
        return {**written, **moved}

    def unpublished(self) -> Self:
        """Drop `published`, also from the recipes of included and excluded rows."""
        named: dict[str, Any] = {
            name: replace(rows, recipe=replace(rows.recipe, published=None))
            for name, rows in (("included", self.included), ("excluded", self.excluded))
            if rows and rows.recipe
        }
        return replace(self, published=None, **named)
