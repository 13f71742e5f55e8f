"""Publishes a selection: data commits first, the final card last."""

import os
import re
import warnings
from collections.abc import Callable, Mapping

import httpx2
from datasets import Dataset, DatasetDict
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from hf_vitselect import card, report
from hf_vitselect.baselines import baselines
from hf_vitselect.errors import HubError
from hf_vitselect.hub.access import explained, read_hub_card, read_readme, secret
from hf_vitselect.hub.check import check_pushed
from hf_vitselect.selection import Selection

_ROWS = re.compile(r"data/train-[^/]*\.parquet")
_OURS = ("plots/", "examples/", "run.yaml")
"""Files beside the data that a push replaces, also those that it no longer has."""


def push_to_hub(
    selection: Selection,
    repo_id: str,
    *,
    publish: card.Publish = "rows",
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    plots: Mapping[str, bytes] | None = None,
    run: str | os.PathLike[str] | None = None,
) -> str:
    """Publishes a selection as a data set.

    The repository then has the configs ``default`` (the picked rows in pick order, images byte for byte),
    ``scores`` (every row of the pool: id, scores, statuses, rank) and ``random_baseline`` (row ids of random
    subsets of the same size, see `hf_vitselect.baselines`), which replace older ones of these names; and
    ``recipe.json``, ``picks.json`` (row ids and gains), ``run.yaml``, ``plots/`` and ``examples/``.

    Until the data has been read back from the Hub, the card says that the repository is incomplete; the final
    card comes last and is merged with one that was there. After an interruption the same call completes the
    job.

    Args:
        repo_id: ``owner/name``, or ``name`` for your own account. Created if it does not exist.
        publish: ``"indices"`` publishes no row, neither images nor texts, for pools that may not be
            redistributed: ids, scores and the card without examples. Older rows there are deleted from
            the branch; its history keeps them.
        private: whether a new repository is private; the owner's default if None.
        token: as in `huggingface_hub`; the one of ``hf auth login`` if None. Never written anywhere.
        revision: a branch to push to; made if it does not exist.
        create_pr: push to a pull request, which stays a draft until it is whole.
        commit_message: of the last commit, which brings the card.
        plots: PNG files by name; `hf_vitselect.report.plots` of the selection if None.
        run: the folder of the run that made the selection; its settings, cost and comparison are published.

    Returns:
        The data set's address, or the pull request's. ``selection.recipe["published"]`` then says repository
        and commit, and ``selection.recipe["source"]`` the licence and language that the pool's card has.

    Raises:
        HubError: if the id is no repository id or the pool's own, if the Hub refuses, if a private
            repository was asked for and a public one is there, if the card that is there cannot be read, or
            if what is read back is not what was pushed.

    Example:
        >>> push_to_hub(selection, "me/llava-instruct-15pct")  # doctest: +SKIP
        'https://huggingface.co/datasets/me/llava-instruct-15pct'
    """
    if publish not in ("rows", "indices"):
        raise ValueError(f"publish: expected 'rows' or 'indices', got {publish!r}")
    if create_pr and revision is not None:
        raise ValueError(f"expected revision= or create_pr=True, got both ({revision!r})")
    if repo_id == selection.recipe["source"].get("repo_id"):
        raise HubError(
            f"expected a repository for the subset, got {repo_id!r}, where its pool is; give another id"
        )
    plots = report.plots(selection) if plots is None else plots
    record = None if run is None else card.RunRecord.read(run)
    api = HfApi(token=token)
    with explained(repo_id, token):
        url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        repo_id, address = url.repo_id, str(url)
        _refuse_public(api, repo_id, private)
        _inherit(api, selection)

        def files(existing: str) -> dict[str, bytes]:
            made = card.card_files(
                selection, plots, existing=existing, repo_id=repo_id, run=record, publish=publish
            )
            _refuse_token(made, token)
            return made

        branch = revision or "main"
        number = _draft(api, repo_id, selection) if create_pr else None
        if number is not None:
            branch, address = f"refs/pr/{number}", f"{address}/discussions/{number}"
        elif revision is not None:
            api.create_branch(repo_id, branch=revision, repo_type="dataset", exist_ok=True)
        _begin(api, repo_id, branch, selection, publish, files)
        subsets = _push_data(selection, repo_id, branch, publish, token)
        head = str(api.dataset_info(repo_id, revision=branch).sha)
        check_pushed(selection, subsets, repo_id, head, rows=publish == "rows", token=token)
        made = files(read_readme(api, repo_id, head))
        commit = api.create_commit(
            repo_id,
            [*_stale(api, repo_id, head, made), *(CommitOperationAdd(path, made[path]) for path in made)],
            commit_message=commit_message or "Describe the selection",
            repo_type="dataset",
            revision=branch,
            parent_commit=head,
        )
        if number is not None:
            api.change_discussion_status(repo_id, number, "open", repo_type="dataset")
    selection.recipe["published"] = {"repo_id": repo_id, "commit": commit.oid}
    return address


def _refuse_public(api: HfApi, repo_id: str, private: bool | None) -> None:
    if private and not api.dataset_info(repo_id).private:
        raise HubError(
            f"expected a private repository, got {repo_id!r}, which is there already and public; "
            "make it private in its settings on the Hub, or give another id"
        )


def _refuse_token(files: Mapping[str, bytes], token: str | None) -> None:
    hidden = secret(token)
    if hidden and (found := [path for path, content in files.items() if hidden.encode() in content]):
        raise HubError(f"expected no token in what is published, got yours in {found}; take it out there")


def _inherit(api: HfApi, selection: Selection) -> None:
    """Fills in the licence and the language that the card of the pool on the Hub has."""
    source = selection.recipe["source"]
    wanted = [name for name in ("license", "language") if not source.get(name)]
    if not source.get("repo_id") or not wanted:
        return
    try:
        commit = str(api.dataset_info(source["repo_id"], revision=source.get("commit")).sha)
        data = read_hub_card(api, source["repo_id"], commit).data
    except (HubError, OSError, httpx2.TransportError) as error:
        warnings.warn(
            f"the card of the pool {source['repo_id']} cannot be read: {type(error).__name__}", stacklevel=3
        )
        return
    selection.recipe["source"] = source | {name: data.get(name) for name in wanted if data.get(name)}


def _draft(api: HfApi, repo_id: str, selection: Selection) -> int:
    """The number of the draft that an interrupted push of this selection has left, or of a new one."""
    title = f"Publish the selection {card.subset_fingerprint(selection)[:12]}"
    for discussion in api.get_repo_discussions(repo_id, repo_type="dataset", discussion_type="pull_request"):
        if (discussion.title, discussion.status) == (title, "draft"):
            return int(discussion.num)
    return int(api.create_pull_request(repo_id, title, repo_type="dataset").num)


def _begin(
    api: HfApi,
    repo_id: str,
    branch: str,
    selection: Selection,
    publish: card.Publish,
    files: Callable[[str], Mapping[str, bytes]],
) -> None:
    """Says in the card that the repository is incomplete, and takes out what will not be pushed."""
    head = api.dataset_info(repo_id, revision=branch)
    there = read_hub_card(api, repo_id, str(head.sha))
    existing = read_readme(api, repo_id, str(head.sha))
    files(existing)  # Made now too, so that a card nobody can merge stops the push before it begins.
    _warn(selection, there.data.get("license"), publish)
    gone = [] if publish == "rows" else ["default"]
    readme = card.mark_unfinished(existing, card.unfinished_card(selection, repo_id), without=gone)
    rows = [item.rfilename for item in head.siblings or [] if gone and _ROWS.fullmatch(item.rfilename)]
    api.create_commit(
        repo_id,
        [CommitOperationAdd("README.md", readme.encode()), *map(CommitOperationDelete, rows)],
        commit_message="Begin to push a selection",
        repo_type="dataset",
        revision=branch,
        parent_commit=head.sha,
    )


def _warn(selection: Selection, chosen: object, publish: card.Publish) -> None:
    names = card.licence_names(selection.recipe["source"])
    if publish == "rows":
        for sentence in card.licence_warnings(names):
            warnings.warn(sentence, stacklevel=4)
    inherited = card.hub_licence(names)
    if chosen and inherited and chosen != inherited:
        warnings.warn(
            f"the card on the Hub says licence {chosen!r} and keeps it; the pool's is {inherited!r}",
            stacklevel=4,
        )


def _push_data(
    selection: Selection, repo_id: str, branch: str, publish: card.Publish, token: str | None
) -> DatasetDict:
    """Pushes the configs, one commit each; returns the random subsets."""
    ids = selection.scores["row_id"][:]
    subsets = DatasetDict(
        {
            name: Dataset.from_dict({"row_id": [ids[row] for row in rows]})
            for name, rows in baselines(selection).items()
        }
    )
    configs = {
        # A whole DatasetDict, because pushing one split leaves an older push's features in the card.
        **({"default": DatasetDict({"train": selection.dataset})} if publish == "rows" else {}),
        "scores": DatasetDict({"train": selection.scores}),
        "random_baseline": subsets,
    }
    for name, splits in configs.items():
        splits.push_to_hub(
            repo_id,
            name,
            token=token,
            revision=None if branch == "main" else branch,
            commit_message=f"Upload the config {name}",
        )
    return subsets


def _stale(api: HfApi, repo_id: str, head: str, made: Mapping[str, bytes]) -> list[CommitOperationDelete]:
    there = [item.rfilename for item in api.dataset_info(repo_id, revision=head).siblings or []]
    return [CommitOperationDelete(path) for path in there if path.startswith(_OURS) and path not in made]
