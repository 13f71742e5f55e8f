"""A pool with random scores and vectors."""

import numpy as np
from datasets import List, Value
from pools import assistant, pool, user

ROWS, WIDTH = 40, 6


def random_pool(scores=None, statuses=None, kind=None, vectors=None):
    """A pool with score and embedding columns of random numbers."""
    rng = np.random.default_rng(0)
    dataset = pool([([user(f"what? {i}"), assistant("red")], []) for i in range(ROWS)])
    scores = rng.random(ROWS).astype(np.float32).tolist() if scores is None else scores
    vectors = rng.standard_normal((ROWS, WIDTH)).tolist() if vectors is None else vectors
    dataset = dataset.add_column("necessity", scores, feature=Value("float32"))
    if statuses is not None:
        dataset = dataset.add_column("necessity_status", statuses, feature=Value("string"))
    return dataset.add_column("embedding", vectors, feature=kind or List(Value("float32"), length=WIDTH))
