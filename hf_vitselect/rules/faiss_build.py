"""faiss, the whole of it, and the GPUs that it can use."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from threadpoolctl import threadpool_info

_VARIABLE = "OPENBLAS_CORETYPE"
_KERNELS = {
    "SapphireRapids": "SkylakeX",
    "Cooperlake": "SkylakeX",
    "SkylakeX": "SkylakeX",
    "Zen": "Zen",
    "Haswell": "Haswell",
}
"""What OpenBLAS names a processor today, and the name of 2021; the fastest first."""

_RESTORE = "pip install --force-reinstall --no-deps"


@cache
def load_faiss() -> ModuleType:
    """Import faiss, and check that faiss-cpu and faiss-gpu have not spoiled each other.

    Both write the folder `faiss`: whichever is installed last is the one that runs, and removing one removes
    the other's files.

    Raises:
        ImportError: If files of faiss are missing.
    """
    with _processor_named():
        import faiss

    installed = [name for name in ("faiss-cpu", "faiss-gpu") if _is_installed(name)]
    if not hasattr(faiss, "Kmeans"):
        raise ImportError(
            "expected the whole of faiss, got a part: faiss-cpu and faiss-gpu share a folder, and removing "
            f"one removes files of the other; run `{_RESTORE} {(installed or ['faiss-cpu'])[-1]}`"
        )
    if "faiss-gpu" in installed and "GPU" not in faiss.get_compile_options().split():
        warnings.warn(
            "faiss-cpu was installed over faiss-gpu, so faiss uses no GPU; "
            f"run `{_RESTORE} faiss-gpu`, and import anew",
            stacklevel=3,
        )
    module: ModuleType = faiss
    return module


@contextmanager
def _processor_named() -> Iterator[None]:
    """Name the processor that NumPy's OpenBLAS has recognized to the one that loads inside.

    The wheels of faiss-cpu hold an OpenBLAS of 2021. It takes a processor that it does not know for a Pentium
    4, and k-means is then a quarter as fast.
    """
    loaded = {each.get("architecture") for each in threadpool_info() if each["internal_api"] == "openblas"}
    known = [name for name in _KERNELS if name in loaded]
    if not known or _VARIABLE in os.environ:
        yield
        return
    os.environ[_VARIABLE] = _KERNELS[known[0]]
    try:
        yield
    finally:
        del os.environ[_VARIABLE]


def count_gpus() -> int:
    """Count the GPUs that faiss can use; 0 for a build without GPUs."""
    return int(load_faiss().get_num_gpus())


def faiss_notes() -> dict[str, str]:
    """Say for a recipe where faiss runs: `{"faiss": "GPU"}` or `{"faiss": "CPU"}`."""
    return {"faiss": "GPU" if count_gpus() else "CPU"}


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
