"""The pool, a selection and its rows, by the flags that name them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_vitselect.cli.flags import PoolFlags
from hf_vitselect.data.pools import load_pool
from hf_vitselect.errors import UsageError, nearest_path
from hf_vitselect.selection.selection import Selection


def read_pool(flags: PoolFlags) -> Dataset:
    """The pool that the flags name."""
    return load_pool(flags.dataset_name, **pool_options(flags))


def pool_options(flags: PoolFlags) -> dict[str, Any]:
    """The arguments of `load_pool` and `load_stream` that the flags give."""
    return {
        "config": flags.dataset_config,
        "split": flags.dataset_train_split,
        "columns": _read_columns(flags.dataset_columns),
        "image_root": flags.image_root,
        **reach_options(flags),
    }


def reach_options(flags: PoolFlags) -> dict[str, Any]:
    """The arguments of `load_pool` that say which other files and URLs the rows may name."""
    return {name: getattr(flags, name) for name in ("allow_paths", "fetch_urls", "allow_addresses")}


def _read_columns(renames: Sequence[str]) -> dict[str, str]:
    """The columns to rename, of texts such as `messages=dialog`."""
    pairs = [text.partition("=") for text in renames]
    if odd := [text for text, (new, _, old) in zip(renames, pairs, strict=True) if not (new and old)]:
        raise UsageError(f"dataset_columns: expected new=old, such as messages=dialog, got {odd[0]!r}")
    return {new: old for new, _, old in pairs}


def refuse_pools_folder(flags: PoolFlags, output_dir: str) -> None:
    """Refuse to write over the pool: the output folder is replaced."""
    folder, pool = Path(output_dir).resolve(), Path(flags.dataset_name).resolve()
    if folder in (pool, *pool.parents):
        raise UsageError(
            f"output_dir: expected another folder than the pool's, got {output_dir!r}: it would be replaced"
        )


def load_selection(folder: str) -> Selection:
    """The selection in a folder."""
    if not Path(folder, "recipe.json").exists():
        near = nearest_path(folder) if not Path(folder).exists() else ""
        raise UsageError(
            f"expected a folder that select or Selection.save_to_disk wrote, got {folder!r}{near}"
        )
    return Selection.load_from_disk(folder)


def load_rows(pool: Dataset, folder: str | None) -> Selection | Sequence[str]:
    """The rows of a selection's folder, or those that a seed model was trained on."""
    if folder is None:
        return ()
    from hf_vitselect.training.seed_rows import ROWS_FILE, load_seed_rows  # TRL takes seconds to import

    return load_seed_rows(pool, folder) if Path(folder, ROWS_FILE).exists() else load_selection(folder)


def pool_of(selection: Selection, name: str | None, run_dir: str | Path | None) -> Dataset | None:
    """The pool of this name; else the latest scored one of the run with as many rows, unchecked, if any."""
    if name is not None:
        return load_pool(name)
    if run_dir is None:
        return None
    scored = sorted(Path(run_dir).glob("*/scored"), key=lambda folder: folder.stat().st_mtime)
    pools = (load_pool(folder) for folder in reversed(scored))
    return next((pool for pool in pools if len(pool) == selection.recipe.rows), None)
