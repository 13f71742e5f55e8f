"""Rebuilding of a published subset from the ids of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from huggingface_hub import HfApi
from numpy.typing import NDArray

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.provenance import recorded_source
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import HubError, SelectionError
from hf_vitselect.hub.access import parse_readme, read_json, read_readme, translate_errors
from hf_vitselect.selection.recipe import Published, Recipe
from hf_vitselect.selection.selection import Selection, check_selection

_SHOWN = 5


def apply_selection(
    pool: Dataset, repo_id: str, revision: str | None = None, *, token: str | None = None
) -> Selection:
    """Rebuild a published selection from your own copy of its pool.

    Rows are found by their ids, so the pool may have another order and other columns. What was published is
    checked first: only numbers and texts are read, and nothing is run.

    Args:
        pool: All rows that the selection was made from.
        repo_id: Where it was published, with or without its rows.
        revision: A commit, branch or tag.
        token: As in `huggingface_hub`.

    Raises:
        ColumnError: If the pool has columns that `Selection.scores` adds.
        HubError: If the repository has no complete selection, or the pool has other rows; the message says
            which are missing or unknown, and whether the commit differs.

    Examples:
        >>> selection = apply_selection(pool, "me/llava-instruct-15pct")  # doctest: +SKIP
    """
    refuse_reserved(pool.features)
    api = HfApi(token=token)
    with translate_errors(repo_id, token):
        commit = str(api.dataset_info(repo_id, revision=revision).sha)
        card = parse_readme(read_readme(api, repo_id, commit), repo_id)
        _refuse_unfinished(card.data.get("vitselect"), repo_id, commit)
        written, picks = (read_json(api, repo_id, commit, name) for name in ("recipe.json", "picks.json"))
        scores = load_dataset(repo_id, "scores", split="train", revision=commit, token=token)
    try:
        recipe = Recipe.from_json(written)
        gains = _checked_gains(recipe, picks, scores)
    except SelectionError as error:
        raise HubError(f"the selection in {repo_id} at {commit} is not valid: {error}") from error
    mine, ids = row_ids(pool), scores["row_id"][:]
    positions = {row_id: i for i, row_id in enumerate(mine)}
    if positions.keys() != set(ids):
        raise HubError(
            f"expected the pool of {repo_id} with {len(ids):,} rows, got {len(mine):,} rows: "
            f"{_difference(ids, picks['row_id'], mine)}{_other_commit(recipe, pool)}; "
            "give the pool that the card names, at its commit"
        )
    indices = np.asarray([positions[row_id] for row_id in picks["row_id"]], dtype=np.int64)
    pool_order = np.argsort([positions[row_id] for row_id in ids])
    recipe = replace(recipe, published=Published(repo_id=repo_id, commit=commit))
    return Selection(pool.select(indices), indices, gains, scores.select(pool_order), recipe)


def _refuse_unfinished(block: Any, repo_id: str, commit: str) -> None:
    got = "a card without one; give the id of a dataset that push_to_hub has completed"
    if isinstance(block, Mapping):
        got = "an incomplete one: a push was interrupted; push again, or give an older revision="
        if block.get("complete") is True:
            return
    raise HubError(f"expected a complete selection in {repo_id} at {commit}, got {got}")


def _checked_gains(recipe: Recipe, picks: Any, scores: Dataset) -> NDArray[np.float64]:
    """Read the gains, if recipe, picks and scores agree."""
    ids = {row_id: i for i, row_id in enumerate(scores["row_id"])} if "row_id" in scores.column_names else {}
    try:
        indices = np.asarray([ids[row_id] for row_id in picks["row_id"]], dtype=np.int64)
        gains = np.asarray([float(gain) for gain in picks["gain"]], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise SelectionError(
            f"expected row ids of its pool and gains in picks.json, got {error!r}"
        ) from error
    check_selection(recipe, indices, gains, scores)
    return gains


def _difference(published: Sequence[str], picked: Sequence[str], mine: Sequence[str]) -> str:
    """Say which published rows are missing, and which rows the pool has instead."""
    theirs, ours = set(published), set(mine)
    missing = [row_id for row_id in published if row_id not in ours]
    unknown = [i for i, row_id in enumerate(mine) if row_id not in theirs]
    parts = []
    if missing:
        count = len(set(missing) & set(picked))
        parts.append(f"{len(missing):,} of those are missing, {count:,} of them picked ({_some(missing)})")
    if unknown:
        parts.append(f"{len(unknown):,} of yours are unknown (rows {_some(unknown)})")
    changed = len(published) == len(mine) and all(published[i] not in ours for i in unknown)
    if changed and len(unknown) == len(missing):
        parts.append("all others are in their places, so only these rows were changed")
    return "; ".join(parts)


def _some(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:_SHOWN])) + (", …" if len(values) > _SHOWN else "")


def _other_commit(recipe: Recipe, pool: Dataset) -> str:
    given = recorded_source(pool)
    for name in ("repo_id", "commit"):
        theirs, ours = getattr(recipe.source, name), given.get(name)
        if theirs and ours and theirs != ours:
            return f"; the selection was made from the {name} {theirs}, and yours is {ours}"
    return ""
