"""Run trials one after the other, or side by side in processes that each see one GPU."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from multiprocessing import get_context, parent_process
from multiprocessing.queues import Queue
from threading import Thread

import torch

from hf_vitselect.errors import RowError
from hf_vitselect.evaluation.trials import Setup, Trial
from hf_vitselect.progress import progress


def processes_or_gpus(processes: int | None) -> int:
    """Number of fine-tunes that run at once, by default one per GPU; ValueError if it is less than one."""
    if processes is not None and processes < 1:
        raise ValueError(f"processes: expected 1 or more, got {processes}")
    return processes or max(1, len(_visible_gpus()))


@contextmanager
def running(
    setup: Setup, unusable: Mapping[int, RowError], processes: int
) -> Iterator[Callable[[Sequence[Trial]], None]]:
    """Give a function that finishes trials whose subsets exist, as `Trial.finish` does.

    With several processes, which all calls share, the calling script must be importable
    (`if __name__ == "__main__":`) and evaluations must be picklable.
    """
    if processes == 1:

        def finish_here(trials: Sequence[Trial]) -> None:
            for trial in trials:
                trial.finish(setup, unusable)

        yield finish_here
        return
    gpus = _visible_gpus()
    context = get_context("spawn")
    devices: Queue[str] = context.Queue()
    for number in range(processes):
        devices.put(gpus[number % len(gpus)] if gpus else "")
    with ProcessPoolExecutor(processes, context, _begin, (devices, torch.get_num_threads())) as pool:

        def finish(trials: Sequence[Trial]) -> None:
            done = pool.map(_finish, trials, repeat(setup), repeat(unusable))
            for _ in progress(done, total=len(trials), title="Fine-tuning", unit="model"):
                pass

        yield finish


def _finish(trial: Trial, setup: Setup, unusable: Mapping[int, RowError]) -> None:
    trial.finish(setup, unusable)


def _visible_gpus() -> list[str]:
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(number) for number in range(count)]


def _begin(devices: "Queue[str]", threads: int) -> None:
    """Take a GPU when the process starts, before anything has initialized CUDA; end with the parent."""
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End this process when its parent ends: a killed comparison leaves no fine-tune behind."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
