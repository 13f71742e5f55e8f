"""A site becomes a static Space on the Hub of these tests."""

from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, run_client
from huggingface_hub import RepoCard


def push() -> dict[str, Any]:
    import os
    from pathlib import Path

    from hf_vitselect.errors import HubError
    from hf_vitselect.explorer import push_space

    site = Path(os.environ["HF_HOME"]) / "site"
    address = push_space(site, "tester/rows-explorer", dataset="tester/rows")
    again = push_space(site, "tester/rows-explorer", dataset="tester/rows")
    assert again == address
    try:
        push_space(site, "tester/rows-explorer", private=True)
    except HubError as error:
        refused = str(error)
    push_space(site, "tester/hidden", private=True)
    return {"address": address, "refused": refused}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "site" / "data").mkdir(parents=True)
    (folder / "site" / "index.html").write_text("<p>rows</p>")
    (folder / "site" / "data" / "dataset.parquet").write_bytes(bytes(range(256)) * 10)
    return folder


def test_site_becomes_a_static_space(hub: HubServer, home: Path) -> None:
    answer = run_client(push, hub.url, home)
    files = hub.commit("spaces", "tester/rows-explorer")["files"]
    assert {"README.md", "index.html", "data/dataset.parquet"} <= files.keys()
    assert hub.read(files["data/dataset.parquet"]) == bytes(range(256)) * 10
    card = RepoCard(hub.read(files["README.md"]).decode())
    assert card.data.to_dict() == {
        "title": "rows-explorer",
        "sdk": "static",
        "datasets": ["tester/rows"],
        "tags": ["vitselect"],
    }
    assert "https://huggingface.co/datasets/tester/rows" in card.text
    assert answer["address"].endswith("/spaces/tester/rows-explorer")
    assert "expected a private Space" in answer["refused"]
    assert hub.repo("spaces", "tester/hidden")["private"]
