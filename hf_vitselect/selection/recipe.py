"""The recipe of a selection: what was picked from which pool, how, and by which scores."""

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

_DRAWN = ("budget", "rule", "seed", "end_of_turn", "dropped", "dropped_reasons", "row_ids")
_NOT_DRAWN = ("balance", "rule_notes")
_LAST = ("versions", "published")
"""The recipe of a seed model's rows has an order of its own, and never had two of the fields."""


@dataclass(frozen=True, kw_only=True)
class Source(JsonPart):
    """Where a pool comes from, as far as it is known.

    Attributes:
        repo_id: On the Hub.
        commit: On the Hub.
        name: Of the data set.
        config: Of the data set.
        split: Of the data set.
        license: Text, or a list of texts.
        language: Text, or a list of texts.
    """

    repo_id: str | None
    commit: str | None
    name: str | None
    config: str | None
    split: str | None
    license: Any
    language: Any = None


@dataclass(frozen=True, kw_only=True)
class RuleCall(JsonPart):
    """A rule with its arguments.

    Attributes:
        name: Of its class, which may be a user's own.
    """

    name: str | None = field(metadata={"key": "rule"})

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """Names a rule and its arguments."""
        return cls(name=type(rule).__name__, more=plain(asdict(rule)))  # type: ignore[call-overload]

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by name, as plain JSON."""
        return self.more

    def rule(self) -> Rule:
        """Makes the rule again.

        Raises:
            UsageError: If it is not one of `hf_vitselect.rules`.
        """
        rule: Rule = Call(str(self.name), (), dict(self.arguments)).make(RULES)
        return rule


@dataclass(frozen=True, kw_only=True)
class Balance(JsonPart):
    """Shares of the budget for the values of a column.

    Attributes:
        column: Whose values are the groups.
        quota: `proportional` to the groups' sizes, or `uniform`.
    """

    column: str
    quota: Literal["proportional", "uniform"]


@dataclass(frozen=True, kw_only=True)
class RowSet(JsonPart):
    """Rows that the user named.

    Attributes:
        rows: How many.
        digest: Of their ids.
        recipe: Of the selection that they are, if they are one.
        left_out: How many of them could not be picked, by status.
    """

    rows: int
    digest: str
    recipe: "Recipe | None" = None
    left_out: Mapping[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Published(JsonPart):
    """Where a selection was published."""

    repo_id: str
    commit: str | None


@dataclass(frozen=True, kw_only=True)
class Recipe(JsonPart):
    """How a selection was made.

    Attributes:
        format: Of the JSON.
        source: Where the pool comes from.
        fingerprint: Digest of the pool's row ids.
        rows: Number of rows in the pool.
        selected: Number of picked rows.
        included: Rows that were in the subset from the start.
        excluded: Rows that were never picked.
        by: The score column, if the rule used one.
        over: The feature column, if the rule used one.
        scorers: What computed the columns.
        diversity: Figures by name, see `diversity`.
        composition: For each column that sorts rows into kinds, the rows of each value.
        budget: As it was given: rows or a share.
        dropped: Rows that could not be picked, by status.
        dropped_reasons: The first reason of each status.
        balance: The groups with shares of their own.
        rule: What picked the rows.
        rule_notes: What the rule says about its picks, as plain JSON.
        seed: Of the rule's random numbers.
        end_of_turn: For a seed model, the token that ends a response.
        row_ids: For a seed model, the file with the ids of its rows.
        versions: Of the packages, by name.
        published: Where the selection was pushed to.
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
        """What pool and picks alone say; `dataclasses.replace` adds how they were picked.

        Args:
            pool: What was picked from.
            ids: The pool's row ids.
            indices: int64 of shape (picked,), the picked rows.
        """
        return cls(
            source=Source.from_json(recorded_source(pool), "source"),
            fingerprint=pool_digest(ids),
            rows=len(pool),
            selected=len(indices),
            included=None,
            excluded=None,
            by=None,
            over=None,
            scorers=(),
            composition=composition(pool, indices),
            budget=None,
            balance=None,
            rule=None,
            seed=None,
            versions=versions("hf_vitselect", "datasets", "numpy", "torch", "transformers"),
        )

    @classmethod
    def from_json(cls, value: Any, name: str = "recipe") -> Self:
        """Reads a recipe of format 1 from any JSON.

        Raises:
            SelectionError: If it is not one; the message names the field.
        """
        found = value.get("format") if isinstance(value, Mapping) else value
        expect(found == 1, f"{name}.format", "1", found)
        recipe = super().from_json(value, name)
        expect(
            0 <= recipe.selected <= recipe.rows, f"{name}.selected", f"0 to {recipe.rows}", recipe.selected
        )
        return recipe

    def to_json(self) -> dict[str, Any]:
        """Writes format 1, as plain JSON."""
        written = super().to_json()
        if self.row_ids is not None:
            tail = {name: written.pop(name) for name in (*_DRAWN, *_NOT_DRAWN, *_LAST) if name in written}
            written |= {name: tail[name] for name in (*_DRAWN, *_LAST) if name in tail}
        return written

    def unpublished(self) -> "Recipe":
        """The same recipe before it, and those of its included and excluded rows, were published."""
        named = {name: getattr(self, name) for name in ("included", "excluded")}
        rows = {
            name: replace(rows, recipe=replace(rows.recipe, published=None))
            for name, rows in named.items()
            if rows is not None and rows.recipe is not None
        }
        return replace(self, published=None, **rows)
