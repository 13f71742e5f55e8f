"""A trained model's folder without this machine's paths, as it is pushed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hf_vitselect.data.provenance import folder_name

# training_args.bin holds the user's token; event files under runs/ have the machine's name in theirs.
_PRIVATE = ("training_args.bin", "runs")


@contextmanager
def without_local_paths(folder: Path, base_model: str) -> Iterator[Path]:
    """Link a model's files into a temporary folder, except those that name folders of this machine."""
    private = [os.path.abspath(name).encode() for name in (folder, base_model) if os.path.isdir(name)]
    with TemporaryDirectory() as temporary:
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            # TRL skips these two prefixes too.
            skipped = inside.parts[0].startswith(("_", "checkpoint-")) or inside.parts[0] in _PRIVATE
            if skipped or not path.is_file():
                continue
            # Using the model does not need it.
            if path.name == "trainer_state.json" and any(name in path.read_bytes() for name in private):
                continue
            target = Path(temporary, inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.absolute())
        adapter = Path(temporary, "adapter_config.json")
        if adapter.exists():
            _shorten_base(adapter)
        yield Path(temporary)


def _shorten_base(adapter: Path) -> None:
    """Keep only the last part of the base model's path."""
    config = json.loads(adapter.read_bytes())
    base = config.get("base_model_name_or_path")
    if base and os.path.isdir(base):
        adapter.unlink()
        adapter.write_text(json.dumps(config | {"base_model_name_or_path": folder_name(base)}, indent=2))
