"""Progress bars: ours, on terminals and in notebooks only; those of libraries are hidden."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
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


class _Hidden:
    """Bars that are hidden while a block is open, be it nested or in another thread."""

    def __init__(self, hide: Callable[[], Callable[[], object]]) -> None:
        """Take a function that hides the bars, and returns one that brings them back."""
        self._hide = hide
        self._show: Callable[[], object] | None = None
        self._blocks = 0
        self._lock = Lock()

    @contextmanager
    def block(self) -> Iterator[None]:
        with self._lock:
            self._show = self._show or self._hide()
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    self._show()
                    self._show = None


# Libraries are imported here alone: a rule needs neither, and a score without a model no transformers.
def _hide_datasets() -> Callable[[], object]:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled() or "HF_DATASETS_DISABLE_PROGRESS_BARS" in os.environ:
        return lambda: None
    disable_progress_bars()
    show: Callable[[], object] = enable_progress_bars
    return show


def _hide_transformers() -> Callable[[], object]:
    from transformers.utils.logging import set_tqdm_hook

    return partial(set_tqdm_hook, set_tqdm_hook(_without_bar))


_DATASETS, _TRANSFORMERS = _Hidden(_hide_datasets), _Hidden(_hide_transformers)


@contextmanager
def no_dataset_bars() -> Iterator[None]:
    """Hide the bars of datasets, unless the environment sets them."""
    with _DATASETS.block():
        yield


@contextmanager
def no_library_bars() -> Iterator[None]:
    """Hide the bars of datasets and transformers.

    Downloads from the Hub keep theirs: they may take minutes.
    """
    with _DATASETS.block(), _TRANSFORMERS.block():
        yield


def _without_bar(bar: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return bar(*positional, **{**named, "disable": True})
