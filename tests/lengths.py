"""A scorer that costs nothing, and kills its process when a row says so."""

import os
import signal
import time
from pathlib import Path

import torch
from datasets import Features, List, Value
from pools import assistant, pool, user

from hf_vitselect import Scorer


class Length(Scorer):
    """Characters of a row. The rows "exit", "signal", "raise" do what they say, "once" only the first time.

    The row "orphan" leaves a process behind, which leaves a file if it is left alone; "gpu" breaks the GPU.

    Args:
        folder: where calls leave a file each, named by process, and its rows.
        seconds: that a row takes.
    """

    def __init__(self, folder, *, seconds=0.0, column="length"):
        super().__init__(column=column)
        self.folder = str(folder)
        self.seconds = seconds

    @property
    def values(self):
        return Features({self.column: Value("int32"), "embedding": List(Value("float32"), length=2)})

    def score_rows(self, rows):
        words = [row.turns[0].text for row in rows]
        with open(Path(self.folder, f"calls-{os.getpid()}"), "a") as calls:
            calls.write("".join(f"{word}\n" for word in words))
        for word in words:
            self._act(word)
        time.sleep(self.seconds * len(rows))
        lengths = [len(row.transcript) for row in rows]
        return [(length, [float(length), 1.0]) for length in lengths]

    def _act(self, word):
        if word == "exit":
            os._exit(3)
        if word == "signal" or (word == "once" and not Path(self.folder, "once").exists()):
            Path(self.folder, "once").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "orphan":
            if os.fork() == 0:
                time.sleep(15)
                Path(self.folder, "orphan").touch()
            os._exit(3)
        if word == "gpu":
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        if word == "raise":
            raise LookupError("no such thing")


class Unloadable(Length):
    """Dies while it loads."""

    def score_rows(self, rows):
        os._exit(4)


def words(*texts):
    """A pool of text-only rows."""
    return pool([([user(text), assistant("yes")], []) for text in texts])


def calls(folder):
    """The rows of every call so far, by process."""
    return {path.name: path.read_text().split() for path in Path(folder).glob("calls-*")}
