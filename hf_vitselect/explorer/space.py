"""An explorer as a static Space on the Hub."""

import json
import os
from pathlib import Path

from huggingface_hub import HfApi

from hf_vitselect.errors import HubError
from hf_vitselect.hub.access import translate_errors


def push_space(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    dataset: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
) -> str:
    """Push a site that `write_site` wrote as a static Space; it shows rows of the pool.

    Args:
        folder: The site.
        repo_id: `owner/name` of the Space, created if it does not exist.
        dataset: The data set on the Hub that it belongs to.
        private: Whether a new Space is private; the owner's default if None.
        token: As in `huggingface_hub`. Never written anywhere.

    Returns:
        The Space's address.

    Raises:
        HubError: If the Hub refuses, the id is invalid, or a public Space exists where a private one was
            asked for.
    """
    api = HfApi(token=token)
    with translate_errors(repo_id, token):
        url = api.create_repo(repo_id, repo_type="space", space_sdk="static", private=private, exist_ok=True)
        if private and not api.space_info(url.repo_id).private:
            raise HubError(
                f"expected a private Space, got {repo_id!r}, which exists and is public; "
                "make it private in its settings on the Hub, or give another id"
            )
        Path(folder, "README.md").write_text(_readme(url.repo_id, dataset), "utf-8")
        api.upload_folder(
            folder_path=os.fspath(folder),
            repo_id=url.repo_id,
            repo_type="space",
            commit_message="Upload the explorer",
        )
    return str(url)


def _readme(repo_id: str, dataset: str | None) -> str:
    lines = ["---", f"title: {json.dumps(repo_id.rpartition('/')[2])}", "sdk: static"]
    if dataset is not None:
        lines += ["datasets:", f"- {dataset}"]
    of = f" of [{dataset}](https://huggingface.co/datasets/{dataset})" if dataset else ""
    return "\n".join(
        [
            *lines,
            "tags:",
            "- vitselect",
            "---",
            "",
            f"The rows{of} in a browser, made by `hf-vitselect explore`.",
            "",
        ]
    )
