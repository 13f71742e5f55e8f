"""Time, memory and load of this process."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Measured(NamedTuple):
    """What a call returned, and its seconds."""

    result: Any
    cpu: float
    wall: float


def measured(call: Callable[[], Any]) -> Measured:
    """Calls, and takes CPU seconds of this process and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return Measured(result, time.process_time() - cpu, time.perf_counter() - wall)


def load() -> str:
    """The machine's load over the last minute, and its cores."""
    return f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores, {torch.get_num_threads()} thread used"


def anonymous() -> int:
    """Bytes of this process's memory that no file stands behind (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextmanager
def peak_growth() -> Iterator[list[int]]:
    """Watches `anonymous` every millisecond; the list's one number is its highest growth so far."""
    before, growth, running = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not running.wait(0.001):
            growth[0] = max(growth[0], anonymous() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield growth
    finally:
        running.set()
        watcher.join()
        growth[0] = max(growth[0], anonymous() - before)
