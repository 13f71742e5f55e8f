"""Rebuilds a published subset from the ids of its rows."""

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
from hf_vitselect.selection.check import check_selection
from hf_vitselect.selection.recipe import Published, Recipe
from hf_vitselect.selection.selection import Selection

_SHOWN = 5


def apply_selection(
    pool: Dataset, repo_id: str, revision: str | None = None, *, token: str | None = None
) -> Selection:
    """Rebuilds a published selection from your own copy of its pool.

    Rows are found by their ids, so the pool may have another order and other columns. What was published
    is checked before it is believed: only numbers and texts are read, and nothing is run.

    Args:
        pool: the rows that the selection was made from, all of them.
        repo_id: where it was published, with its rows or without.
        revision: a commit, branch or tag.
        token: as in `huggingface_hub`.

    Raises:
        ColumnError: if the pool has columns of the names that `scores` adds.
        HubError: if there is no whole selection in the repository, or the pool has not the same rows; it
            says which ones are missing, which ones are others, and whether the commit is another one.

    Example:
        >>> selection = apply_selection(pool, "me/llava-instruct-15pct")  # doctest: +SKIP
    """
    refuse_reserved(pool.features)
    api = HfApi(token=token)
    with translate_errors(repo_id, token):
        commit = str(api.dataset_info(repo_id, revision=revision).sha)
        there = parse_readme(read_readme(api, repo_id, commit), repo_id)
        _refuse_unfinished(there.data.get("vitselect"), repo_id, commit)
        written, picks = (read_json(api, repo_id, commit, name) for name in ("recipe.json", "picks.json"))
        scores = load_dataset(repo_id, "scores", split="train", revision=commit, token=token)
    try:
        recipe = Recipe.from_json(written)
        gains = _checked_gains(recipe, picks, scores)
    except SelectionError as error:
        raise HubError(f"the selection in {repo_id} at {commit} cannot be believed: {error}") from error
    mine = row_ids(pool)
    place = {row_id: i for i, row_id in enumerate(mine)}
    ids = scores["row_id"][:]
    if place.keys() != set(ids):
        raise HubError(
            f"expected the pool of {repo_id} with {len(ids):,} rows, got {len(mine):,} rows: "
            f"{_difference(ids, picks['row_id'], mine)}{_other_commit(recipe, pool)}; "
            "give the pool that the card names, at its commit"
        )
    indices = np.asarray([place[row_id] for row_id in picks["row_id"]], dtype=np.int64)
    pool_order = np.argsort([place[row_id] for row_id in ids])
    recipe = replace(recipe, published=Published(repo_id=repo_id, commit=commit))
    return Selection(pool.select(indices), indices, gains, scores.select(pool_order), recipe)


def _refuse_unfinished(block: Any, repo_id: str, commit: str) -> None:
    if not isinstance(block, Mapping):
        raise HubError(
            f"expected a selection in {repo_id} at {commit}, got a card without one; "
            "give the id of a data set that push_to_hub has completed"
        )
    if block.get("complete") is not True:
        raise HubError(
            f"expected a whole selection in {repo_id} at {commit}, got an incomplete one: a push stopped "
            "half-way; push again, or give an older revision="
        )


def _checked_gains(recipe: Recipe, picks: Any, scores: Dataset) -> NDArray[np.float64]:
    """The gains, once recipe, picks and scores have been found to agree.

    Raises:
        SelectionError: if they do not.
    """
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
    """What of the published rows is not there, and what is there instead."""
    theirs, ours = set(published), set(mine)
    missing = [row_id for row_id in published if row_id not in ours]
    strange = [i for i, row_id in enumerate(mine) if row_id not in theirs]
    parts = []
    if missing:
        count = len(set(missing) & set(picked))
        parts.append(f"{len(missing):,} of those are missing, {count:,} of them picked ({_some(missing)})")
    if strange:
        parts.append(f"{len(strange):,} of yours are unknown (rows {_some(strange)})")
    if len(published) == len(mine):
        in_place = [i for i in strange if published[i] not in ours]
        if len(in_place) == len(strange) == len(missing):
            parts.append("all others stand where they stood, so just these rows were changed")
    return "; ".join(parts)


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return shown if len(values) <= _SHOWN else f"{shown}, …"


def _other_commit(recipe: Recipe, pool: Dataset) -> str:
    given = recorded_source(pool)
    for name in ("repo_id", "commit"):
        theirs, ours = getattr(recipe.source, name), given.get(name)
        if theirs and ours and theirs != ours:
            return f"; the selection was made from the {name} {theirs}, and yours is {ours}"
    return ""
