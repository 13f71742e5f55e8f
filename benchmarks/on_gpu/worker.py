"""The process that measures: one JSON line for the machine, then one for each measurement."""

import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from on_gpu.measurements import FULL, MEASUREMENTS, TINY, Scale, SkippedError, free

_PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "flash-attn", "faiss-cpu", "faiss-gpu")


def work(tiny: bool, beginnings: Sequence[str]) -> None:
    """Sends lines to what was standard output, which libraries print to as well: they get standard error."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(line: dict[str, Any]) -> None:
        lines.write(json.dumps(_rounded(line)) + "\n")
        lines.flush()

    names = [name for name in MEASUREMENTS if name.startswith(tuple(beginnings))]
    scale = TINY if tiny else FULL
    if tiny:
        torch.set_num_threads(1)
    send({"machine": machine(scale.device), "names": names})
    for name in names:
        send(_measure(MEASUREMENTS[name], scale))


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on, and when."""
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {name: number for name in _PACKAGES if (number := _version(name))},
    }
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        facts |= {"card": torch.cuda.get_device_name(), "memory GiB": memory, "driver": driver}
        facts["cuda"] = torch.version.cuda
    return facts


def _measure(measurement: Callable[[Scale], dict[str, Any]], scale: Scale) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        line = measurement(scale)
    except SkippedError as error:
        return {"skipped": str(error)}
    except torch.AcceleratorError:  # The device is unusable from here on: another process continues.
        traceback.print_exc()
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        line = {"error": f"{type(error).__name__}: {error}"[:500]}
        error.__traceback__ = None  # It holds the tensors of every frame.
        free()
    return line | {"wall seconds": time.perf_counter() - begun}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
