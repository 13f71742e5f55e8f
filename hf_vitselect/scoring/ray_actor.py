"""Workers as Ray actors, on one machine or many.

Plain actors, not Ray Data: the ledger needs to know which rows a finished block holds, and a row that kills
has to be found by halving its block, where Ray Data would run the block again or give up.
"""

import pickle

import cloudpickle
import pyarrow as pa

from hf_vitselect.data.image_files import with_image_bytes
from hf_vitselect.data.image_roots import mark_roots
from hf_vitselect.scoring.task import Work
from hf_vitselect.scoring.worker_pool import WorkerDied

try:
    import ray
    from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, RayTaskError
except ImportError as error:
    raise ImportError('engine="ray" needs Ray: pip install "hf_vitselect[ray]"') from error


class RayActor:
    """An actor that loads its models once; Ray gives it a GPU of its own if there are any.

    Args:
        work: what it does.
    """

    def __init__(self, work: Work) -> None:
        self._loaded = False
        self._roots = work.roots
        actor = ray.remote(num_gpus=min(1, gpus()))(_Remote)
        self._actor = actor.remote(cloudpickle.dumps(work))

    def score(self, table: pa.Table) -> pa.Table:
        """The new columns of these rows.

        Raises:
            WorkerDied: if the actor or its machine is gone, also if it took the finished columns along.
            Exception: what the scorer raised.
        """
        # No other machine need see the files.
        table = with_image_bytes(mark_roots(table, self._roots))
        try:
            if not self._loaded:
                ray.get(self._actor.load.remote(table.slice(0, 0)))
                self._loaded = True
            return ray.get(self._actor.score.remote(table))
        except RayTaskError:  # what the scorer raised; Ray gives it the class of that too
            raise
        except (RayActorError, OutOfMemoryError, NodeDiedError, ObjectLostError) as error:
            raise WorkerDied(str(error), loaded=self._loaded) from error

    def stop(self) -> None:
        """Kills the actor."""
        ray.kill(self._actor)


def gpus() -> int:
    """The GPUs of the cluster that this process is connected to, or is now."""
    if not ray.is_initialized():
        ray.init()
    return int(ray.cluster_resources().get("GPU", 0))


class _Remote:
    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def load(self, nothing: pa.Table) -> None:
        self._work: Work = pickle.loads(self._pickled)  # here, so that an error is raised as it is
        self._work(nothing)

    def score(self, table: pa.Table) -> pa.Table:
        return self._work.or_exit(table)
