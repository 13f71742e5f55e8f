"""The worker process's side of `processes.Process`: pickles in by stdin, pickles out by stdout."""

import os
import pickle
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import Any, BinaryIO

from hf_vitselect.scoring.task import Work
from hf_vitselect.scoring.worker_process import from_bytes, to_bytes


def main() -> None:
    """Scores what comes until the parent kills this process or is gone itself."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox), daemon=True).start()
    pickled, rank = inbox.get()
    work: Work | None = None
    while True:
        table = from_bytes(inbox.get())
        try:
            if work is None:
                work = pickle.loads(pickled)
                work(table.slice(0, 0), rank)  # loads the models
                _reply(replies, None)
            _reply(replies, to_bytes(work.or_exit(table, rank)))
        except Exception as error:
            _reply(replies, _portable(error))


def _listen(requests: BinaryIO, inbox: SimpleQueue[Any]) -> None:
    """Takes requests also while one is under way: their end is the parent's, and then nobody waits here."""
    while True:
        try:
            inbox.put(pickle.load(requests))
        except (EOFError, pickle.UnpicklingError):
            os._exit(1)


def _reply(replies: BinaryIO, message: Any) -> None:
    replies.write(pickle.dumps(message))
    replies.flush()


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a RuntimeError, if it cannot be pickled."""
    trace = "In a worker process:\n" + "".join(traceback.format_exception(error))
    try:
        portable: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        portable = RuntimeError(f"{type(error).__name__}: {error}")
    portable.add_note(trace)
    return portable
