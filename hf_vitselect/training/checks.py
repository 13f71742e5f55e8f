"""What would end a training at its step, found before the first one: rows and options."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.typing import NDArray
from tqdm.auto import tqdm
from trl import SFTConfig

from hf_vitselect.errors import RowError, shown
from hf_vitselect.training.collator import ResponseCollator

_THREADS = min(8, os.cpu_count() or 1)
_CHUNK = 64  # rows whose pictures are in memory at the same time


def row_errors(
    rows: Dataset, order: NDArray[np.int64], collator: ResponseCollator, max_length: int | None = None
) -> Iterator[tuple[int, RowError | None]]:
    """Encodes rows as training does, to tell those that it cannot take.

    Args:
        rows: as `undecoded_rows` gives them.
        order: int64, which rows, and in which order.
        collator: of the model that is to be trained.
        max_length: the longest row in tokens.

    Yields:
        The row, and why it cannot be trained on, or None.
    """

    def reason(row: Mapping[str, Any]) -> RowError | None:
        try:
            length = collator.encode(row).length
        except RowError as error:
            return error
        if max_length is not None and length > max_length:
            return RowError("too_long", f"{length} tokens, args.max_length is {max_length}")
        return None

    with ThreadPoolExecutor(_THREADS) as threads:
        for start in range(0, len(order), _CHUNK):
            chunk = order[start : start + _CHUNK].tolist()
            yield from zip(chunk, threads.map(reason, [rows[i] for i in chunk]), strict=True)


def find_unusable(rows: Dataset, collator: ResponseCollator, args: SFTConfig) -> dict[int, RowError]:
    """Looks at every row once; processes that train together share the rows among them.

    Args:
        rows: as `undecoded_rows` gives them.
        collator: of the model that is to be trained.
        args: of the training; the same in all of its processes.

    Returns:
        The rows that cannot be trained on, with the reason, in the order of the rows.
    """
    mine = np.arange(args.process_index, len(rows), args.world_size)
    checked = row_errors(rows, mine, collator, args.max_length)
    bar = tqdm(checked, total=len(mine), desc="Checking rows", unit="row", disable=args.disable_tqdm)
    return dict(sorted(gather_object([(i, error) for i, error in bar if error is not None])))


def refuse_long_rows(
    unusable: Mapping[int, RowError], args: SFTConfig, ids: Sequence[str] | None = None
) -> None:
    """Refuses a training that would have to leave rows out for their length alone: its arguments say so.

    Raises:
        RowError: naming the first ones.
    """
    long = {i: error for i, error in unusable.items() if error.status == "too_long"}
    if long:
        raise RowError(
            "too_long",
            f"args.max_length is {args.max_length} and {len(long)} rows are longer ({shown(long, ids)}); "
            "rows are never truncated: set max_length=None, or leave long rows out",
        )


def settled(args: SFTConfig, evaluated: bool) -> SFTConfig:
    """The arguments without what is done anyway.

    Args:
        args: a copy, which is changed.
        evaluated: whether there are rows to evaluate on.

    Raises:
        ValueError: for options that cannot be followed, before a model is loaded.
    """
    refused = {
        "packing": "one row is one sequence here",
        "eval_packing": "one row is one sequence here",
        "padding_free": "rows are padded here, because TRL has no padding-free training on images",
        "chat_template_path": "the scorers must see the same template: save the processor with it",
    }
    for name, reason in refused.items():
        if getattr(args, name):
            raise ValueError(f"{name}: expected it to be left out, got {getattr(args, name)!r}; {reason}")
    if args.completion_only_loss is False:
        raise ValueError(
            "completion_only_loss: expected it to be left out, got False; the loss is always that of the "
            "response tokens alone, which the scorers count"
        )
    if args.eval_strategy != "no" and not evaluated:
        raise ValueError(
            f"eval_strategy: expected 'no' without eval_dataset, got {args.eval_strategy}; give rows to "
            "evaluate on"
        )
    resume = args.resume_from_checkpoint
    if isinstance(resume, str) and resume.lower() not in ("true", "false") and not os.path.isdir(resume):
        raise ValueError(f"resume_from_checkpoint: expected a checkpoint's folder, got {resume!r}")
    # Always so: TRL would look for generation tags in the template.
    args.assistant_only_loss = False
    args.remove_unused_columns = False
    args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
    return args
