"""Progress bars: ours, on terminals and in notebooks only; those of libraries are hidden."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

_SECONDS = 1  # work that is done by then shows no bar


def progress(items: Iterable[Any] | None = None, *, title: str, unit: str, **how: Any) -> Any:
    """A bar over `items`, or without them one to `update`.

    Args:
        items: What to iterate over.
        title: The work.
        unit: What is counted, such as "row".
        how: Other arguments of tqdm, such as `total`.
    """
    # None: nowhere but on a terminal.
    hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0") or (False if _in_notebook() else None)
    return tqdm(items, **{"desc": title, "unit": unit, "delay": _SECONDS, "disable": hidden, **how})


def bars_are_visible() -> bool:
    """Whether anybody sees a bar: on a terminal or in a notebook, whose output is no terminal."""
    return _in_notebook() or getattr(sys.stderr, "isatty", lambda: False)()


def _in_notebook() -> bool:
    return issubclass(tqdm, tqdm_notebook)


_lock = Lock()
_hiding = 0  # blocks of `no_library_bars` that are open, in any thread
_restore = ExitStack()


@contextmanager
def no_library_bars() -> Iterator[None]:
    """Hide the bars of transformers and, unless the environment sets them, those of datasets.

    They come back when the last of several such blocks ends, nested or in other threads. Downloads from the
    Hub keep theirs: they may take minutes.
    """
    global _hiding
    with _lock:
        if not _hiding:
            _hide(_restore)
        _hiding += 1
    try:
        yield
    finally:
        with _lock:
            _hiding -= 1
            if not _hiding:
                _restore.close()


def _hide(restore: ExitStack) -> None:
    """Hide them, and note how to bring them back."""
    # Imported here, so that importing the rules loads neither.
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils.logging import set_tqdm_hook

    restore.callback(set_tqdm_hook, set_tqdm_hook(_without_bar))
    if not are_progress_bars_disabled() and "HF_DATASETS_DISABLE_PROGRESS_BARS" not in os.environ:
        disable_progress_bars()
        restore.callback(enable_progress_bars)


def _without_bar(bar: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return bar(*positional, **{**named, "disable": True})
