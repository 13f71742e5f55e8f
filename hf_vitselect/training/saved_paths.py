"""What a trained model's folder says of this machine, and a push does not."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hf_vitselect.data.provenance import folder_name

_PRIVATE = ("training_args.bin", "runs")
"""What never leaves: the arguments hold the user's token, the names of event files that of the machine."""


@contextmanager
def without_places(folder: Path, base_model: str) -> Iterator[Path]:
    """The folder as it may leave, as another one of links, that is there meanwhile.

    What names folders of this machine is not in it; an adapter's base model has its last name.

    Args:
        folder: of the trained model.
        base_model: what it was trained from, a Hub id or a folder.
    """
    places = [os.path.abspath(name).encode() for name in (folder, base_model) if os.path.isdir(name)]
    with TemporaryDirectory() as temporary:
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            # As TRL does.
            if not path.is_file() or inside.parts[0].startswith(("_", "checkpoint-")):
                continue
            if inside.parts[0] in _PRIVATE:
                continue
            # Nobody needs it to use a model.
            if path.name == "trainer_state.json" and any(place in path.read_bytes() for place in places):
                continue
            target = Path(temporary, inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.absolute())
        _rename_base(Path(temporary, "adapter_config.json"))
        yield Path(temporary)


def _rename_base(adapter: Path) -> None:
    if not adapter.exists():
        return
    config = json.loads(adapter.read_bytes())
    base = config.get("base_model_name_or_path")
    if base and os.path.isdir(base):
        adapter.unlink()
        adapter.write_text(json.dumps(config | {"base_model_name_or_path": folder_name(base)}, indent=2))
