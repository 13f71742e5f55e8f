"""Progress bars: one for each long piece of work, on terminals and in notebooks only."""

import os
from collections.abc import Iterable
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
    # A notebook's output is no terminal, but shows bars. None: nowhere but on a terminal.
    hidden = False if issubclass(tqdm, tqdm_notebook) else None
    hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0") or hidden
    return tqdm(items, **{"desc": title, "unit": unit, "delay": _SECONDS, "disable": hidden, **how})
