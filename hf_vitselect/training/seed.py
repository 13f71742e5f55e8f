"""The seed model, fine-tuned on random rows of the pool (MLLM-Selector, arXiv 2503.20502)."""

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset
from trl import SFTConfig

from hf_vitselect.call_text import write_call
from hf_vitselect.data.columns import refuse_reserved
from hf_vitselect.data.refusals import Refusals, warn_if_most_are_refused
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.data.rows import read_row
from hf_vitselect.errors import (
    AllRefusedError,
    BudgetError,
    ModelError,
    RowError,
    counted,
    shown,
)
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.rules import Random
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.pick import Picked
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training.checks import check_rows, checked_args
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows
from hf_vitselect.training.fewer_layers import keep_layers
from hf_vitselect.training.frozen import frozen_vision
from hf_vitselect.training.loading import load_model, processor_of
from hf_vitselect.training.seed_rows import ROWS_FILE, save_seed_rows
from hf_vitselect.training.sft import SelectionSFTTrainer
from hf_vitselect.training.warm_start import is_adapter


def train_seed_model(
    pool: Dataset,
    model: Any,
    budget: int | float,
    args: SFTConfig,
    *,
    peft_config: Any = None,
    quantization_config: Any = None,
    processing_class: Any = None,
    end_of_turn: EndOfTurn = "auto",
    freeze_vision: bool = True,
    layers: int | None = None,
    seed: int = 0,
) -> Selection:
    """Fine-tune a model on uniformly random rows of a pool and save it to `args.output_dir`.

    The first step of MLLM-Selector (arXiv 2503.20502). Rows that cannot be trained on (a broken image, no
    answer) are passed over and counted in the recipe. The ids of the rows it used are saved with the model
    (`seed_rows.json`, see `load_seed_rows`), and its card names pool, commit and rows.

    Args:
        pool: any conversation layout.
        model: a Hub id, a folder, or a loaded model.
        budget: rows or a share of the pool, as in `select_diverse`.
        args: any `trl.SFTConfig`.
        peft_config: as in TRL; the folder then holds the adapter.
        quantization_config: as in TRL.
        processing_class: a processor with a chat template, or its Hub id or folder; None is the model's own.
        end_of_turn: as in `SelectionSFTTrainer`.
        freeze_vision: keep the weights of the vision encoder, where `transformers` finds one
            (`get_encoder(modality="image")`), and of its adapter, but train the projector. It is faster, and
            the picks were as good in our trials.
        layers: train a smaller model, with this many of the decoder layers: the first ones and the last. The
            others are left out for good, so this is no model to fine-tune on the picks. None keeps all.
        seed: the seed of the draw.

    Returns:
        The rows the model was trained on. Pass them to `select_diverse` as `include=` to keep them in the
        final subset, or as `exclude=` to keep them out; with neither they are ordinary rows.

    Raises:
        BudgetError: if the budget is invalid, or more than the rows that can be trained on.
        ColumnError: if the pool has columns with the names that `Selection.scores` adds.
        ModelError: as in `SelectionSFTTrainer`; if `freeze_vision` leaves nothing to train; or if the model
            has fewer than `layers`, or does not work without the others.
        ValueError: if `layers` is given with an adapter or a quantization.
    """
    refuse_reserved(pool.features)
    budget_rows(budget, len(pool))
    args = checked_args(args, evaluates=False)
    processing_class = processor_of(model, args, processing_class)
    encoder = Encoder(processing_class, args.max_length, end_of_turn=end_of_turn)
    encoder.check()
    if layers is not None:
        _refuse_partial_training(
            model, args, peft_config=peft_config, quantization_config=quantization_config
        )
    selection = draw_seed_rows(pool, budget, encoder, seed)
    if layers is not None:
        model = _with_layers(model, layers, args, selection.dataset, encoder)
    trainer = SelectionSFTTrainer(
        model,
        selection=selection,
        args=args,
        peft_config=peft_config,
        quantization_config=quantization_config,
        processing_class=processing_class,
        end_of_turn=end_of_turn,
        unusable={},
    )
    with frozen_vision(trainer.model) if freeze_vision else nullcontext():
        _train(trainer)
        trainer.save_model()
        trainer.create_model_card()
    if trainer.is_world_process_zero():
        save_seed_rows(selection, args.output_dir)
    return selection


def _refuse_partial_training(model: Any, args: SFTConfig, **options: Any) -> None:
    """Refuse what cannot do without layers: an adapter would later be loaded on the whole base model."""
    given = [name for name, value in options.items() if value is not None]
    if is_adapter(model, args):
        given.append("an adapter as the model")
    if given:
        raise ValueError(
            f"layers: expected a whole model that is trained as a whole, got {' and '.join(given)}; leave "
            "out either"
        )


def _with_layers(model: Any, layers: int, args: SFTConfig, rows: Dataset, encoder: Encoder) -> Any:
    """Load the model, unless it is, and leave out the other decoder layers."""
    if isinstance(model, (str, os.PathLike)):
        model = load_model(str(model), args)
        args.model_init_kwargs = None
    plain = undecoded_rows(rows)
    shown = next((row for row in plain if read_row(row).images), plain[0])
    inputs = ResponseCollator(encoder)([shown])
    del inputs["labels"]
    return keep_layers(model, layers, inputs)


def _train(trainer: SelectionSFTTrainer) -> None:
    """Train, from the checkpoint of the arguments if they name one."""
    checkpoint = trainer.args.resume_from_checkpoint
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except ValueError as error:
        if checkpoint is None or "parameter group" not in str(error):
            raise
        raise ModelError(
            f"expected a checkpoint with the same weights frozen, got {checkpoint}; resume it with the "
            "freeze_vision that it was made with, or start again"
        ) from error


def draw_seed_rows(pool: Dataset, budget: int | float, encoder: Encoder, seed: int) -> Selection:
    """Draw uniformly random rows among those the encoder can encode."""
    count = budget_rows(budget, len(pool))
    rows, collator = undecoded_rows(pool), ResponseCollator(encoder)
    drawn: list[int] = []
    passed: dict[int, RowError] = {}
    for i, error in check_rows(rows, np.random.default_rng(seed).permutation(len(pool)), collator):
        if error is not None:
            passed[i] = error
            continue
        drawn.append(i)
        if len(drawn) == count:
            break
    else:
        raise (BudgetError if drawn else AllRefusedError)(
            f"asked for {count} rows, but only {len(drawn)} of {len(pool)} can be trained on"
            + (f"; the others: {counted(passed)}, {shown(passed)}" if passed else "")
        )
    refusals = Refusals.of_errors(len(drawn) + len(passed), passed.values())
    warn_if_most_are_refused(refusals, "cannot be trained on", "the seed model is trained on the others")
    indices, ids = np.asarray(drawn, dtype=np.int64), row_ids(pool)
    recipe = replace(
        Recipe.about(pool, ids, indices),
        budget=budget,
        method=write_call(Method(rule=Random()), whole=True),
        seed=seed,
        end_of_turn=encoder.template.inserted or "template",
        dropped=counted(passed),
        dropped_reasons=refusals.reasons,
        row_ids=ROWS_FILE,
    )
    return Selection.of(pool, ids, Picked(indices, np.zeros(len(drawn)), recipe))
