"""Retry of a killed worker's shard: once more, then in halves, until the rows that kill are isolated.

A worker may die by chance or of its rows, such as an image that needs more memory than the machine has.
"""

from collections.abc import Callable

import pyarrow as pa


def score_with_retries(
    table: pa.Table,
    attempt: Callable[[pa.Table], pa.Table | None],
    failed_rows: Callable[[int], pa.Table],
    tries: int = 2,
) -> pa.Table:
    """Score rows, some of which may kill the worker; one in a shard of 500 costs about a dozen workers.

    Args:
        table: the rows.
        attempt: returns the new columns of some rows, or None if they killed the worker.
        failed_rows: returns the columns of a number of rows that kill.
        tries: attempts before the rows are halved. A single row is tried twice.
    """
    for _ in range(tries):
        columns = attempt(table)
        if columns is not None:
            return columns
    if len(table) == 1:
        return failed_rows(1)
    middle = len(table) // 2
    halves = (table.slice(0, middle), table.slice(middle))
    return pa.concat_tables(
        [score_with_retries(half, attempt, failed_rows, 2 if len(half) == 1 else 1) for half in halves]
    )
