"""Processes that start quickly, because their imports are done, and that can be killed."""

import multiprocessing


def context():
    """Where such processes come from."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["hf_vitselect.scoring.score", "torch", "pytest"])
    return forks


def start(target, *arguments):
    """A process that is about to call the target."""
    forks = context()
    ready = forks.Event()
    process = forks.Process(target=_run, args=(ready, target, arguments))
    process.start()
    assert ready.wait(60)
    return process


def _run(ready, target, arguments):
    ready.set()
    target(*arguments)
