"""Run trials until the time is up, models and pools before them, and keep each result at once."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch

from trials.costs import Costs
from trials.trial import Trial, append_line, read_lines


@dataclass(frozen=True)
class Job:
    """A trial, or what it needs: its bed's models, its pool with held-out rows."""

    name: str
    seconds: float  # expected
    work: Literal["models", "pool", "trial"]
    trial: Trial
    needs: tuple[str, ...] = ()  # names of jobs to finish first

    def __call__(self, folder: Path, results: Path) -> dict[str, Any] | None:
        """Do it; a trial returns its line."""
        torch.set_num_threads(1)  # the models are so small that threads cost more than they gain
        if self.work == "trial":
            return self.trial.run(folder, read_lines(results))
        _ = self.trial.pool.bed.models(folder) if self.work == "models" else self.trial.prepare(folder)
        return None


class Inline(Executor):
    """Run every job in this process."""

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def run_trials(
    trials: Sequence[Trial], results: Path, folder: Path, costs: Costs, deadline: float, processes: int
) -> int:
    """Run trials in order, in processes of their own if several; start none that would end too late.

    Args:
        trials: without those that have a line.
        results: the file that lines are added to.
        folder: of pools and models.
        costs: expected seconds of each job.
        deadline: in seconds of `time.monotonic`.
        processes: jobs at once.

    Returns:
        The number of trials that are still to run.

    Raises:
        Exception: what the first failed job raised, after all others that could run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left, running = list(_jobs(trials, costs)), dict[Future[Any], Job]()
    total, done, failed = len(trials), 0, list[BaseException]()
    executor = Inline() if processes == 1 else ProcessPoolExecutor(processes, get_context("spawn"))
    with executor:
        while left or running:
            while len(running) < processes and (job := _next_job(left, running, deadline)):
                left.remove(job)
                running[executor.submit(job, folder, results)] = job
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, error = running.pop(future), future.exception()
                if error is not None:
                    print(f"{job.name}: {type(error).__name__}: {error}", flush=True)
                    failed.append(error)
                    left = [other for other in left if job.name not in other.needs]
                    continue
                if (line := future.result()) is not None:
                    append_line(results, line)
                    done += 1
                print(_report(job, line, done, total), flush=True)
    if failed:
        raise failed[0]
    return total - done


def _next_job(left: Sequence[Job], running: dict[Future[Any], Job], deadline: float) -> Job | None:
    """The first job whose needs are met and that ends in time."""
    unfinished = {job.name for job in (*left, *running.values())}
    ready = (job for job in left if unfinished.isdisjoint(job.needs))
    return next((job for job in ready if time.monotonic() + job.seconds < deadline), None)


def _jobs(trials: Sequence[Trial], costs: Costs) -> Iterator[Job]:
    """The trials, each after what it needs; that takes no time where it exists."""
    known: set[str] = set()
    for trial in trials:
        bed, variant, seed = trial.pool.bed.name, trial.pool.variant, trial.pool.seed
        pool = f"{bed}, {variant}, pool {seed}"
        needs = [(bed, (), "models", costs.models), (pool, (bed,), "pool", costs.pool)]
        needs += [(f"{pool} with {name}", (pool,), "pool", costs.pool) for name in trial.more_columns]
        for name, first, work, seconds in needs:
            if name not in known:
                yield Job(name, seconds, work, trial, first)
            known.add(name)
        name = f"{pool}, {trial.budget:.0%}, {trial.method}, seed {trial.seed}"
        yield Job(name, costs.of(trial), "trial", trial, tuple(name for name, *_ in needs))


def _report(job: Job, line: dict[str, Any] | None, done: int, total: int) -> str:
    now = time.strftime("%H:%M:%S")
    if line is None:
        return f"{now} {job.name}: built"
    seconds = sum(line["seconds"].values())
    return f"{now} {done}/{total} {job.name}: {line['accuracy']:.4f}, nll {line['nll']:.3f}, {seconds:.0f} s"
