"""What would end a comparison late, found before its first fine-tune."""

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Value
from transformers import AutoConfig

from hf_vitselect.data.columns import RESERVED, refuse_missing, refuse_reserved
from hf_vitselect.errors import ColumnError, counted, shown
from hf_vitselect.evaluation.methods import CHARACTERS, FULL, MARKS, MATCHED, RANDOM
from hf_vitselect.evaluation.trials import Setup, Trial, slug
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.vlm import longest_row
from hf_vitselect.training.checks import checked_args, find_unusable, refuse_long_rows
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows
from hf_vitselect.training.response_trainer import processor_of

_TABLE = ("pool", "rows", "overlap")
"""Other headings of the tables."""


def refuse_pool(pool: Dataset, columns: Sequence[str]) -> None:
    """Refuses a pool that has columns of our own names, or not those whose make-up is to be reported.

    Raises:
        ColumnError: naming them.
    """
    refuse_reserved(pool.features, (*RESERVED, CHARACTERS, MARKS))
    refuse_missing(columns, pool.column_names, "columns: expected a column")
    for name in columns:
        if not isinstance(pool.features[name], (Value, ClassLabel)):
            raise ColumnError(f"columns: expected plain values in {name!r}, got {pool.features[name]}")


def refuse_names(
    selections: Mapping[str, Any], evaluations: Mapping[str, Any], matched: Collection[str] | None
) -> None:
    """Refuses names that are missing, unknown, or taken: by one of ours, or by another one's folder.

    Raises:
        ValueError: naming them.
    """
    if not selections or not evaluations:
        raise ValueError("expected a selection and an evaluation at least, each by its name")
    if unknown := sorted(set(matched or ()) - selections.keys()):
        raise ValueError(f"matched: expected some of {list(selections)}, got {unknown}")
    if odd := [name for name, evaluation in evaluations.items() if not callable(evaluation)]:
        raise ValueError(f"expected a function of a model's folder as the evaluation {odd[0]!r}, got another")
    lengths = [MATCHED.format(name) for name in (selections if matched is None else matched)]
    for names in ([RANDOM, FULL, *_TABLE, *lengths, *selections], list(evaluations)):
        folders = Counter(map(slug, names))
        if taken := sorted({name for name in names if folders[slug(name)] > 1 or not slug(name).strip(".")}):
            raise ValueError(
                f"expected other names in place of some of {taken}: they are ours, or share a folder"
            )


def refuse_unable(setup: Setup) -> None:
    """Refuses arguments that no fine-tune can follow, and held-out rows that no model can be asked.

    Raises:
        ColumnError, RowError: if a held-out row or its options cannot be used.
        ValueError: for an option of the training, or if there are no held-out rows.
    """
    checked_args(setup.args, evaluates=False)
    checks = [given.check for given in setup.evaluations.values() if hasattr(given, "check")]
    if checks:
        options = {
            "revision": (setup.args.model_init_kwargs or {}).get("revision"),
            "trust_remote_code": setup.args.trust_remote_code,
        }
        config = AutoConfig.from_pretrained(setup.model, **options)
        encoder = _encoder(setup, longest_row(config))
        for check in checks:
            check(encoder)


def _encoder(setup: Setup, context: int | None = None) -> Encoder:
    processor = processor_of(setup.model, setup.args, setup.processor)
    return Encoder(processor, context, end_of_turn=setup.end_of_turn)


def prepared(trials: Sequence[Trial], setup: Setup, pool: Dataset, processes: int) -> Setup:
    """The setup, once it is known that every trial can finish.

    Args:
        trials: whose subsets are made.
        setup: of all of them.
        pool: what the subsets are of.
        processes: how many run at once.

    Returns:
        The setup with the rows that no fine-tune can take: they are left out of each, and said.

    Raises:
        RowError: if a picked row is longer than `args.max_length`.
        StaleRunError: if a trial was made with other settings.
        ValueError: if something does not travel to other processes.
    """
    for trial in trials:
        trial.refuse_stale(setup)
    picked = [trial.subset.indices for trial in trials if not trial.trained]
    if picked:
        rows = np.unique(np.concatenate(picked))
        collator = ResponseCollator(_encoder(setup))
        found = find_unusable(undecoded_rows(pool.select(rows)), collator, setup.args)
        unusable = {int(rows[i]): error for i, error in found.items()}
        refuse_long_rows(unusable, setup.args)
        if unusable:
            warnings.warn(
                f"{len(unusable)} of {len(rows)} picked rows are left out of the fine-tunes: "
                f"{counted(unusable)}, {shown(unusable)}",
                stacklevel=3,
            )
        setup = replace(setup, unusable=unusable)
    if processes > 1:
        try:
            ForkingPickler.dumps((trials, setup))
        except Exception as error:  # whatever an object's own pickling raises
            raise ValueError(
                f"expected evaluations and arguments that can be sent to {processes} processes, got {error}; "
                "define them at the top of a module, or set processes=1"
            ) from error
    return setup
