"""Which weights a name stands for."""

import json

import huggingface_hub
import pytest

from hf_vitselect.errors import ModelError
from hf_vitselect.models.revisions import identify

NAMES = ["no-such/model", "./missing/folder/deep", "/no/folder/here", "a b", ""]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("state", ["offline", "no network"])
def test_unknown_names_are_model_errors(name, state, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", state == "offline")
    monkeypatch.setattr(huggingface_hub.HfApi, "endpoint", "http://127.0.0.1:9", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"expected a folder or a model id on the Hub, got "):
        identify(name)


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(ModelError, match=r"revision: expected none for the folder .*got 'v2'"):
        identify(str(tmp_path), "v2")
    assert identify(str(tmp_path), "main") == identify(str(tmp_path))


def test_folders_are_identified_by_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights").write_bytes(b"one")
    first = identify(str(tmp_path))
    (tmp_path / "deep" / "weights").write_bytes(b"two")
    second = identify(str(tmp_path))
    (tmp_path / "deep" / "weights").rename(tmp_path / "deep" / "other")
    third = identify(str(tmp_path))
    assert len({one["digest"] for one in (first, second, third)}) == 3
    assert first["model"] == str(tmp_path)


def test_cached_models_need_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--me--model"
    (cached / "snapshots" / commit).mkdir(parents=True)
    (cached / "snapshots" / commit / "config.json").write_text("{}")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    assert identify("me/model") == {"model": "me/model", "commit": commit}
    assert identify("me/model", revision=commit) == identify("me/model")


def test_adapters_are_identified_with_bases(tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "config.json").write_text("{}")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    before = identify(str(adapter))
    assert before["base"] == identify(str(base))
    (base / "model.safetensors").write_bytes(b"retrained")
    assert identify(str(adapter)) != before


def test_cards_change_no_identity(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = identify(str(tmp_path))
    (tmp_path / "README.md").write_text("a card")
    assert identify(str(tmp_path)) == before
