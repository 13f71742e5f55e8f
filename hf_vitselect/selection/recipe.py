"""What a selection from somewhere else must fulfil before it is believed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import SelectionError

_ROW_ID = re.compile(r"[0-9a-f]{64}-\d+")
_OPTIONAL_TEXT = (str, type(None))
_KINDS: dict[str, Any] = {
    "source": Mapping,
    "fingerprint": str,
    "rows": int,
    "selected": int,
    "scorers": list,
    "versions": Mapping,
}
_KINDS_IF_THERE: dict[str, Any] = {
    "by": _OPTIONAL_TEXT,
    "over": _OPTIONAL_TEXT,
    "dropped": Mapping,
    "dropped_reasons": Mapping,
    "diversity": Mapping,
    "make_up": Mapping,
    "rule": (Mapping, type(None)),
    "published": Mapping,
}


def check_selection(
    recipe: Any, indices: NDArray[np.int64], gains: NDArray[np.float64], scores: Dataset
) -> None:
    """Refuses a selection whose parts do not fit together.

    Args:
        recipe: as it was read.
        indices: of shape (picked,), positions in the pool, in pick order.
        gains: of shape (picked,).
        scores: one row for each row of the pool, in its order.

    Raises:
        SelectionError: naming what was expected and what was got.
    """
    check_recipe(recipe)
    rows, picked = recipe["rows"], recipe["selected"]
    _expect(
        indices.shape == gains.shape == (picked,), f"{picked} picks and gains", [indices.shape, gains.shape]
    )
    _expect(indices.dtype.kind == "i" and gains.dtype.kind == "f", "whole numbers and gains", indices.dtype)
    distinct = len(np.unique(indices)) == picked
    in_pool = picked == 0 or (indices.min() >= 0 and indices.max() < rows)
    _expect(distinct and in_pool, f"distinct rows of a pool of {rows}", "others")
    _expect(len(scores) == rows, f"scores of {rows} rows", len(scores))
    missing = {"row_id", "selected", "rank"} - set(scores.column_names)
    _expect(not missing, "the columns row_id, selected and rank", scores.column_names)
    check_ids(scores["row_id"][:], recipe["fingerprint"])
    ranks = np.full(rows, -1, dtype=np.int64)
    ranks[indices] = np.arange(picked)
    recorded = [-1 if rank is None else rank for rank in scores["rank"]]
    _expect(recorded == ranks.tolist(), "scores that rank the picked rows in pick order", "other ranks")
    _expect(scores["selected"][:] == (ranks >= 0).tolist(), "scores that mark the picked rows", "other marks")


def check_recipe(recipe: Any) -> None:
    """Refuses a recipe that is none, as plain JSON from anywhere may be.

    Raises:
        SelectionError: naming what was expected and what was got.
    """
    _expect(isinstance(recipe, dict), "a recipe", type(recipe).__name__)
    _expect(recipe.get("format") == 1, "a recipe of format 1", recipe.get("format"))
    for name, kind in _KINDS.items():
        _expect(isinstance(recipe.get(name), kind), f"a recipe with {name}", recipe.get(name))
    for name, kind in _KINDS_IF_THERE.items():
        _expect(name not in recipe or isinstance(recipe[name], kind), f"another {name}", recipe.get(name))
    _expect(0 <= recipe["selected"] <= recipe["rows"], "no more picks than rows", recipe["selected"])
    for scorer in recipe["scorers"]:
        whole = isinstance(scorer, Mapping) and all(
            isinstance(scorer.get(name), _OPTIONAL_TEXT)
            for name in ("scorer", "column", "model", "processor")
        )
        _expect(whole and _is_identity(scorer.get("identity")), "scorers with their models", scorer)
    for counts in recipe.get("make_up", {}).values():
        _expect(isinstance(counts, list) and all(map(_is_count, counts)), "a make-up in rows", counts)
    rule = recipe.get("rule") or {}
    _expect(isinstance(rule.get("rule"), _OPTIONAL_TEXT), "a rule's name", rule.get("rule"))
    for rows in (recipe.get("included"), recipe.get("excluded")):
        whole = isinstance(rows, Mapping) and type(rows.get("rows")) is int
        _expect(rows is None or whole, "the rows that were included and excluded", rows)
        if rows and rows.get("recipe"):
            check_recipe(rows["recipe"])
    repo_id = recipe["source"].get("repo_id")
    _expect(isinstance(repo_id, _OPTIONAL_TEXT), "a source with its repository's id", repo_id)


def check_ids(ids: Sequence[Any], fingerprint: str) -> None:
    """Refuses row ids that are none, repeat, or are not those that the fingerprint was taken of.

    Raises:
        SelectionError: naming what was expected and what was got.
    """
    odd = next(
        (row_id for row_id in ids if not (isinstance(row_id, str) and _ROW_ID.fullmatch(row_id))), None
    )
    _expect(odd is None, "row ids such as 'ab…12-0'", odd)
    _expect(len(set(ids)) == len(ids), "distinct row ids", "some twice")
    _expect(pool_digest(ids) == fingerprint, f"row ids with the digest {fingerprint}", pool_digest(ids))


def _is_identity(identity: Any) -> bool:
    """Whether this is what `sources.identify` gives, or nothing."""
    if not isinstance(identity, Mapping):
        return identity is None
    texts = all(isinstance(identity.get(name), _OPTIONAL_TEXT) for name in ("model", "commit", "digest"))
    named = "digest" not in identity or isinstance(identity.get("model"), str)
    return texts and named and all(_is_identity(identity.get(part)) for part in ("base", "processor"))


def _is_count(row: Any) -> bool:
    return (
        isinstance(row, Mapping)
        and "value" in row
        and all(type(row.get(n)) is int for n in ("pool", "subset"))
    )


def _expect(fulfilled: bool, expected: str, got: Any) -> None:
    if not fulfilled:
        text = repr(got)
        raise SelectionError(
            f"expected a selection with {expected}, got {text[:200]}; it is damaged, or was made by "
            "something else: make it again, or fetch it again"
        )
