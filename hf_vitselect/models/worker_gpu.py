"""The GPU that a worker takes, by its rank on its machine."""

import torch


def worker_device(rank: int | None) -> str:
    """The torch device of the worker of this rank; the CPU without a GPU."""
    return f"cuda:{(rank or 0) % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
