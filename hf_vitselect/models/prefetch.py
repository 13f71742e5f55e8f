"""Encode rows in threads while the model works on earlier ones."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.models.encoded import Encoded
from hf_vitselect.models.encoding import Encoder

_THREADS = min(8, os.cpu_count() or 1)


def prefetch(
    encoder: Encoder, rows: Sequence[Conversation | RowError], window: int
) -> Iterator[list[tuple[int, Encoded | RowError]]]:
    """Encode rows a window at a time, always one window before the caller needs it.

    Yields the rows of a window with their indices; a row that cannot be encoded is its error. Rows with the
    same images are moved together, to the place of their first. The first window has a sixteenth of the rows
    and each has twice as many as the one before, so that the caller can start early. The images of two
    windows are in memory.
    """
    indices = iter(_same_images_together(rows))
    size = max(1, window // 16)
    with ThreadPoolExecutor(_THREADS) as threads:
        windows: deque[list[tuple[int, Future[Encoded | RowError]]]] = deque()
        while True:
            while len(windows) < 2 and (following := list(islice(indices, size))):
                size = min(window, 2 * size)
                windows.append([(i, threads.submit(_encode_or_error, encoder, rows[i])) for i in following])
            if not windows:
                return
            yield [(i, encoded.result()) for i, encoded in windows.popleft()]


def _encode_or_error(encoder: Encoder, row: Conversation | RowError) -> Encoded | RowError:
    if isinstance(row, RowError):
        return row
    try:
        return encoder.encode(row)
    except RowError as error:
        return error


def _same_images_together(rows: Sequence[Conversation | RowError]) -> list[int]:
    first: dict[tuple[object, ...], int] = {}

    def position(i: int) -> int:
        row = rows[i]
        if isinstance(row, RowError) or not row.images:
            return i
        images = tuple((image.data, image.path, id(image.decoded)) for image in row.images)
        return first.setdefault(images, i)

    return sorted(range(len(rows)), key=position)
