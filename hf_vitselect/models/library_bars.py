"""Bars of other libraries, such as "Loading weights" and "Map", kept off the terminal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils.logging import set_tqdm_hook


@contextmanager
def no_library_bars() -> Iterator[None]:
    """Hide the bars of transformers and, unless the environment sets them, those of datasets.

    Downloads from the Hub keep theirs: they may take minutes.
    """
    hook = set_tqdm_hook(_without_bar)
    hides = not are_progress_bars_disabled() and "HF_DATASETS_DISABLE_PROGRESS_BARS" not in os.environ
    if hides:
        disable_progress_bars()
    try:
        yield
    finally:
        set_tqdm_hook(hook)
        if hides:
            enable_progress_bars()


def _without_bar(bar: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return bar(*positional, **{**named, "disable": True})
