"""Publishes selections on the Hub, and rebuilds a subset from what was published."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

from hf_vitselect import card, report
from hf_vitselect.errors import HubError
from hf_vitselect.rows import row_ids
from hf_vitselect.selection import Selection


def push_to_hub(
    selection: Selection,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str | None = None,
    plots: Mapping[str, bytes] | None = None,
) -> str:
    """Publishes a selection as a data set.

    The repository then has the configs ``default`` (the picked rows in pick order, images byte for byte)
    and ``scores`` (every row of the pool: id, scores, statuses, rank), which replace older ones of these
    names, ``recipe.json``, ``picks.json`` (row ids and gains) and ``plots/``. The card comes last and
    is merged with one that is there already. After an interruption the same call completes the job.

    Args:
        repo_id: ``owner/name``, or ``name`` for your own account. Created if it does not exist.
        private: whether a new repository is private; the owner's default if None.
        token: as in `huggingface_hub`; the one of ``hf auth login`` if None. Never written anywhere.
        commit_message: of the last commit, which brings the card.
        plots: PNG files by name; `hf_vitselect.report.plots` of the selection if None.

    Returns:
        The data set's address. ``selection.recipe["published"]`` then says repository and commit.

    Raises:
        HubError: if the id is no repository id or the pool's own, if the Hub refuses, or if the card that
            is there cannot be read.

    Example:
        >>> push_to_hub(selection, "me/llava-instruct-15pct")  # doctest: +SKIP
        'https://huggingface.co/datasets/me/llava-instruct-15pct'
    """
    if repo_id == selection.recipe["source"].get("repo_id"):
        raise HubError(
            f"expected a repository for the subset, got {repo_id!r}, where its pool is; give another id"
        )
    plots = report.plots(selection) if plots is None else plots
    api = HfApi(token=token)
    with _explained(repo_id):
        url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        repo_id = url.repo_id
        # Made now too, so that a card nobody can merge stops the push before it begins.
        _card_files(api, repo_id, "main", selection, plots)
        for config, rows in (("default", selection.dataset), ("scores", selection.scores)):
            # A whole DatasetDict, because pushing one split leaves an older push's features in the card.
            DatasetDict({"train": rows}).push_to_hub(
                repo_id, config, token=token, commit_message=f"Upload the config {config}"
            )
        head = str(api.dataset_info(repo_id).sha)
        files = _card_files(api, repo_id, head, selection, plots)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(path, content) for path, content in files.items()],
            commit_message=commit_message or "Describe the selection",
            repo_type="dataset",
            parent_commit=head,
        )
    selection.recipe["published"] = {"repo_id": repo_id, "commit": commit.oid}
    return str(url)


def apply_selection(
    pool: Dataset, repo_id: str, *, revision: str | None = None, token: str | None = None
) -> Selection:
    """Rebuilds a published selection from your own copy of its pool.

    Rows are found by their ids, so the pool may have another order and other columns.

    Args:
        pool: the rows that the selection was made from, all of them.
        repo_id: where it was published.
        revision: a commit, branch or tag.
        token: as in `huggingface_hub`.

    Raises:
        HubError: if there is no whole selection in the repository, or the pool has not the same rows; it
            says how many are missing.

    Example:
        >>> selection = apply_selection(pool, "me/llava-instruct-15pct")  # doctest: +SKIP
    """
    api = HfApi(token=token)
    with _explained(repo_id):
        commit = str(api.dataset_info(repo_id, revision=revision).sha)
        recipe, picks = (_read_json(api, repo_id, commit, name) for name in ("recipe.json", "picks.json"))
        scores = load_dataset(repo_id, "scores", split="train", revision=commit, token=token)
    ids, ranks = scores["row_id"][:], scores["rank"][:]
    by_rank = {rank: row_id for row_id, rank in zip(ids, ranks, strict=True) if rank is not None}
    if [by_rank[rank] for rank in sorted(by_rank)] != picks["row_id"]:
        raise HubError(
            f"expected that scores and picks.json of {repo_id} name the same {len(picks['row_id'])} rows at "
            f"{commit}, got others: a push stopped half-way; push again, or give an older revision="
        )
    place = {row_id: i for i, row_id in enumerate(row_ids(pool))}
    missing = [row_id for row_id in ids if row_id not in place]
    if missing or len(pool) != len(ids):
        picked = len(set(missing) & set(picks["row_id"]))
        raise HubError(
            f"expected the pool of {repo_id} with {len(ids)} rows, got {len(pool)} rows, in which "
            f"{len(missing)} of those are missing, {picked} of them picked ones; "
            f"give the pool that the card names, at its commit"
        )
    recipe["published"] = {"repo_id": repo_id, "commit": commit}
    indices = np.asarray([place[row_id] for row_id in picks["row_id"]], dtype=np.int64)
    gains = np.asarray(picks["gain"], dtype=np.float64)
    pool_order = np.argsort([place[row_id] for row_id in ids])
    return Selection(pool.select(indices), indices, gains, scores.select(pool_order), recipe)


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turns the Hub's refusals into errors that say what to do."""
    try:
        yield
    except HFValidationError as error:
        raise HubError(f"expected a repository id such as 'me/subset', got {repo_id!r}: {error}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            advice = "log in with `hf auth login`, with a token that may write there"
        elif status == 404:
            advice = "check the id and the revision; a private repository needs a token that may read it"
        else:
            advice = "call again; what arrived before stays, and the card comes last"
        raise HubError(
            f"expected access to the data set {repo_id}, got {status}: {error}; {advice}"
        ) from error


def _card_files(
    api: HfApi, repo_id: str, revision: str, selection: Selection, plots: Mapping[str, bytes]
) -> dict[str, bytes]:
    try:
        file = api.hf_hub_download(repo_id, "README.md", repo_type="dataset", revision=revision)
        # Opened without translating line ends, so that the user's stay.
        with open(file, encoding="utf-8", newline="") as readme:
            existing = readme.read()
    except EntryNotFoundError:
        existing = ""
    try:
        return card.card_files(selection, plots, existing=existing, repo_id=repo_id)
    except (ValueError, yaml.YAMLError) as error:
        raise HubError(
            f"expected a README.md with YAML metadata in {repo_id}, got one that cannot be read: {error}; "
            "repair or delete it on the Hub"
        ) from error


def _read_json(api: HfApi, repo_id: str, commit: str, name: str) -> Any:
    try:
        file = api.hf_hub_download(repo_id, name, repo_type="dataset", revision=commit)
    except EntryNotFoundError as error:
        raise HubError(
            f"expected a selection with {name} in {repo_id} at {commit}, got a data set without it; "
            "give the id of a data set that push_to_hub has completed"
        ) from error
    return json.loads(Path(file).read_text("utf-8"))
