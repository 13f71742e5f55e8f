"""TRL's SFTTrainer on a selection."""

import copy
import os
import re
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from huggingface_hub import ModelCard
from tqdm.auto import tqdm
from transformers import AutoProcessor, Trainer
from trl import SFTConfig, SFTTrainer

from hf_vitselect.card import merge_section, model_quick_start, model_section
from hf_vitselect.encoding import Encoder
from hf_vitselect.errors import RowError
from hf_vitselect.selection import Selection
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows


class SelectionSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Fine-tunes a vision-language model on a selection, on its response tokens only.

    Everything else is `trl.SFTTrainer`. What differs: the labels are those that the scorers count (every
    assistant turn and its end-of-turn token, with or without generation tags in the template); nothing is
    truncated; pictures go through the scorers' decoder; a resumed full fine-tune really continues from
    the checkpoint's weights; BLIP-2 trains; the model card names the selection.

    Args:
        model: a Hub id, a folder, or a loaded model.
        selection: what to train on.
        args: any `trl.SFTConfig`. Its ``max_length`` must be None, or no row may be longer.
        eval_dataset: a data set of any conversation layout, or several by name.
        processing_class: a processor with a chat template; the model's own if None.
        peft_config: as in TRL. ``target_modules="all-linear"`` also adapts the vision tower; a pattern
            such as ``r".*language_model.*(q|k|v|o)_proj"`` keeps to the language model.
        **options: every other argument of `trl.SFTTrainer`.

    Raises:
        ModelError: if the processor has no chat template or a slow tokenizer.
        RowError: if a row is longer than ``args.max_length``.

    Example:
        >>> trainer = SelectionSFTTrainer(  # doctest: +SKIP
        ...     "llava-hf/llava-1.5-7b-hf", selection=selection, args=SFTConfig(max_length=None)
        ... )
        >>> trainer.train()  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any,
        *,
        selection: Selection,
        args: SFTConfig | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: Any = None,
        peft_config: Any = None,
        **options: Any,
    ) -> None:
        args = SFTConfig(max_length=None) if args is None else copy.copy(args)
        args.remove_unused_columns = False
        args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        if processing_class is None:
            processing_class = load_processor(model, args)
        self.selection = selection
        collator = ResponseCollator(Encoder(processing_class))
        rows = undecoded_rows(selection.dataset)
        if args.max_length is not None:
            _refuse_long_rows(rows, collator, args.max_length)
        super().__init__(
            model=model if not isinstance(model, os.PathLike) else str(model),
            args=args,
            data_collator=collator,
            train_dataset=rows,
            eval_dataset=_undecoded_eval(eval_dataset),
            processing_class=processing_class,
            peft_config=peft_config,
            **options,
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; the plain Trainer's for a model without a separate backbone, such as BLIP-2."""
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        if base.base_model is base:
            return Trainer.compute_loss(self, model, inputs, *args, **kwargs)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: Any = None
    ) -> None:
        """TRL's card with the selection's section and the data sets' names."""
        if not self.is_world_process_zero():
            return
        path = Path(self.args.output_dir, "README.md")
        super().create_model_card(model_name or path.parent.name, dataset_name, tags)
        card = ModelCard.load(path)
        # TRL's placeholders: a licence nobody chose, and a link to a base model that is only a folder.
        card.data.pop("licence", None)
        card.text = card.text.replace("[None](https://huggingface.co/None)", "a model without a Hub address")
        recipe = self.selection.recipe
        known = (dataset_name, recipe.get("published", {}).get("repo_id"), recipe["source"]["repo_id"])
        card.data.datasets = list(dict.fromkeys(name for name in known if name)) or None
        # TRL's own example is for a model without eyes.
        address = self.hub_model_id or self.args.hub_model_id or path.parent.name
        quick_start = model_quick_start(address).rstrip() + "\n\n"
        card.text = re.sub(r"## Quick start\n.*?(?=## )", lambda _: quick_start, card.text, flags=re.DOTALL)
        card.text = merge_section(card.text, model_section(self.selection))
        card.save(path)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._loads_raw_weights(model):
            self._load_weights(resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if self._loads_raw_weights():
            self._load_weights(self.state.best_model_checkpoint)
        else:
            super()._load_best_model()

    def _loads_raw_weights(self, model: Any = None) -> bool:
        """Whether the plain Trainer would load a whole model's file by its raw tensor names.

        `save_pretrained` writes legacy names for several architectures; loaded raw, none of them fits,
        and training goes on from the initial weights with no more than a warning.
        """
        sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled
        return model is None and not sharded and not hasattr(self.model, "peft_config")

    def _load_weights(self, folder: str | None) -> None:
        dtype = next(self.model.parameters()).dtype
        saved = type(self.model).from_pretrained(folder, dtype=dtype)
        with torch.no_grad():
            self.model.load_state_dict(saved.state_dict())


def _undecoded_eval(data: Dataset | dict[str, Dataset] | None) -> Dataset | dict[str, Dataset] | None:
    if isinstance(data, dict):
        return {name: undecoded_rows(rows) for name, rows in data.items()}
    return None if data is None else undecoded_rows(data)


def load_processor(model: Any, args: SFTConfig) -> Any:
    """The processor of the model that these arguments train, at the same revision.

    Args:
        model: a Hub id, a folder, or a loaded model.
        args: the revision stands in its ``model_init_kwargs``.
    """
    name = model if isinstance(model, (str, os.PathLike)) else model.config.name_or_path
    revision = (args.model_init_kwargs or {}).get("revision")
    return AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=args.trust_remote_code)


def _refuse_long_rows(rows: Dataset, collator: ResponseCollator, max_length: int) -> None:
    for i, row in enumerate(tqdm(rows, desc="Checking row lengths", unit="row")):
        length = collator.encode(row).length
        if length > max_length:
            raise RowError(
                "too_long",
                f"row {i} of the selection has {length} tokens, args.max_length is {max_length}; "
                "rows are never truncated: set max_length=None, or select again without long rows",
            )
