"""Find what would end a comparison late, before its first fine-tune."""

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Value
from transformers import AutoConfig

from hf_vitselect.data.columns import RESERVED, refuse_missing, refuse_reserved
from hf_vitselect.errors import ColumnError, RowError, counted, shown
from hf_vitselect.evaluation.methods import CHARACTERS, FULL, MARKS, MATCHED, RANDOM
from hf_vitselect.evaluation.trials import Setup, Trial, slug
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.revisions import adapter_base
from hf_vitselect.models.vlm import longest_row
from hf_vitselect.training.checks import checked_args, find_unusable, model_revision, refuse_long_rows
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows
from hf_vitselect.training.loading import processor_of
from hf_vitselect.training.warm_start import refuse_second_adapter

_TABLE = ("pool", "rows", "overlap")
"""Headings of the tables that no method may have as its name."""


def refuse_pool(pool: Dataset, columns: Sequence[str]) -> None:
    """Refuse a pool with columns of reserved names, or without the columns to report."""
    refuse_reserved(pool.features, (*RESERVED, CHARACTERS, MARKS))
    refuse_missing(columns, pool.column_names, "columns: expected a column")
    for name in columns:
        if not isinstance(pool.features[name], (Value, ClassLabel)):
            raise ColumnError(f"columns: expected plain values in {name!r}, got {pool.features[name]}")


def refuse_names(
    selections: Collection[str], evaluations: Collection[str], matched: Collection[str] | None
) -> None:
    """Refuse names that are missing, unknown, reserved, or whose folders would be the same."""
    if not selections or not evaluations:
        raise ValueError("expected at least one selection and one evaluation, each by its name")
    if unknown := sorted(set(matched or ()) - set(selections)):
        raise ValueError(f"matched: expected some of {list(selections)}, got {unknown}")
    lengths = [MATCHED.format(name) for name in (selections if matched is None else matched)]
    for names in ([RANDOM, FULL, *_TABLE, *lengths, *selections], list(evaluations)):
        folders = Counter(map(slug, names))
        if taken := sorted({name for name in names if folders[slug(name)] > 1 or not slug(name).strip(".")}):
            raise ValueError(
                f"expected other names for some of {taken}: they are reserved, or would share a folder"
            )


def refuse_uncallable(evaluations: Mapping[str, Any]) -> None:
    """Refuse evaluations that are not functions."""
    for name, evaluation in evaluations.items():
        if not callable(evaluation):
            raise ValueError(
                f"expected a function of a model's folder as the evaluation {name!r}, got {evaluation!r}"
            )


def refuse_unable(setup: Setup) -> None:
    """Refuse arguments that no fine-tune supports, and held-out rows that cannot be evaluated."""
    checked_args(setup.args, evaluates=False)
    refuse_second_adapter(setup.model, setup.args, setup.peft_config)
    checks = [given.check for given in setup.evaluations.values() if hasattr(given, "check")]
    if checks:
        revision = model_revision(setup.args)
        model, revision = adapter_base(setup.model, revision) or (setup.model, revision)
        config = AutoConfig.from_pretrained(
            model, revision=revision, trust_remote_code=setup.args.trust_remote_code
        )
        encoder = _encoder(setup, longest_row(config))
        for check in checks:
            check(encoder)


def find_unusable_rows(
    trials: Sequence[Trial], setup: Setup, pool: Dataset, processes: int
) -> dict[int, RowError]:
    """Check that every trial can finish in this number of processes.

    Returns:
        The picked rows of the pool that cannot be trained on, each with the reason; a warning names them.
    """
    for trial in trials:
        trial.refuse_stale(setup)
    picked = [trial.subset.indices for trial in trials if not trial.trained]
    unusable: dict[int, RowError] = {}
    if picked:
        rows = np.unique(np.concatenate(picked))
        collator = ResponseCollator(_encoder(setup))
        errors = find_unusable(undecoded_rows(pool.select(rows)), collator, setup.args)
        unusable = {int(rows[i]): error for i, error in errors.items()}
        refuse_long_rows(unusable, setup.args)
        if unusable:
            warnings.warn(
                f"{len(unusable)} of {len(rows)} picked rows are left out of the fine-tunes: "
                f"{counted(unusable)}, {shown(unusable)}",
                stacklevel=3,
            )
    if processes > 1:
        try:
            ForkingPickler.dumps((trials, setup))
        except Exception as error:  # an object's own pickling may raise anything
            raise ValueError(
                f"expected evaluations and arguments that can be sent to {processes} processes, got {error}; "
                "define them at the top of a module, or set processes=1"
            ) from error
    return unusable


def _encoder(setup: Setup, context: int | None = None) -> Encoder:
    processor = processor_of(setup.model, setup.args, setup.processor)
    return Encoder(processor, context, end_of_turn=setup.end_of_turn)
