"""Publishes a selection: data commits first, the final card last."""

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import httpx2
from datasets import Dataset, DatasetDict
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from hf_vitselect import report as card
from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.errors import HubError
from hf_vitselect.hub.access import parse_readme, read_readme, resolve_token, translate_errors
from hf_vitselect.hub.check import check_pushed
from hf_vitselect.hub.embed import embedded
from hf_vitselect.report.plots import plots as draw_plots
from hf_vitselect.selection.random_baselines import random_baselines
from hf_vitselect.selection.recipe import Published
from hf_vitselect.selection.selection import Selection

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

    The repository then has the configs `default` (the picked rows in pick order, images byte for byte, also
    where they lay in files), `scores` (every row of the pool: id, scores, statuses, rank) and
    `random_baseline` (row ids of random subsets of the same size, see `random_baselines`), which
    replace older ones of these names; and
    `recipe.json`, `picks.json` (row ids and gains), `run.yaml`, `plots/` and `examples/`.

    Until the data has been read back from the Hub, the card says that the repository is incomplete; the final
    card comes last and is merged with one that was there. After an interruption the same call completes the
    job.

    Args:
        repo_id: `owner/name`, or `name` for your own account. Created if it does not exist.
        publish: `"indices"` publishes no row, neither images nor texts, for pools that may not be
            redistributed: ids, scores and the card without examples. Older rows there are deleted from
            the branch; its history keeps them.
        private: whether a new repository is private; the owner's default if None.
        token: as in `huggingface_hub`; the one of `hf auth login` if None. Never written anywhere.
        revision: a branch to push to; made if it does not exist.
        create_pr: push to a pull request, which stays a draft until it is whole.
        commit_message: of the last commit, which brings the card.
        plots: PNG files by name; `hf_vitselect.report.plots.plots` of the selection if None.
        run: the folder of the run that made the selection; its settings, cost and comparison are published.

    Returns:
        The data set's address, or the pull request's. `selection.recipe.published` then says repository
        and commit, and `selection.recipe.source` the license and language that the pool's card has.

    Raises:
        ColumnError: if the rows have columns of the names that `scores` adds.
        HubError: if an image of the rows cannot be read, or another cell of them names a file of this
            machine; if the id is no repository id or the pool's own, if the Hub refuses, if a private
            repository was asked for and a public one is there, if the card that is there cannot be read, or
            if what is read back is not what was pushed.

    Example:
        >>> push_to_hub(selection, "me/llava-instruct-15pct")  # doctest: +SKIP
        'https://huggingface.co/datasets/me/llava-instruct-15pct'
    """
    check_target(repo_id, publish)
    if create_pr and revision is not None:
        raise ValueError(f"expected revision= or create_pr=True, got both ({revision!r})")
    if repo_id == selection.recipe.source.repo_id:
        raise HubError(
            f"expected a repository for the subset, got {repo_id!r}, where its pool is; give another id"
        )
    refuse_reserved(selection.dataset.features)
    plots = draw_plots(selection) if plots is None else plots
    record = None if run is None else card.RunRecord.read(run)
    rows = embedded(selection.dataset) if publish == "rows" else None
    content = _Content(selection, rows, publish, plots, record, token)
    api = HfApi(token=token)
    with translate_errors(repo_id, token):
        url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        address, number = str(url), None
        _refuse_public(api, url.repo_id, private)
        _inherit(api, selection)
        if create_pr:
            number = _draft(api, url.repo_id, selection)
            address, revision = f"{address}/discussions/{number}", f"refs/pr/{number}"
        elif revision is not None:
            api.create_branch(url.repo_id, branch=revision, repo_type="dataset", exist_ok=True)
        branch = _Branch(api, url.repo_id, revision)
        _begin(branch, content)
        subsets = _push_data(branch, content)
        head = str(branch.head().sha)
        check_pushed(selection, subsets, branch.repo_id, head, rows=publish == "rows", token=token)
        commit = _end(branch, content, head, commit_message or "Describe the selection")
        if number is not None:
            api.change_discussion_status(branch.repo_id, number, "open", repo_type="dataset")
    selection.amend_recipe(published=Published(repo_id=branch.repo_id, commit=commit))
    return address


@dataclass(frozen=True)
class _Branch:
    """Where a push goes; `name` is None for main."""

    api: HfApi
    repo_id: str
    name: str | None

    def head(self) -> DatasetInfo:
        return self.api.dataset_info(self.repo_id, revision=self.name or "main")

    def commit(
        self, files: Mapping[str, bytes], deleted: Iterable[str], message: str, parent: str | None
    ) -> str:
        """Commits onto `parent` and nothing else; returns the commit."""
        done = self.api.create_commit(
            self.repo_id,
            [
                *map(CommitOperationDelete, deleted),
                *(CommitOperationAdd(path, content) for path, content in files.items()),
            ],
            commit_message=message,
            repo_type="dataset",
            revision=self.name or "main",
            parent_commit=parent,
        )
        return str(done.oid)


@dataclass(frozen=True)
class _Content:
    """What is pushed; without `rows` the ids and scores only."""

    selection: Selection
    rows: Dataset | None
    publish: card.Publish
    plots: Mapping[str, bytes]
    run: card.RunRecord | None
    token: str | None

    def files(self, existing: str, repo_id: str) -> dict[str, bytes]:
        """The card and what stands beside it, without the user's token."""
        made = card.card_files(
            self.selection,
            self.plots,
            existing=existing,
            repo_id=repo_id,
            run=self.run,
            publish=self.publish,
        )
        hidden = resolve_token(self.token)
        if hidden and (found := [path for path, content in made.items() if hidden.encode() in content]):
            raise HubError(f"expected no token in what is published, got yours in {found}; take it out there")
        return made


def _refuse_public(api: HfApi, repo_id: str, private: bool | None) -> None:
    if private and not api.dataset_info(repo_id).private:
        raise HubError(
            f"expected a private repository, got {repo_id!r}, which is there already and public; "
            "make it private in its settings on the Hub, or give another id"
        )


def _inherit(api: HfApi, selection: Selection) -> None:
    """Fills in the licence and the language that the card of the pool on the Hub has."""
    source = selection.recipe.source
    unknown = [name for name in ("license", "language") if not getattr(source, name)]
    if not source.repo_id or not unknown:
        return
    try:
        commit = str(api.dataset_info(source.repo_id, revision=source.commit).sha)
        data = parse_readme(read_readme(api, source.repo_id, commit), source.repo_id).data
    except (HubError, OSError, httpx2.TransportError) as error:
        warnings.warn(
            f"the card of the pool {source.repo_id} cannot be read: {type(error).__name__}", stacklevel=3
        )
        return
    found = {name: data.get(name) for name in unknown if data.get(name)}
    selection.amend_recipe(source=replace(source, **found))


def _draft(api: HfApi, repo_id: str, selection: Selection) -> int:
    """The number of the draft that an interrupted push of this selection has left, or of a new one."""
    title = f"Publish the selection {card.subset_fingerprint(selection)[:12]}"
    for discussion in api.get_repo_discussions(repo_id, repo_type="dataset", discussion_type="pull_request"):
        if (discussion.title, discussion.status) == (title, "draft"):
            return int(discussion.num)
    return int(api.create_pull_request(repo_id, title, repo_type="dataset").num)


def check_target(repo_id: str, publish: str) -> None:
    """Refuses an invalid repository id, or an unknown way to publish.

    Raises:
        HubError: for the id.
        ValueError: for `publish`.
    """
    if publish not in ("rows", "indices"):
        raise ValueError(f"publish: expected 'rows' or 'indices', got {publish!r}")
    with translate_errors(repo_id, None):
        validate_repo_id(repo_id)


def _begin(branch: _Branch, content: _Content) -> None:
    """Says in the card that the repository is incomplete, and takes out what will not be pushed."""
    head = branch.head()
    existing = read_readme(branch.api, branch.repo_id, str(head.sha))
    there = parse_readme(existing, branch.repo_id)
    content.files(existing, branch.repo_id)  # now too, so that what cannot be made stops the push here
    _warn(content, there.data.get("license"))
    gone = [] if content.publish == "rows" else ["default"]
    readme = card.mark_unfinished(
        existing, card.unfinished_card(content.selection, branch.repo_id), without=gone
    )
    rows = [path for path in _paths(head) if gone and _ROWS.fullmatch(path)]
    branch.commit({"README.md": readme.encode()}, rows, "Begin to push a selection", head.sha)


def _warn(content: _Content, chosen: object) -> None:
    names = card.licence_names(content.selection.recipe.source.license)
    if content.publish == "rows":
        for sentence in card.licence_warnings(names):
            warnings.warn(sentence, stacklevel=4)
    inherited = card.hub_licence(names)
    if chosen and inherited and chosen != inherited:
        warnings.warn(
            f"the card on the Hub says licence {chosen!r} and keeps it; the pool's is {inherited!r}",
            stacklevel=4,
        )


def _push_data(branch: _Branch, content: _Content) -> DatasetDict:
    """Pushes the configs, one commit each; returns the random subsets."""
    selection = content.selection
    ids = selection.scores["row_id"][:]
    drawn = random_baselines(selection)
    subsets = {
        name: Dataset.from_dict({"row_id": [ids[row] for row in rows]}) for name, rows in drawn.items()
    }
    configs = {"scores": {"train": selection.scores}, "random_baseline": subsets}
    if content.rows is not None:
        configs = {"default": {"train": content.rows}, **configs}
    for name, splits in configs.items():
        # A whole DatasetDict, because pushing one split leaves an older push's features in the card.
        DatasetDict(splits).push_to_hub(
            branch.repo_id,
            name,
            token=content.token,
            revision=branch.name,
            commit_message=f"Upload the config {name}",
        )
    return DatasetDict(subsets)


def _end(branch: _Branch, content: _Content, head: str, message: str) -> str:
    """The final card and what it shows, onto the very commit that was checked."""
    files = content.files(read_readme(branch.api, branch.repo_id, head), branch.repo_id)
    there = _paths(branch.api.dataset_info(branch.repo_id, revision=head))
    stale = [path for path in there if path.startswith(_OURS) and path not in files]
    return branch.commit(files, stale, message, head)


def _paths(info: DatasetInfo) -> list[str]:
    return [file.rfilename for file in info.siblings or []]
