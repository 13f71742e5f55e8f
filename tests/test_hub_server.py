"""The real clients against the Hub of these tests: what passes here may be used in any other test."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, run_client


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def use_api() -> dict[str, Any]:
    import tempfile
    from pathlib import Path

    from huggingface_hub import (
        CommitOperationAdd,
        CommitOperationDelete,
        DatasetCard,
        HfApi,
        ModelCard,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        snapshot_download,
    )
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    seen: dict[str, Any] = {"user": api.whoami()["name"], "exists_before": api.repo_exists("tester/files")}

    def error_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        try:
            call(*args, **kwargs)
        except HfHubHTTPError as error:
            return [type(error).__name__, error.response.status_code]
        return []

    seen["url"] = str(api.create_repo("files"))
    api.create_repo("tester/files", exist_ok=True)
    seen["create_again"] = error_of(api.create_repo, "tester/files")
    seen["exists_after"] = api.repo_exists("tester/files")

    small = api.upload_file(path_or_fileobj=b"one", path_in_repo="a.txt", repo_id="tester/files")
    large = bytes(range(256)) * 50_000
    api.upload_file(path_or_fileobj=large, path_in_repo="deep/large.bin", repo_id="tester/files")
    same = api.upload_file(path_or_fileobj=large, path_in_repo="deep/large.bin", repo_id="tester/files")
    info = api.model_info("tester/files", files_metadata=True)
    seen["unchanged"] = same.oid == info.sha
    seen["sha_moved"] = small.oid != info.sha
    seen["sizes"] = {file.rfilename: file.size for file in info.siblings}
    seen["lfs"] = [file.rfilename for file in info.siblings if file.lfs]
    seen["large_came_back"] = Path(hf_hub_download("tester/files", "deep/large.bin")).read_bytes() == large
    old = hf_hub_download("tester/files", "a.txt", revision=small.oid)
    seen["old"] = [Path(old).read_text(), small.oid in old]
    seen["file_exists"] = [api.file_exists("tester/files", name) for name in ("a.txt", "b.txt")]
    metadata = get_hf_file_metadata(hf_hub_url("tester/files", "a.txt"))
    seen["metadata"] = [metadata.size, metadata.commit_hash == info.sha]

    seen["stale"] = error_of(
        api.upload_file,
        path_or_fileobj=b"two",
        path_in_repo="a.txt",
        repo_id="tester/files",
        parent_commit=small.oid,
    )
    seen["no_repo"] = error_of(api.dataset_info, "tester/files")
    seen["no_revision"] = error_of(api.model_info, "tester/files", revision="v9")
    seen["no_file"] = error_of(hf_hub_download, "tester/files", "b.txt")
    seen["no_login"] = error_of(api.create_repo, "tester/other", token=False)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run").mkdir()
        (Path(folder) / "run" / "log.txt").write_text("log")
        (Path(folder) / "weights.bin").write_bytes(bytes(1000))
        (Path(folder) / "empty").touch()
        api.create_repo("tester/files", exist_ok=True, private=True)
        api.upload_folder(repo_id="tester/files", folder_path=folder, commit_message="End of training")
    operations = [
        CommitOperationAdd("new.txt", b"new"),
        CommitOperationDelete("a.txt"),
        CommitOperationDelete("deep/"),
    ]
    api.create_commit("tester/files", operations, commit_message="Clean up")
    seen["files"] = api.list_repo_files("tester/files")
    seen["tree"] = [entry.path for entry in api.list_repo_tree("tester/files")]
    seen["run_tree"] = [entry.path for entry in api.list_repo_tree("tester/files", "run")]
    seen["info"] = [entry.path for entry in api.get_paths_info("tester/files", ["run", "empty", "gone"])]
    snapshot = Path(snapshot_download("tester/files"))
    seen["snapshot"] = sorted(path.name for path in snapshot.rglob("*") if path.is_file())

    for kind, card_class in (("dataset", DatasetCard), ("model", ModelCard)):
        api.create_repo("tester/card", repo_type=kind, private=kind == "dataset")
        card = card_class("---\nlicense: mit\nselected_by: necessity\n---\n\n# Größe\n")
        card.push_to_hub("tester/card")
        loaded = card_class.load("tester/card")
        seen[f"{kind}_card"] = [loaded.data.to_dict(), loaded.text.strip()]
        seen[f"{kind}_private"] = api.repo_info("tester/card", repo_type=kind).private
    seen["dataset_sha"] = api.dataset_info("tester/card").sha
    return seen


@pytest.fixture(scope="module")
def api_saw(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(use_api, hub.url, home)


def test_user_is_known(api_saw: dict[str, Any]) -> None:
    assert api_saw["user"] == "tester"


def test_create_repo_once(api_saw: dict[str, Any], hub: HubServer) -> None:
    assert api_saw["url"] == f"{hub.url}/tester/files"
    assert api_saw["create_again"] == ["HfHubHTTPError", 409]
    assert [api_saw["exists_before"], api_saw["exists_after"]] == [False, True]


def test_upload_small_and_large(api_saw: dict[str, Any]) -> None:
    assert api_saw["sizes"]["a.txt"] == 3
    assert api_saw["lfs"] == ["deep/large.bin"]
    assert api_saw["large_came_back"]


def test_same_content_makes_no_commit(api_saw: dict[str, Any]) -> None:
    assert api_saw["sha_moved"]
    assert api_saw["unchanged"]


def test_files_of_an_old_commit(api_saw: dict[str, Any]) -> None:
    assert api_saw["old"] == ["one", True]
    assert api_saw["file_exists"] == [True, False]
    assert api_saw["metadata"] == [3, True]


def test_errors_have_the_clients_types(api_saw: dict[str, Any]) -> None:
    assert api_saw["stale"] == ["HfHubHTTPError", 412]
    assert api_saw["no_repo"] == ["RepositoryNotFoundError", 404]
    assert api_saw["no_revision"] == ["RevisionNotFoundError", 404]
    assert api_saw["no_file"] == ["RemoteEntryNotFoundError", 404]
    assert api_saw["no_login"][1] == 401


def test_upload_folder_and_delete(api_saw: dict[str, Any]) -> None:
    left = [".gitattributes", "empty", "new.txt", "run/log.txt", "weights.bin"]
    assert api_saw["files"] == left
    assert api_saw["snapshot"] == sorted(Path(path).name for path in left)
    assert api_saw["tree"] == [".gitattributes", "empty", "new.txt", "run", "weights.bin"]
    assert api_saw["run_tree"] == ["run/log.txt"]
    assert api_saw["info"] == ["empty", "run"]


def test_private_is_remembered(api_saw: dict[str, Any]) -> None:
    assert [api_saw["dataset_private"], api_saw["model_private"]] == [True, False]


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_cards_keep_unknown_keys_and_text(api_saw: dict[str, Any], kind: str) -> None:
    assert api_saw[f"{kind}_card"] == [{"license": "mit", "selected_by": "necessity"}, "# Größe"]


def test_commits_are_readable_on_server(api_saw: dict[str, Any], hub: HubServer) -> None:
    commit = hub.commit("datasets", "tester/card")
    assert commit["sha"] == api_saw["dataset_sha"]
    assert b"selected_by: necessity" in hub.read(commit["files"]["README.md"])


def test_requests_are_logged(api_saw: dict[str, Any], hub: HubServer) -> None:
    assert ("POST", "/api/models/tester/files/commit/main", "Bearer hf_test") in hub.requests
    assert ("POST", "/api/repos/create", None) in hub.requests


def use_datasets() -> dict[str, Any]:
    from datasets import Dataset, Features, Image, Value, load_dataset
    from huggingface_hub import DatasetCard, HfApi
    from PIL import Image as PILImage

    def rows(count: int) -> Dataset:
        images = [PILImage.new("RGB", (8, 8), (index, 0, 0)) for index in range(count)]
        features = Features({"image": Image(), "text": Value("string")})
        return Dataset.from_dict({"image": images, "text": [f"row {i}" for i in range(count)]}, features)

    def read(*args: str, **kwargs: Any) -> list[list[Any]]:
        dataset = load_dataset(*args, split="train", **kwargs)
        return [[row["text"], row["image"].getpixel((0, 0))[0]] for row in dataset]

    seen: dict[str, Any] = {}
    rows(3).push_to_hub("tester/pool")
    rows(2).push_to_hub("tester/pool", "second", private=True)
    for name in ("default", "second"):
        for streaming in (False, True):
            seen[f"{name}_{streaming}"] = read("tester/pool", name, streaming=streaming)
    card = DatasetCard.load("tester/pool")
    seen["configs"] = [config["config_name"] for config in card.data.configs]

    commit = rows(4).push_to_hub("tester/pool", num_shards=2)
    seen["again"] = read("tester/pool")
    seen["again_streamed"] = read("tester/pool", streaming=True, revision=commit.oid)
    seen["files"] = HfApi().list_repo_files("tester/pool", repo_type="dataset")
    return seen


@pytest.fixture(scope="module")
def datasets_saw(hub: HubServer, home: Path) -> dict[str, Any]:
    return run_client(use_datasets, hub.url, home)


@pytest.mark.parametrize("streaming", [False, True])
def test_two_configs_come_back(datasets_saw: dict[str, Any], streaming: bool) -> None:
    assert datasets_saw[f"default_{streaming}"] == [["row 0", 0], ["row 1", 1], ["row 2", 2]]
    assert datasets_saw[f"second_{streaming}"] == [["row 0", 0], ["row 1", 1]]
    assert datasets_saw["configs"] == ["default", "second"]


def test_push_again_replaces_the_shards(datasets_saw: dict[str, Any]) -> None:
    assert datasets_saw["again"] == datasets_saw["again_streamed"] == [[f"row {i}", i] for i in range(4)]
    assert [path for path in datasets_saw["files"] if path.startswith("data/")] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    ]


def use_transformers() -> dict[str, Any]:
    import torch
    from huggingface_hub import HfApi
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
    from transformers.utils import cached_file

    torch.set_num_threads(1)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    old, new = (BertModel(BertConfig(vocab_size=5, **sizes)) for _ in range(2))
    first = old.push_to_hub("tester/tiny").oid
    new.push_to_hub("tester/tiny")
    words = Tokenizer(WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").push_to_hub("tester/tiny")

    def equal(pushed: torch.nn.Module, revision: str) -> bool:
        loaded = AutoModel.from_pretrained("tester/tiny", revision=revision)
        return all(torch.equal(a, b) for a, b in zip(pushed.parameters(), loaded.parameters(), strict=True))

    return {
        "main": equal(new, "main"),
        "first": equal(old, first),
        "resolved": HfApi().model_info("tester/tiny").sha in cached_file("tester/tiny", "config.json"),
        "ids": AutoTokenizer.from_pretrained("tester/tiny")("hello")["input_ids"],
    }


def test_from_pretrained_at_two_commits(hub: HubServer, home: Path) -> None:
    saw = run_client(use_transformers, hub.url, home)
    assert saw == {"main": True, "first": True, "resolved": True, "ids": [1]}


@pytest.fixture
def digits(hub: HubServer) -> str:
    """The address of a file on the Hub that holds 0123456789."""
    with hub.lock:
        repo = {"private": False, "commits": [], "branches": {}, "discussions": []}
        hub.add_commit("models", "tester/range", repo, "digits", {"digits": hub.store(b"0123456789")})
    return f"{hub.url}/tester/range/resolve/main/digits"


def get(url: str, **headers: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers)) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("bytes=2-4", (206, b"234")),
        ("bytes=7-", (206, b"789")),
        ("bytes=-2", (206, b"89")),
        ("bytes=8-99", (206, b"89")),
        ("bytes=10-", (416, b"")),
    ],
)
def test_range_requests_are_answered(digits: str, asked: str, answer: tuple[int, bytes]) -> None:
    assert get(digits, Range=asked) == answer


@pytest.mark.parametrize("status", [412, 429, 500, 503])
def test_made_to_fail(hub: HubServer, digits: str, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(hub, "fail", lambda method, path: status if path.endswith("digits") else None)
    assert get(digits)[0] == status
    assert get(f"{hub.url}/api/models/tester/range")[0] == 200


def test_cut_connections_raise_errors(hub: HubServer, digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "fail", lambda method, path: 0)
    with pytest.raises(ConnectionError):
        get(digits)


def test_repositories_outlive_the_server(tmp_path: Path) -> None:
    with HubServer(tmp_path) as first:
        sha = first.add_commit(
            "models",
            "tester/kept",
            {"private": False, "commits": [], "branches": {}, "discussions": []},
            "start",
            {},
        )
    with HubServer(tmp_path) as second:
        assert second.commit("models", "tester/kept")["sha"] == sha


def test_runs_as_a_program(tmp_path: Path) -> None:
    program = Path(__file__).with_name("hub_server.py")
    command = [sys.executable, str(program), "--root", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            assert get(f"{url}/api/whoami-v2", Authorization="Bearer hf_test")[0] == 200
        finally:
            server.terminate()
