"""Runs a configuration once undisturbed, and once killed with SIGKILL at every given place.

    python tests/killed_runs.py CONFIG.json FOLDER

The configuration's `places` are patterns of files in the run's folder; a process is killed as soon as it has
made its place. Prints as JSON how often that was, the finished stages, and those that were done again.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import datasets
import torch

from hf_vitselect.cli.run import run


def start(config: dict[str, object], folder: Path) -> int:
    """The run in a process of its own, forked so that nothing is imported again."""
    child = os.fork()
    if child:
        return child
    torch.set_num_threads(1)
    with open(folder.with_suffix(".log"), "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    status = 1
    try:
        run(config, folder)
        status = 0
    finally:
        os._exit(status)


def wait(child: int) -> None:
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the run ended with {status}"


def kill_at(place: str, config: dict[str, object], folder: Path) -> None:
    assert not any(folder.glob(place)), f"{place} is there already"
    child = start(config, folder)
    while not any(folder.glob(place)):
        ended, status = os.waitpid(child, os.WNOHANG)
        assert not ended, f"the run ended with {status} before it had made {place}"
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def finished(folder: Path) -> dict[str, float]:
    """When each finished stage was done."""
    records = {path.stem: path.read_text() for path in folder.glob("*.json")}
    return {
        name: (folder / f"{name}.json").stat().st_mtime_ns
        for name, text in records.items()
        if "seconds" in text
    }


def main() -> None:
    given, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    datasets.disable_progress_bars()
    wait(start(given["config"], out / "undisturbed"))
    done: dict[str, float] = {}
    again: list[str] = []
    for place in given["places"]:
        kill_at(place, given["config"], out / "killed")
        now = finished(out / "killed")
        again += [name for name, when in done.items() if now.get(name) != when]
        done = now
    wait(start(given["config"], out / "killed"))
    now = finished(out / "killed")
    again += [name for name, when in done.items() if now[name] != when]
    print(json.dumps({"killed": len(given["places"]), "stages": sorted(now), "done_again": again}))


if __name__ == "__main__":
    main()
