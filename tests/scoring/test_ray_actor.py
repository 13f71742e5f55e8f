"""Ray actors: the same numbers, and what happens when one is killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from lengths import Length, calls, words
from pools import assistant, mixed_pool, png, pool, raw_images, user

from hf_vitselect import NecessityScorer, score, with_image_root
from hf_vitselect.scoring.task import Task
from hf_vitselect.scoring.worker_pool import WorkerDied

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray")
errors = pytest.importorskip("ray.exceptions")

TEXTS = [f"word{i}" for i in range(20)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray of two processors on this machine."""
    paths = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}  # of the modules of these tests
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, runtime_env=paths)
    yield
    ray.shutdown()


def test_two_actors_give_equal_scores(tiny, tmp_path):
    scorer, pool = NecessityScorer(tiny("llava").folder), mixed_pool(12)
    alone = score(pool, scorer)
    together = score(pool, scorer, tmp_path, shard_size=3, workers=2, engine="ray")
    assert together.features == alone.features
    np.testing.assert_allclose(together["necessity"][:], alone["necessity"][:], atol=1e-5, rtol=0)
    assert raw_images(together) == raw_images(pool)


@pytest.mark.parametrize("strings", [False, True], ids=["images", "strings"])
def test_image_paths_reach_actors(tiny, tmp_path, monkeypatch, strings):
    monkeypatch.chdir(tmp_path)  # where no actor is
    (tmp_path / "seen.png").write_bytes(png())
    talk = [user("what?", 1), assistant("red")]
    rows = pool([(talk, ["seen.png"]), (talk, ["gone.png"]), (talk, [png()])])
    if strings:
        rows = rows.select([0, 1]).remove_columns("images").add_column("images", [["seen.png"], ["gone.png"]])
        rows = with_image_root(rows, ".")
    scored = score(rows, NecessityScorer(tiny("llava").folder), workers=1, engine="ray")
    assert scored["necessity_status"][:] == ["ok", "image_missing", "ok"][: len(rows)]


@pytest.mark.filterwarnings("ignore")  # Ray Data warns of settings of its own
def test_scorer_takes_ray_data_batches(tiny, tmp_path):
    class Scoring:
        def __init__(self, model):
            self.scorer = NecessityScorer(model)

        def __call__(self, table):
            return self.scorer(table)

    pool, model = mixed_pool(12).add_column("number", range(12)), tiny("llava").folder
    pool.to_parquet(tmp_path / "pool.parquet")
    actors = {"concurrency": 2, "num_cpus": 0.5}  # which leaves a processor to read
    scored = ray.data.read_parquet(str(tmp_path)).map_batches(
        Scoring, fn_constructor_args=[model], batch_format="pyarrow", batch_size=4, **actors
    )
    result = {row["number"]: row["necessity"] for row in scored.take_all()}
    alone = score(pool, NecessityScorer(model))["necessity"][:]
    np.testing.assert_allclose([result[number] for number in range(12)], alone, atol=1e-5, rtol=0)


def test_killed_actor_costs_its_shard(tmp_path):
    def kill():
        while not calls(tmp_path):
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(int(next(iter(calls(tmp_path))).removeprefix("calls-")), signal.SIGKILL)

    threading.Thread(target=kill).start()
    scorer = Length(tmp_path, seconds=0.1)
    scored = score(words(*TEXTS), scorer, tmp_path / "run", shard_size=2, workers=2, engine="ray")
    assert scored["length"][:] == score(words(*TEXTS), Length(tmp_path))["length"][:]
    seen = calls(tmp_path)
    assert len(seen) == 4  # two actors, the one that took over, and this process
    assert sum(map(len, seen.values())) <= 2 * len(TEXTS) + 2


def test_another_engine_keeps_finished_shards(tmp_path):
    with pytest.raises(LookupError, match="no such thing"):
        score(words(*TEXTS, "raise"), Length(tmp_path), tmp_path / "run", shard_size=4)
    before = sum(map(len, calls(tmp_path).values()))
    with pytest.raises(LookupError, match="no such thing"):
        score(words(*TEXTS, "raise"), Length(tmp_path), tmp_path / "run", shard_size=4, engine="ray")
    assert before == sum(map(len, calls(tmp_path).values())) - 1 == 21


def test_row_breaking_gpu_fails_alone(tmp_path):
    pool = words("a", "gpu", "c")
    scored = score(pool, Length(tmp_path), tmp_path / "run", shard_size=1, workers=1, engine="ray")
    assert scored["length_status"][:] == ["ok", "worker_died", "ok"]


LOST = errors.ObjectLostError("00" * 28, None, "")
GONE = errors.NodeDiedError("the node is dead")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (LOST, WorkerDied),
        (GONE, WorkerDied),
        (errors.RayTaskError("score", "", LOST).as_instanceof_cause(), errors.RayTaskError),
    ],
    ids=["result lost", "machine lost", "lost by the scorer"],
)
def test_lost_machine_is_dead_worker(tmp_path, monkeypatch, raised, expected):
    from hf_vitselect.scoring.ray_actor import RayActor

    def get(_):
        raise raised

    monkeypatch.setattr(ray, "get", get)
    actor = RayActor(Task([Length(tmp_path)]))
    with pytest.raises(expected):
        actor.score(words("a").with_format("arrow")[:])
    actor.stop()


OWN_CLUSTER = """
import sys, threading, time
import ray
from pools import mixed_pool
from hf_vitselect.scorers import NecessityScorer
from hf_vitselect.scoring.score import score

score(mixed_pool(2), NecessityScorer(sys.argv[1]), sys.argv[2], engine="ray", workers=1)
time.sleep(2)
threading.Timer(30, lambda: __import__("os")._exit(3)).start()  # Without its server Ray waits for a minute.
print("nodes", len(ray.nodes()), flush=True)
ray.shutdown()
__import__("os")._exit(0)
"""


def test_own_cluster_outlives_the_workers(tiny, tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OWN_CLUSTER, tiny("llava").folder, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "nodes 1" in done.stdout
