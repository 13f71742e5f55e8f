"""What computed the columns that a selection was made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from datasets import Dataset

from hf_vitselect.data.provenance import recorded_scorers
from hf_vitselect.errors import ColumnError
from hf_vitselect.scorers.base.scorer import Scorer
from hf_vitselect.selection.json_part import JsonPart, expect, plain, read


@dataclass(frozen=True, kw_only=True)
class Identity(JsonPart):
    """The exact weights: a model of the Hub at a commit, or a folder whose files have a digest."""

    model: str | None = None
    commit: str | None = None
    digest: str | None = None
    base: "Identity | None" = None
    processor: "Identity | None" = None

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Reads any JSON.

        Raises:
            SelectionError: If a field has the wrong type, or a digest comes without a model.
        """
        identity = super().from_json(value, name)
        expect(
            identity.digest is None or identity.model is not None, f"{name}.model", "a text", identity.model
        )
        return identity


@dataclass(frozen=True)
class ScorerRecipe:
    """What computed a column.

    Attributes:
        column: The scorer's main column.
        scorer: Its class, which may be a user's own; None if it is unknown.
        identity: Its weights.
        settings: All that `Scorer.recipe` says, in its order, the fields above among it.
    """

    column: str
    scorer: str | None
    identity: Identity
    settings: Mapping[str, Any]

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Reads any JSON.

        Raises:
            SelectionError: If a field has the wrong type; the message names it.
        """
        expect(isinstance(value, Mapping), name, "an object", value)
        column = read(str, value.get("column"), f"{name}.column")
        scorer, *_ = (
            read(str | None, value.get(key), f"{name}.{key}") for key in ("scorer", "model", "processor")
        )
        identity = Identity.from_json(value.get("identity") or {}, f"{name}.identity")
        return cls(column, scorer, identity, plain(value))

    def to_json(self) -> dict[str, Any]:
        """Writes `settings`."""
        return dict(plain(self.settings))


def scorer_recipes(dataset: Dataset, given: Sequence[str | Scorer] = ()) -> tuple[ScorerRecipe, ...]:
    """The scorers that `score` has recorded in a pool, and those given as `by` or `over`."""
    found = {record["column"]: record for record in recorded_scorers(dataset)}
    recipes = {column: record for column, record in found.items() if column in dataset.column_names}
    for item in given:
        if isinstance(item, Scorer):
            recipes[item.column] = item.recipe()
        elif item in dataset.column_names:
            # A plain map leaves no trace of its function; only score(), or the scorer as by= or over=, does.
            recipes.setdefault(item, {"column": item, "scorer": None})
    return tuple(ScorerRecipe.from_json(recipe, f"scorer of {name}") for name, recipe in recipes.items())


def refuse_other_scorers(
    columns: Iterable[str | None], ours: Sequence[ScorerRecipe], theirs: Sequence[ScorerRecipe]
) -> None:
    """Refuses new rows whose columns another scorer has computed.

    Raises:
        ColumnError: Naming the column and the settings that differ.
    """
    for column in columns:
        our, their = (_settings(column, recipes) for recipes in (ours, theirs))
        differ = sorted(name for name in our | their if our.get(name) != their.get(name))
        if our and their and differ:
            raise ColumnError(
                f"expected new rows with {column!r} by the selection's scorer, got one with other {differ}; "
                "score the rows with the weights, settings and version that selection.recipe.scorers names"
            )


def _settings(column: str | None, recipes: Sequence[ScorerRecipe]) -> dict[str, Any]:
    """What is known of a column's scorer, whose further columns begin with its main one's name."""
    made = [it for it in recipes if it.scorer and f"{column}_".startswith(f"{it.column}_")]
    recipe = max(made, key=lambda it: len(it.column), default=None)
    return {} if recipe is None else dict(_without_places(recipe.settings))


def _without_places(recipe: Any) -> Any:
    """A recipe with the exact weights, but without the paths that they were loaded from."""
    if not isinstance(recipe, Mapping):
        return recipe
    places = ("model", "revision") if recipe.get("identity") or "digest" in recipe else ()
    return {name: _without_places(value) for name, value in recipe.items() if name not in places}
