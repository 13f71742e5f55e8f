"""The code that runs in a worker process: reads pickles from stdin, writes pickles to stdout."""

import os
import pickle
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import Any, BinaryIO

from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_process import from_bytes, to_bytes


def main() -> None:
    """Score tables until the parent kills this process or is gone itself."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not a reply
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox), daemon=True).start()
    pickled, rank = inbox.get()
    task: Task | None = None
    while True:
        table = from_bytes(inbox.get())
        try:
            if task is None:
                task = pickle.loads(pickled)
            _reply(replies, to_bytes(task.run_in_worker(table, rank)))
        except Exception as error:
            _reply(replies, _portable(error))


def _listen(requests: BinaryIO, inbox: SimpleQueue[Any]) -> None:
    """Read requests even while a table is scored. Their end is the parent's, and ends this process."""
    while True:
        try:
            inbox.put(pickle.load(requests))
        except (EOFError, pickle.UnpicklingError):
            os._exit(1)


def _reply(replies: BinaryIO, message: Any) -> None:
    replies.write(pickle.dumps(message))
    replies.flush()


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; a RuntimeError if it cannot be pickled."""
    trace = "In a worker process:\n" + "".join(traceback.format_exception(error))
    try:
        portable: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        portable = RuntimeError(f"{type(error).__name__}: {error}")
    portable.add_note(trace)
    return portable
