"""The scorers that computed the columns of a pool."""

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
    """The exact weights: a model of the Hub at a commit, or a folder with the digest of its files."""

    model: str | None = None
    commit: str | None = None
    digest: str | None = None
    base: "Identity | None" = None
    processor: "Identity | None" = None

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Read any JSON value; see `JsonPart`."""
        identity = super().from_json(value, name)
        named = identity.digest is None or identity.model is not None
        expect(named, f"{name}.model", "a text", identity.model)
        return identity


@dataclass(frozen=True)
class ScorerRecipe:
    """The scorer of a column."""

    column: str  # its main column
    scorer: str | None  # its class, which may be a user's own; None if unknown
    identity: Identity
    settings: Mapping[str, Any]  # all of `Scorer.recipe`, including the above

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Read any JSON value; see `JsonPart`."""
        expect(isinstance(value, Mapping), name, "an object", value)
        column = read(str, value.get("column"), f"{name}.column")
        for key in ("scorer", "model"):
            read(str | None, value.get(key), f"{name}.{key}")
        processor = value.get("processor")
        if isinstance(processor, Mapping):  # It was given as an object, not by its name.
            for key in ("class", "digest"):
                read(str, processor.get(key), f"{name}.processor.{key}")
        else:
            read(str | None, processor, f"{name}.processor")
        identity = Identity.from_json(value.get("identity") or {}, f"{name}.identity")
        return cls(column, value.get("scorer"), identity, plain(value))

    def to_json(self) -> dict[str, Any]:
        """Write `settings`."""
        return dict(plain(self.settings))


def scorer_recipes(dataset: Dataset, given: Sequence[str | Scorer] = ()) -> tuple[ScorerRecipe, ...]:
    """List the scorers that `score` has recorded in a pool, and those of the given columns."""
    recorded = {record["column"]: record for record in recorded_scorers(dataset)}
    records = {column: recorded[column] for column in recorded if column in dataset.column_names}
    for item in given:
        if isinstance(item, Scorer):
            records[item.column] = item.recipe()
        elif item in dataset.column_names:
            # A plain map leaves no trace of its function; only score(), or the scorer as by= or over=, does.
            records.setdefault(item, {"column": item, "scorer": None})
    return tuple(ScorerRecipe.from_json(record, f"scorer of {name}") for name, record in records.items())


def refuse_other_scorers(
    columns: Iterable[str], ours: Sequence[ScorerRecipe], theirs: Sequence[ScorerRecipe]
) -> None:
    """Raise a ColumnError if another scorer computed one of these columns of new rows."""
    for column in columns:
        our, their = _settings(column, ours), _settings(column, theirs)
        differ = sorted(name for name in our | their if our.get(name) != their.get(name))
        if our and their and differ:
            raise ColumnError(
                f"expected new rows with {column!r} by the selection's scorer, got one with other {differ}; "
                "score the rows with the weights, settings and version in selection.recipe.scorers"
            )


def _settings(column: str, recipes: Sequence[ScorerRecipe]) -> dict[str, Any]:
    # A scorer's other columns start with the name of its main column.
    makers = [recipe for recipe in recipes if recipe.scorer and f"{column}_".startswith(f"{recipe.column}_")]
    maker = max(makers, key=lambda recipe: len(recipe.column), default=None)
    return {} if maker is None else dict(_without_paths(maker.settings))


def _without_paths(value: Any) -> Any:
    """Drop where weights were loaded from, and keep their identity."""
    if not isinstance(value, Mapping):
        return value
    paths = ("model", "revision") if value.get("identity") or "digest" in value else ()
    return {name: _without_paths(item) for name, item in value.items() if name not in paths}
