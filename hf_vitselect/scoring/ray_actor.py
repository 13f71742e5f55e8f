"""Workers as Ray actors, on one machine or many.

Plain actors, not Ray Data: the ledger must know which rows a finished block holds, and a row that kills is
found by halving its block, where Ray Data would rerun the block or give up.
"""

import pickle
from functools import cached_property

import cloudpickle
import pyarrow as pa

from hf_vitselect.data.image_files import with_image_bytes
from hf_vitselect.data.image_roots import mark_access
from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import WorkerDied

try:
    import ray
    from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, RayTaskError
except ImportError as error:
    raise ImportError('engine="ray" needs Ray: pip install "hf_vitselect[ray]"') from error


class RayActor:
    """An actor that loads its models once; Ray gives it a GPU of its own if the cluster has any."""

    def __init__(self, task: Task) -> None:
        self._access = task.access
        actor = ray.remote(num_gpus=min(1, gpus()))(_Actor)
        self._actor = actor.remote(cloudpickle.dumps(task))

    def score(self, table: pa.Table) -> pa.Table:
        """Return the new columns of these rows, as `Worker.score` does.

        A machine that is lost with the finished columns counts as a dead worker too.
        """
        # Image files are read here: other machines need not see them.
        table = with_image_bytes(mark_access(table, self._access))
        try:
            return ray.get(self._actor.score.remote(table))
        except RayTaskError:  # raised by the scorer; it may also be an instance of the classes below
            raise
        except (RayActorError, OutOfMemoryError, NodeDiedError, ObjectLostError) as error:
            raise WorkerDied(str(error)) from error

    def stop(self) -> None:
        """Kill the actor."""
        ray.kill(self._actor)


def connect() -> None:
    """Connect to a Ray cluster, or start one, if this process has not."""
    if not ray.is_initialized():
        ray.init()


def gpus() -> int:
    """Number of GPUs of the Ray cluster that this process is connected to."""
    return int(ray.cluster_resources().get("GPU", 0))


class _Actor:
    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def score(self, table: pa.Table) -> pa.Table:
        return self._task.run_in_worker(table)

    @cached_property
    def _task(self) -> Task:
        task: Task = pickle.loads(self._pickled)  # not in __init__, where Ray would wrap an error
        return task
