"""Random numbers of rows that depend on nothing but the row and the seed."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def random_keys(ids: Iterable[str], seed: int) -> NDArray[np.uint64]:
    """Hash every row id with the seed.

    To draw rows at random is to take those of the lowest keys: other rows in the pool, or another order,
    change the draw of no row.

    Args:
        ids: Row ids, distinct.
        seed: An int, 0 or more.

    Returns:
        Uniform numbers, uint64 `[n]`.
    """
    key = b"%d" % seed
    digests = b"".join(blake2b(row_id.encode(), digest_size=8, key=key).digest() for row_id in ids)
    return np.frombuffer(digests, dtype=np.uint64)
