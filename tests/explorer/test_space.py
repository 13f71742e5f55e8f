"""A site becomes a static Space on the Hub of these tests, also through the command."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hub_server import HubServer, run_client
from huggingface_hub import RepoCard

from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse


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


def explore() -> dict[str, Any]:
    import os

    from hf_vitselect.cli.main import main

    os.chdir(os.environ["HF_HOME"])
    flags = ["--projection", "pca", "--push_to_hub"]
    return {
        "push": main(["push", "--selection", "selection", "--repo_id", "tester/subset"]),
        "explore": main(["explore", "selection", *flags, "tester/picks", "--export", "site"]),
        "of the pool": main(["explore", "score/scored", *flags, "tester/pool", "--private", "true"]),
        "public": main(["explore", "selection", *flags, "tester/picks", "--private", "true"]),
    }


@pytest.mark.slow
def test_command_pushes_a_complete_site(hub: HubServer, tmp_path: Path, scored_pool: Dataset) -> None:
    atlas = pytest.importorskip("embedding_atlas", reason="the extra explore is not installed")
    scored_pool.save_to_disk(str(tmp_path / "score" / "scored"))
    select_diverse(scored_pool, 8, rule=TopScore()).save_to_disk(tmp_path / "selection")
    statuses = run_client(explore, hub.url, tmp_path)
    assert statuses == {"push": 0, "explore": 0, "of the pool": 0, "public": 2}
    files = hub.commit("spaces", "tester/picks")["files"]
    exported = {
        path.relative_to(tmp_path / "site").as_posix(): path.read_bytes()
        for path in (tmp_path / "site").rglob("*")
        if path.is_file()
    }
    assert {path: hub.read(file) for path, file in files.items() if path != ".gitattributes"} == exported
    static = Path(atlas.__file__).parent / "static"
    needed = {path.relative_to(static).as_posix() for path in static.rglob("*") if path.is_file()}
    assert needed < exported.keys()
    assert exported.keys() - needed == {
        "README.md",
        "explorer.json",
        "data/dataset.parquet",
        "data/metadata.json",
    }
    assert json.loads(exported["explorer.json"]) == {"rows": 40, "map": True}
    card = RepoCard(exported["README.md"].decode())
    assert (card.data.sdk, card.data.datasets) == ("static", ["tester/subset"])
    assert not hub.repo("spaces", "tester/picks")["private"]
    assert hub.repo("spaces", "tester/pool")["private"]
    private = hub.commit("spaces", "tester/pool")["files"]
    assert private.keys() == files.keys()
    assert "datasets" not in RepoCard(hub.read(private["README.md"]).decode()).data.to_dict()
