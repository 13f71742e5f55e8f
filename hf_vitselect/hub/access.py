"""Reading from the Hub, with its refusals turned into errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from datasets.exceptions import DatasetsError
from huggingface_hub import DatasetCard, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RemoteEntryNotFoundError

from hf_vitselect.errors import HubError, SelectionError
from hf_vitselect.report.merge_readme import read_card
from hf_vitselect.selection.json_part import parse_json

_AGAIN = "call again; what arrived before stays, and the card comes last"


@contextmanager
def translate_errors(repo_id: str, token: str | bool | None) -> Iterator[None]:
    """Turn errors of the Hub's libraries into a `HubError` that names the repository and not the token."""
    try:
        yield
    except HubError:
        raise
    except HFValidationError as error:
        raise HubError(f"expected a repository id such as 'me/subset', got {repo_id!r}: {error}") from error
    except HfHubHTTPError as error:
        status, advice = error.response.status_code, _AGAIN
        if status in (401, 403):
            advice = "log in with `hf auth login`, with a token that may write there"
        elif status == 404:
            advice = "check the id and the revision; a private repository needs a token that may read it"
        message = f"expected access to the dataset {repo_id}, got {status}: {error}; {advice}"
        raise HubError(_without_token(message, token)) from error
    except (httpx2.TransportError, DatasetsError, OSError) as error:
        message = f"expected to reach the dataset {repo_id}, got {type(error).__name__}: {error}; {_AGAIN}"
        raise HubError(_without_token(message, token)) from error


def resolve_token(token: str | bool | None) -> str | None:
    """Return the token that `huggingface_hub` sends, if any."""
    return token if isinstance(token, str) else get_token() if token is not False else None


def _without_token(text: str, token: str | bool | None) -> str:
    hidden = resolve_token(token)
    return text.replace(hidden, "<token>") if hidden else text


def read_file(api: HfApi, repo_id: str, commit: str, path: str) -> bytes | None:
    """Read a file; None if the commit has none. `commit` must be exact: answers about branches are cached."""
    try:
        file = api.hf_hub_download(repo_id, path, repo_type="dataset", revision=commit)
    except RemoteEntryNotFoundError:
        return None
    return Path(file).read_bytes()


def read_readme(api: HfApi, repo_id: str, commit: str) -> str:
    """Read the README; empty if it does not exist."""
    return (read_file(api, repo_id, commit, "README.md") or b"").decode("utf-8")


def parse_readme(readme: str, repo_id: str) -> DatasetCard:
    """Parse a README as a card, or raise a HubError if its metadata cannot be read."""
    try:
        return read_card(readme)
    except (ValueError, yaml.YAMLError) as error:
        raise HubError(
            f"expected a README.md with YAML metadata in {repo_id}, got one that cannot be read: {error}; "
            "repair or delete it on the Hub"
        ) from error


def read_json(api: HfApi, repo_id: str, commit: str, name: str) -> Any:
    """Read a JSON file of a published selection, or raise a HubError if it is missing or not JSON."""
    content = read_file(api, repo_id, commit, name)
    if content is None:
        raise HubError(
            f"expected a selection with {name} in {repo_id} at {commit}, got a dataset without it; "
            "give the id of a dataset that push_to_hub has completed"
        )
    try:
        return parse_json(content, name)
    except SelectionError as error:
        raise HubError(f"the selection in {repo_id} at {commit} is not valid: {error}") from error
