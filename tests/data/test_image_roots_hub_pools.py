"""Rows of a pool from the Hub cannot name files of this machine, whichever way they are read."""

from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, run_client
from pools import png
from tiny_embedders import save_clip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's HF_HOME, with a model, and an image that is nobody else's business."""
    folder = tmp_path_factory.mktemp("home")
    save_clip(folder / "clip")
    (folder / "secret.png").write_bytes(png())
    return folder


def read_in_every_way() -> dict[str, Any]:
    import io
    import json
    import os
    from pathlib import Path

    from datasets import Dataset, Features, Image, Value, load_dataset, load_from_disk
    from huggingface_hub import HfApi
    from PIL import Image as PILImage

    from hf_vitselect import ClipEmbedding, push_to_hub, score, select_diverse
    from hf_vitselect.errors import AllRefusedError
    from hf_vitselect.rules import Random

    home, api = Path(os.environ["HF_HOME"]), HfApi()
    sink = io.BytesIO()
    PILImage.new("RGB", (8, 8), (200, 0, 0)).save(sink, "PNG")
    row = {"prompt": "what?", "completion": "red"}
    secret, link = str(home / "secret.png"), str(home / "hub" / ".." / "secret.png")
    files: dict[str, dict[str, bytes]] = {
        "strings": {"d.jsonl": "\n".join(json.dumps({**row, "image": it}) for it in (secret, link)).encode()},
        "lists": {"d.jsonl": json.dumps({**row, "images": [secret]}).encode()},
        "folder": {
            "train/0.png": sink.getvalue(),
            "train/metadata.jsonl": json.dumps({"file_name": "0.png", **row}).encode(),
        },
    }
    for name, content in files.items():
        api.create_repo(f"tester/{name}", repo_type="dataset")
        for path, data in content.items():
            api.upload_file(
                path_or_fileobj=data, path_in_repo=path, repo_id=f"tester/{name}", repo_type="dataset"
            )
    features = Features({"prompt": Value("string"), "completion": Value("string"), "image": Image()})
    rows = Dataset.from_list([{**row, "image": {"bytes": None, "path": secret}}], features=features)
    rows.push_to_hub("tester/structs", embed_external_files=False)

    clip, seen = ClipEmbedding(str(home / "clip")), {}

    def statuses(scored: Dataset) -> list[str]:
        return scored["embedding_status"][:]

    def scored(*arguments: Any, **options: Any) -> list[str]:
        try:
            return statuses(score(*arguments, **options))
        except AllRefusedError as error:
            return statuses(error.scored)

    for name in (*files, "structs"):
        pool = load_dataset(f"tester/{name}", split="train")
        stream = load_dataset(f"tester/{name}", split="train", streaming=True)
        selection = select_diverse(pool, 1, rule=Random())
        selection.save_to_disk(home / name)
        saved = load_from_disk(str(home / name / "dataset"))
        seen[name] = {
            "map": statuses(pool.map(clip, batched=True)),
            "shards": scored(pool, clip, home / f"{name}-shards"),
            "stream": scored(stream, clip, home / f"{name}-stream"),
        }
        if name in ("strings", "lists"):  # `datasets` itself opens those that are Image
            seen[name]["stream mapped"] = [row["embedding_status"] for row in stream.map(clip)]
        if name == "strings":
            seen[name] |= {
                "map of one row": statuses(pool.map(clip)),
                "map in processes": statuses(pool.map(clip, batched=True, num_proc=2)),
                "a worker": scored(pool, clip, workers=1),
                "a mapped pool": scored(pool.map(lambda row: {"more": 1}), clip),
                "a saved selection": scored(saved, clip),
                "a shuffled pool": scored(pool.shuffle(seed=1).flatten_indices(), clip),
            }
        try:
            seen[name]["push"] = push_to_hub(selection, f"tester/{name}-subset")
        except ValueError as error:
            seen[name]["push"] = f"{type(error).__name__}: {error}"
    return seen


@pytest.fixture(scope="module")
def saw(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(read_in_every_way, hub.url, home)


@pytest.mark.parametrize("name", ["strings", "lists", "structs"])
def test_no_way_reads_the_file(saw: dict[str, Any], name: str) -> None:
    for way, statuses in saw[name].items():
        if way == "push":
            assert "cannot name files of this machine" in statuses
        else:
            assert set(statuses) == {"image_missing"}, way


def test_files_downloaded_by_datasets_are_read(saw: dict[str, Any]) -> None:
    found = saw["folder"]
    assert found["map"] == found["shards"] == ["ok"]
    assert found["stream"] == ["image_remote"]
    assert found["push"].endswith("/datasets/tester/folder-subset")
