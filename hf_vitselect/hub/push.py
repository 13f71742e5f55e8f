"""Publishing of a selection: data commits first, the final card last."""

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import httpx2
from datasets import Dataset, DatasetDict
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.errors import ExportError, HubError
from hf_vitselect.exports.base import Refused, refuse_unreadable
from hf_vitselect.exports.trl import trl_rows
from hf_vitselect.hub.access import parse_readme, read_readme, resolve_token, translate_errors
from hf_vitselect.hub.check import check_pushed
from hf_vitselect.hub.embed import embed_files
from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.dataset_card import subset_fingerprint, unfinished_card
from hf_vitselect.report.license import hub_license, license_names, license_warnings
from hf_vitselect.report.merge_readme import mark_unfinished
from hf_vitselect.report.plots import plots as draw_plots
from hf_vitselect.report.recipe_facts import Publish
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.selection.random_baselines import random_baselines
from hf_vitselect.selection.recipe import Published
from hf_vitselect.selection.selection import Selection

_ROWS = re.compile(r"data/train-[^/]*\.parquet")
_OURS = ("plots/", "examples/", "run.yaml")
"""Files next to the data that a push replaces, or deletes if it no longer has them."""


def push_to_hub(
    selection: Selection,
    repo_id: str,
    *,
    publish: Publish = "rows",
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    plots: Mapping[str, bytes] | None = None,
    run: str | os.PathLike[str] | None = None,
) -> str:
    """Publish a selection as a dataset.

    The repository gets the configs `default` (the picked rows in pick order, in TRL's layout: `messages`,
    `images` byte for byte, including those from files, and the pool's other columns), `scores` (id, scores,
    statuses and rank of every row of the pool) and `random_baseline` (row ids of random subsets of the same
    size, see `random_baselines`), and the files `recipe.json`, `picks.json` (row ids and gains), `run.yaml`,
    `plots/` and `examples/`. Older ones are replaced. Rows that name URLs keep the pool's layout.

    Until the data has been read back from the Hub, the card says that the repository is incomplete. The final
    card comes last and is merged with an existing one. If a push is interrupted, the same call completes it.

    Args:
        selection: What to publish. Afterwards its `recipe.published` holds repository and commit, and its
            `recipe.source` the license and language on the pool's card.
        repo_id: `owner/name`, or `name` for your own account. Created if it does not exist.
        publish: `"indices"` publishes no text of any row, only ids, scores, statuses and the card without
            examples, for pools that may not be redistributed. The recipe has no questions of kinds and no
            thresholds of answers then, so its filters and kinds cannot be applied to new rows. Older rows are
            deleted from the branch, but stay in its history.
        private: Whether a new repository is private; the owner's default if None.
        token: As in `huggingface_hub`; that of `hf auth login` if None. Never written anywhere.
        revision: A branch to push to; created if it does not exist.
        create_pr: Push to a pull request, which stays a draft until it is complete.
        commit_message: Of the last commit, which brings the card.
        plots: PNG files by name; those of `hf_vitselect.report.plots.plots` if None.
        run: The folder of the run that made the selection; its settings, cost and comparison are published.

    Returns:
        The address of the dataset or the pull request.

    Raises:
        ColumnError: If the rows have columns that `Selection.scores` adds.
        HubError: If a row or an image cannot be read, or another cell names a file of this machine; if the
            id is invalid or the pool's own; if the Hub refuses, or has a public repository where a private
            one was asked for, or a card that cannot be read; or if what is read back is not what was pushed.

    Examples:
        >>> push_to_hub(selection, "me/llava-instruct-15pct")  # doctest: +SKIP
        'https://huggingface.co/datasets/me/llava-instruct-15pct'
    """
    check_target(repo_id, publish)
    if create_pr and revision is not None:
        raise ValueError(f"expected revision= or create_pr=True, got both ({revision!r})")
    if repo_id == selection.recipe.source.repo_id:
        raise HubError(f"expected a repository for the subset, got {repo_id!r}, its pool; give another id")
    refuse_reserved(selection.dataset.features)
    plots = draw_plots(selection) if plots is None else plots
    record = None if run is None else RunRecord.read(run)
    rows = _rows_for_trl(selection) if publish == "rows" else None
    api = HfApi(token=token)
    with translate_errors(repo_id, token):
        url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        address, number = str(url), None
        _refuse_public(api, url.repo_id, private)
        _inherit(api, selection)
        if create_pr:
            number = _find_draft(api, url.repo_id, selection)
            address, revision = f"{address}/discussions/{number}", f"refs/pr/{number}"
        elif revision is not None:
            api.create_branch(url.repo_id, branch=revision, repo_type="dataset", exist_ok=True)
        push = _Push(api, url.repo_id, revision, selection, rows, publish, plots, record, token)
        push.begin()
        subsets = push.upload_data()
        head = str(push.head().sha)
        check_pushed(selection, subsets, push.repo_id, head, rows=publish == "rows", token=token)
        commit = push.end(head, commit_message or "Describe the selection")
        if number is not None:
            api.change_discussion_status(push.repo_id, number, "open", repo_type="dataset")
    selection.amend_recipe(published=Published(repo_id=push.repo_id, commit=commit))
    return address


@dataclass(frozen=True)
class _Push:
    """One push of a selection, without `rows` of its ids and scores only; `branch` is None for main."""

    api: HfApi
    repo_id: str
    branch: str | None
    selection: Selection
    rows: Dataset | None
    publish: Publish
    plots: Mapping[str, bytes]
    run: RunRecord | None
    token: str | None

    def head(self) -> DatasetInfo:
        return self.api.dataset_info(self.repo_id, revision=self.branch or "main")

    def begin(self) -> None:
        """Say in the card that the repository is incomplete, and delete what will not be pushed."""
        head = self.head()
        existing = read_readme(self.api, self.repo_id, str(head.sha))
        chosen = parse_readme(existing, self.repo_id).data.get("license")
        self._files(existing)  # now too, so that a card that cannot be made stops the push here
        self._warn(chosen)
        gone = [] if self.publish == "rows" else ["default"]
        unfinished = unfinished_card(self.selection, self.repo_id)
        readme = mark_unfinished(existing, unfinished, without=gone)
        rows = [path for path in _paths(head) if gone and _ROWS.fullmatch(path)]
        self._commit({"README.md": readme.encode()}, rows, "Begin to push a selection", head.sha)

    def upload_data(self) -> DatasetDict:
        """Push the configs, one commit each, and return the random subsets."""
        ids = self.selection.scores["row_id"][:]
        drawn = random_baselines(self.selection)
        subsets = {
            name: Dataset.from_dict({"row_id": [ids[row] for row in rows]}) for name, rows in drawn.items()
        }
        scores = self.selection.scores
        if self.publish == "indices":  # a reason may quote a row
            scores = scores.remove_columns([name for name in scores.column_names if name.endswith("_reason")])
        configs = {"scores": {"train": scores}, "random_baseline": subsets}
        if self.rows is not None:
            configs = {"default": {"train": self.rows}, **configs}
        for name, splits in configs.items():
            # A whole DatasetDict, because pushing one split leaves an older push's features in the card.
            DatasetDict(splits).push_to_hub(
                self.repo_id,
                name,
                token=self.token,
                revision=self.branch,
                commit_message=f"Upload the config {name}",
            )
        return DatasetDict(subsets)

    def end(self, head: str, message: str) -> str:
        """Commit the final card and its files onto the very commit that was checked."""
        files = self._files(read_readme(self.api, self.repo_id, head))
        there = _paths(self.api.dataset_info(self.repo_id, revision=head))
        stale = [path for path in there if path.startswith(_OURS) and path not in files]
        return self._commit(files, stale, message, head)

    def _commit(
        self, files: Mapping[str, bytes], deleted: Iterable[str], message: str, parent: str | None
    ) -> str:
        added = [CommitOperationAdd(path, content) for path, content in files.items()]
        done = self.api.create_commit(
            self.repo_id,
            [*map(CommitOperationDelete, deleted), *added],
            commit_message=message,
            repo_type="dataset",
            revision=self.branch or "main",
            parent_commit=parent,
        )
        return str(done.oid)

    def _files(self, existing: str) -> dict[str, bytes]:
        """Make the card, merged with an existing one, and its files; none may hold the user's token."""
        files = card_files(
            self.selection,
            self.plots,
            existing=existing,
            repo_id=self.repo_id,
            run=self.run,
            publish=self.publish,
        )
        hidden = resolve_token(self.token)
        if hidden and (paths := [path for path, content in files.items() if hidden.encode() in content]):
            raise HubError(f"expected no token in what is published, got yours in {paths}; take it out there")
        return files

    def _warn(self, chosen: object) -> None:
        names = license_names(self.selection.recipe.source.license)
        for sentence in license_warnings(names) if self.publish == "rows" else ():
            warnings.warn(sentence, stacklevel=4)
        inherited = hub_license(names)
        if chosen and inherited and chosen != inherited:
            warnings.warn(
                f"the card on the Hub keeps its license {chosen!r}; the pool's is {inherited!r}", stacklevel=4
            )


def _rows_for_trl(selection: Selection) -> Dataset:
    """The picked rows in the layout that TRL reads, with their images; as they are if some are URLs."""
    rows, refused = embed_files(selection.dataset), Refused()
    refuse_unreadable(rows, refused)
    if any(error.status == "image_remote" for error in refused.rows.values()):
        return rows
    try:
        refused.raise_any(selection, "a dataset for TRL")
    except ExportError as error:
        raise HubError(str(error)) from error
    return trl_rows(rows)


def check_target(repo_id: str, publish: str) -> None:
    """Refuse an invalid repository id (HubError), or an unknown way to publish (ValueError)."""
    if publish not in ("rows", "indices"):
        raise ValueError(f"publish: expected 'rows' or 'indices', got {publish!r}")
    with translate_errors(repo_id, None):
        validate_repo_id(repo_id)


def _refuse_public(api: HfApi, repo_id: str, private: bool | None) -> None:
    if private and not api.dataset_info(repo_id).private:
        raise HubError(
            f"expected a private repository, got {repo_id!r}, which exists and is public; "
            "make it private in its settings on the Hub, or give another id"
        )


def _inherit(api: HfApi, selection: Selection) -> None:
    """Fill in the license and the language from the pool's card on the Hub."""
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
    inherited = {name: data.get(name) for name in unknown if data.get(name)}
    selection.amend_recipe(source=replace(source, **inherited))


def _find_draft(api: HfApi, repo_id: str, selection: Selection) -> int:
    """Find the draft that an interrupted push of this selection left, or open one."""
    title = f"Publish the selection {subset_fingerprint(selection)[:12]}"
    for discussion in api.get_repo_discussions(repo_id, repo_type="dataset", discussion_type="pull_request"):
        if (discussion.title, discussion.status) == (title, "draft"):
            return int(discussion.num)
    return int(api.create_pull_request(repo_id, title, repo_type="dataset").num)


def _paths(info: DatasetInfo) -> list[str]:
    return [file.rfilename for file in info.siblings or []]
