"""Fine-tuning on a selection."""

import os
import re
from typing import Any

from hf_vitselect.data.provenance import folder_name
from hf_vitselect.report import merge_section, model_section
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training.response import ResponseSFTTrainer


class SelectionSFTTrainer(ResponseSFTTrainer):
    """Fine-tunes a vision-language model on a selection, on its response tokens only.

    `ResponseSFTTrainer` says what differs from `trl.SFTTrainer`; here the model card also names the
    selection: its rule, its scorers, the pool and, once it was pushed, its address.

    Args:
        model: a Hub id, a folder, or a loaded model.
        selection: what to train on.
        **options: every other argument of `ResponseSFTTrainer`: `args`, `peft_config`, `end_of_turn`,
            ...

    Raises:
        BudgetError, ModelError, RowError, ValueError: as in `ResponseSFTTrainer`.

    Example:
        >>> trainer = SelectionSFTTrainer(  # doctest: +SKIP
        ...     "llava-hf/llava-1.5-7b-hf", selection=selection, args=SFTConfig(max_length=None)
        ... )
        >>> trainer.train()  # doctest: +SKIP
    """

    def __init__(self, model: Any, *, selection: Selection, **options: Any) -> None:
        self.selection = selection
        super().__init__(model, train_dataset=selection.dataset, row_ids=selection.row_ids, **options)

    def complete_card(self, card: Any, dataset_name: str | None) -> None:
        """Names the data sets and adds the selection's section."""
        recipe = self.selection.recipe
        published = recipe.published and recipe.published.repo_id
        known = (dataset_name, published, recipe.source.repo_id)
        card.data.datasets = list(dict.fromkeys(name for name in known if name)) or None
        name = self.base_model.config.name_or_path
        # Of several values the last: the whole training's loss, and what it was evaluated at.
        logged = {key: value for entry in self.state.log_history for key, value in entry.items()}
        metrics = {key: value for key, value in logged.items() if re.match("train_loss|eval_", key)}
        base_model = (folder_name(name) if os.path.isdir(name) else name) or None
        section = model_section(self.selection, base_model=base_model, metrics=metrics)
        card.text = merge_section(card.text, section)
