"""Worker processes on this machine.

A worker is a fresh interpreter, not a fork, because CUDA does not survive a fork. Nor does it import the
user's script, so the script needs no `if __name__ == "__main__"`.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import cloudpickle
import pyarrow as pa

from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import WorkerDied

_START = "import sys; sys.path[:] = {path!r}; from hf_vitselect.scoring.worker_main import main; main()"


class WorkerProcess:
    """A worker process, which runs `hf_vitselect.scoring.worker_main`.

    Args:
        task: what it does; classes of the user's script or notebook are sent along.
        rank: its number on this machine, which picks its GPU.
        threads: of torch, unless the environment sets `OMP_NUM_THREADS`.
    """

    def __init__(self, task: Task, rank: int, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"OMP_NUM_THREADS": str(threads)} | os.environ,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops its workers
        )
        threading.Thread(target=self._reap, daemon=True).start()
        self._send((cloudpickle.dumps(task), rank))

    def score(self, table: pa.Table) -> pa.Table:
        """Return the new columns of these rows, as `Worker.score` does."""
        self._send(to_bytes(table))
        return from_bytes(self._receive())

    def stop(self) -> None:
        """Kill the process and all that it has started, and wait for its end."""
        if self._process.poll() is None:
            self._kill_group()
        self._process.wait()

    def _reap(self) -> None:
        """Wait for the process to end, then kill its forks, which would hold its pipes open."""
        self._process.wait()
        self._kill_group()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
        except OSError as error:
            raise self._death() from error

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        try:
            message = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError) as error:
            raise self._death() from error
        if isinstance(message, BaseException):
            raise message
        return message

    def _death(self) -> WorkerDied:
        try:
            return WorkerDied(f"exit code {self._process.wait(timeout=10)}")
        except subprocess.TimeoutExpired:
            return WorkerDied("it closed its pipes")


def to_bytes(table: pa.Table) -> bytes:
    """Write a table as an Arrow stream. A pickled slice would include the table that it was cut from."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes) -> pa.Table:
    """Read the table of an Arrow stream."""
    return pa.ipc.open_stream(content).read_all()
