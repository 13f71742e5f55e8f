"""Conditions checked before the first training step: rows and options that would end a training later."""

import copy
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.typing import NDArray
from trl import SFTConfig

from hf_vitselect.errors import RowError, shown
from hf_vitselect.progress import progress
from hf_vitselect.resume import last_whole_checkpoint
from hf_vitselect.training.collator import ResponseCollator

_THREADS = min(8, os.cpu_count() or 1)
_CHUNK = 64  # rows whose images are in memory at the same time
_REFUSED = {
    "packing": "one row is one sequence here",
    "eval_packing": "one row is one sequence here",
    "padding_free": "rows are padded here, because TRL has no padding-free training on images",
    "chat_template_path": "the scorers must see the same template: save the processor with it",
}


def check_rows(
    rows: Dataset, order: NDArray[np.int64], collator: ResponseCollator, max_length: int | None = None
) -> Iterator[tuple[int, RowError | None]]:
    """Encode undecoded rows as training does; yield each index with the error of its row, or None."""

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
    """Find the rows that cannot be trained on, in row order. The training's processes share the work."""
    mine = np.arange(args.process_index, len(rows), args.world_size)
    checked = check_rows(rows, mine, collator, args.max_length)
    quiet = args.disable_tqdm or None  # None: wherever nothing can be shown
    bar = progress(checked, total=len(mine), title="Checking rows", unit="row", leave=False, disable=quiet)
    return dict(sorted(gather_object([(i, error) for i, error in bar if error is not None])))


def refuse_long_rows(
    unusable: Mapping[int, RowError], args: SFTConfig, ids: Sequence[str] | None = None
) -> None:
    """Raise RowError if rows are longer than `args.max_length`, and name the first ones."""
    long = {i: error for i, error in unusable.items() if error.status == "too_long"}
    if long:
        raise RowError(
            "too_long",
            f"args.max_length is {args.max_length} and {len(long)} rows are longer ({shown(long, ids)}); "
            "rows are never truncated: set max_length=None, or leave long rows out",
        )


def checked_args(args: SFTConfig, evaluates: bool) -> SFTConfig:
    """Copy the arguments as the trainers here need them. Raises ValueError for an unsupported option."""
    args = copy.copy(args)
    _check_numbers(args)
    for name, reason in _REFUSED.items():
        if getattr(args, name):
            raise ValueError(f"{name}: expected it to be left out, got {getattr(args, name)!r}; {reason}")
    if args.completion_only_loss is False:
        raise ValueError(
            "completion_only_loss: expected it to be left out, got False; the loss covers only the "
            "response tokens, as in the scorers"
        )
    if args.eval_strategy != "no" and not evaluates:
        raise ValueError(
            f"eval_strategy: expected 'no' without eval_dataset, got {args.eval_strategy}; pass rows to "
            "evaluate on"
        )
    args.resume_from_checkpoint = _checkpoint(args)
    # The collator masks the labels; TRL would look for generation tags in the template.
    args.assistant_only_loss = False
    args.remove_unused_columns = False
    args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
    return args


def model_revision(args: SFTConfig) -> str | None:
    """The revision of the model to fine-tune."""
    return (args.model_init_kwargs or {}).get("revision")


def _check_numbers(args: SFTConfig) -> None:
    """Refuse numbers with which a training would fail at its first step or end without one."""
    positive = ["per_device_train_batch_size", "gradient_accumulation_steps", "max_length"]
    if args.max_steps <= 0:
        positive.append("num_train_epochs")
    for name in positive:
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise ValueError(f"{name}: expected more than 0, got {value}")
    if args.max_steps == 0:
        raise ValueError("max_steps: expected 1 or more, got 0; -1 trains for num_train_epochs")
    for name in ("learning_rate", "seed"):
        if getattr(args, name) < 0:
            raise ValueError(f"{name}: expected 0 or more, got {getattr(args, name)}")


def _checkpoint(args: SFTConfig) -> str | None:
    """The checkpoint to resume from: a folder, or for "true" the newest whole one in the output folder."""
    resume = args.resume_from_checkpoint
    if resume is None or str(resume).lower() == "false":
        return None
    if str(resume).lower() != "true":
        if not os.path.isdir(resume):
            raise ValueError(f"resume_from_checkpoint: expected a checkpoint's folder, got {resume!r}")
        return str(resume)
    checkpoint = last_whole_checkpoint(Path(args.output_dir))
    if checkpoint is None:
        warnings.warn(
            f"{args.output_dir} has no checkpoint; training starts from the beginning", stacklevel=4
        )
    return checkpoint
