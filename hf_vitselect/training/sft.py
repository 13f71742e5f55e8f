"""Fine-tuning on a selection."""

import os
import re
from typing import Any

from hf_vitselect.data.provenance import folder_name
from hf_vitselect.report.merge_readme import merge_section
from hf_vitselect.report.model_card import model_section
from hf_vitselect.selection.selection import Selection
from hf_vitselect.training.response_trainer import ResponseSFTTrainer
from hf_vitselect.training.warm_start import rows_before


class SelectionSFTTrainer(ResponseSFTTrainer):
    """Fine-tune a vision-language model on a selection, on its response tokens only.

    See `ResponseSFTTrainer` for the differences from `trl.SFTTrainer`. The model card also names the
    selection's rule, scorers and pool and, once published, its repository.

    Args:
        model: a Hub id, a folder, or a loaded model; an adapter is trained further.
        selection: the rows to train on.
        **options: every other argument of `ResponseSFTTrainer`, such as `args` or `peft_config`.

    Raises:
        AllRefusedError, ModelError, RowError, ValueError: as in `ResponseSFTTrainer`.

    Examples:
        >>> trainer = SelectionSFTTrainer(  # doctest: +SKIP
        ...     "llava-hf/llava-1.5-7b-hf", selection=selection, args=SFTConfig(max_length=None)
        ... )
        >>> trainer.train()  # doctest: +SKIP
    """

    def __init__(self, model: Any, *, selection: Selection, **options: Any) -> None:
        self.selection = selection
        start = model if isinstance(model, (str, os.PathLike)) else model.config.name_or_path
        # Read before training, as a damaged record would end it at its card.
        self.start, self.rows_before = str(start), rows_before(str(start), selection.recipe)
        super().__init__(model, train_dataset=selection.dataset, row_ids=selection.row_ids, **options)

    def complete_card(self, card: Any, dataset_name: str | None) -> None:
        """Name the data sets and add the section about the selection."""
        recipe = self.selection.recipe
        published = recipe.published and recipe.published.repo_id
        known = (dataset_name, published, recipe.source.repo_id)
        card.data.datasets = list(dict.fromkeys(name for name in known if name)) or None
        # The last value of each: the loss of the whole training and the final evaluation.
        logged = {key: value for entry in self.state.log_history for key, value in entry.items()}
        metrics = {key: value for key, value in logged.items() if re.match("train_loss|eval_", key)}
        base = self.base_model.config.name_or_path
        section = model_section(
            self.selection,
            base_model=_short(base),
            adapter=_short(self.start) if self.start != base else None,
            rows_before=self.rows_before,
            metrics=metrics,
        )
        card.text = merge_section(card.text, section)


def _short(model: str) -> str | None:
    """A model's name without the folders of this machine."""
    return (folder_name(model) if os.path.isdir(model) else model) or None
