"""Prepares rows in threads while the model works on those before them."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.models.encoding import Encoded, Encoder

_THREADS = min(8, os.cpu_count() or 1)

Prepared = list[tuple[int, Encoded | RowError]]


def encoded_ahead(
    encoder: Encoder, rows: Sequence[Conversation | RowError], window: int
) -> Iterator[Prepared]:
    """Encodes rows a window at a time, always one window ahead of the caller.

    Rows with the same pictures come side by side, where the first of them stands. The first window is a
    sixteenth and each has twice as many rows as the one before it, so that the caller begins early.

    Args:
        encoder: encodes in threads.
        rows: read by `hf_vitselect.data`.
        window: rows in one window at most: the pictures of two are in memory at the same time.

    Yields:
        The rows of a window with their places among all rows; a row that cannot be encoded is its error.
    """
    places = iter(_same_pictures_together(rows))
    size = max(1, window // 16)
    with ThreadPoolExecutor(_THREADS) as threads:
        ahead: deque[list[tuple[int, Future[Encoded | RowError]]]] = deque()
        while True:
            while len(ahead) < 2 and (following := list(islice(places, size))):
                size = min(window, 2 * size)
                ahead.append([(i, threads.submit(_encode_or_error, encoder, rows[i])) for i in following])
            if not ahead:
                return
            yield [(i, encoded.result()) for i, encoded in ahead.popleft()]


def _encode_or_error(encoder: Encoder, row: Conversation | RowError) -> Encoded | RowError:
    if isinstance(row, RowError):
        return row
    try:
        return encoder.encode(row)
    except RowError as error:
        return error


def _same_pictures_together(rows: Sequence[Conversation | RowError]) -> list[int]:
    first: dict[tuple[object, ...], int] = {}

    def place(i: int) -> int:
        row = rows[i]
        if isinstance(row, RowError) or not row.images:
            return i
        shown = tuple((picture.data, picture.path, id(picture.decoded)) for picture in row.images)
        return first.setdefault(shown, i)

    return sorted(range(len(rows)), key=place)
