"""The seed model: a model fine-tuned on a random part of the pool (MLLM-Selector, arXiv 2503.20502)."""

from typing import Any

import numpy as np
from datasets import Dataset
from trl import SFTConfig

from hf_vitselect.encoding import Encoder
from hf_vitselect.errors import BudgetError
from hf_vitselect.rows import row_ids
from hf_vitselect.selection import Selection, budget_rows
from hf_vitselect.training.collator import ResponseCollator, trainable, undecoded_rows
from hf_vitselect.training.response import load_processor
from hf_vitselect.training.sft import SelectionSFTTrainer


def train_seed_model(
    pool: Dataset,
    model: Any,
    fraction_or_rows: int | float,
    args: SFTConfig,
    *,
    peft_config: Any = None,
    processing_class: Any = None,
    seed: int = 0,
) -> Selection:
    """Fine-tunes a model on uniformly random rows of a pool and saves it to ``args.output_dir``.

    Rows that cannot be trained on (a broken picture, no answer) are passed over and counted in the
    recipe; which rows were used is in the returned selection's ``scores``, by row id.

    Args:
        pool: any conversation layout.
        model: a Hub id, a folder, or a loaded model.
        fraction_or_rows: a budget as in `select_diverse`.
        args: any `trl.SFTConfig`.
        peft_config: as in TRL; the folder then holds the adapter.
        processing_class: a processor with a chat template; the model's own if None.
        seed: of the draw.

    Returns:
        The rows that the model was trained on.

    Raises:
        BudgetError: if the budget is no such number, or more than the rows that can be trained on.
    """
    if processing_class is None:
        processing_class = load_processor(model, args)
    selection = draw(pool, fraction_or_rows, Encoder(processing_class), seed)
    trainer = SelectionSFTTrainer(
        model, selection=selection, args=args, peft_config=peft_config, processing_class=processing_class
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return selection


def draw(pool: Dataset, budget: int | float, encoder: Encoder, seed: int) -> Selection:
    """Uniformly random rows among those that the encoder can encode.

    Raises:
        BudgetError: if there are too few of them.
    """
    wanted = budget_rows(budget, len(pool))
    rows, collator = undecoded_rows(pool), ResponseCollator(encoder)
    drawn: list[int] = []
    dropped: dict[str, int] = {}
    for i, status in trainable(rows, np.random.default_rng(seed).permutation(len(pool)), collator):
        if status != "ok":
            dropped[status] = dropped.get(status, 0) + 1
            continue
        drawn.append(i)
        if len(drawn) == wanted:
            break
    else:
        raise BudgetError(f"asked for {wanted} rows, but only {len(drawn)} of {len(pool)} can be trained on")
    reasons = {"budget": budget, "rule": {"rule": "Random"}, "seed": seed, "dropped": dropped}
    indices = np.asarray(drawn, dtype=np.int64)
    return Selection.of(pool, row_ids(pool), indices, np.zeros(len(drawn)), reasons)
