"""An exported file as LLaMA-Factory's or ms-swift's own data code loads it, as lines of JSON.

Run by the Python of an environment that has the trainer, which need not have this package:

    python benchmarks/load_export.py llama-factory data subset
    python benchmarks/load_export.py ms-swift data/subset.jsonl

Every line is a row: its turns as `[role, text]`, and the sha256 of each image's bytes.
"""

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any


def llama_factory(folder: str, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a dataset in a `dataset_dir`."""
    os.environ["DISABLE_VERSION_CHECK"] = "1"  # of the packages that training needs, not the data code
    if importlib.util.find_spec("torchaudio") is None:  # imported for sound, which no row has
        sys.modules["torchaudio"] = types.ModuleType("torchaudio")
        sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments

    (entry,) = get_dataset_list([name], folder)
    data = DataArguments(dataset=name, dataset_dir=folder, media_dir=folder)
    training = SimpleNamespace(should_log=False, world_size=1, local_process_index=0, stage="sft", seed=0)
    for row in _load_single_dataset(entry, ModelArguments(model_name_or_path="none"), data, training):
        system = [["system", row["_system"]]] if row["_system"] else []
        turns = [[turn["role"], turn["content"]] for turn in [*row["_prompt"], *row["_response"]]]
        yield {"turns": system + turns, "images": [_digest(path) for path in row["_images"] or []]}


def ms_swift(file: str) -> Iterator[dict[str, Any]]:
    """The rows of a file, whose images lie in folders next to it."""
    os.environ["ROOT_IMAGE_DIR"] = os.path.dirname(os.path.abspath(file))
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_file

    rows, _ = load_dataset(file)
    for row in rows:
        turns = [[message["role"], message["content"]] for message in row["messages"]]
        images = [hashlib.sha256(load_file(image["path"]).read()).hexdigest() for image in row["images"]]
        yield {"turns": turns, "images": images}


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


if __name__ == "__main__":
    trainer, *given = sys.argv[1:]
    for row in {"llama-factory": llama_factory, "ms-swift": ms_swift}[trainer](*given):
        print(json.dumps(row))
