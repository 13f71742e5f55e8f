"""TRL's SFTTrainer with the loss on the response tokens the scorers count."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from huggingface_hub import ModelCard
from transformers import ProgressCallback, Trainer
from trl import SFTConfig, SFTTrainer

from hf_vitselect.errors import AllRefusedError, ModelError, RowError, counted, shown
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.models.weights import load_whole
from hf_vitselect.report.model_card import model_quick_start
from hf_vitselect.training.checks import checked_args, find_unusable, refuse_long_rows
from hf_vitselect.training.collator import ResponseCollator, undecoded_rows
from hf_vitselect.training.fewer_layers import KEPT, warn_without_layers
from hf_vitselect.training.frozen import frozen_modules
from hf_vitselect.training.loading import load_model, processor_of
from hf_vitselect.training.saved_paths import without_local_paths
from hf_vitselect.training.training_bar import TrainingBar
from hf_vitselect.training.warm_start import refuse_second_adapter, with_revision


class ResponseSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Fine-tune a vision-language model on the response tokens of conversations in any layout.

    Differences from `trl.SFTTrainer`: the labels are the tokens the scorers count (every assistant turn and
    its end-of-turn token, with or without generation tags in the template); nothing is truncated; images go
    through the scorers' decoder; a checkpoint without all weights is refused; a resumed full fine-tune
    continues from the checkpoint's weights; BLIP-2 trains. Every row is encoded once before the model is
    loaded. Rows that cannot be trained on (a broken image, no answer, text that spells a special token) are
    left out, counted in `dropped` and named in a warning, also in `eval_dataset`.

    Args:
        model: a Hub id, a folder, or a loaded model. An adapter is trained further, without `peft_config`.
        train_dataset: rows in any conversation layout.
        args: any `trl.SFTConfig`. Its `max_length` must be None, or no row may be longer.
        eval_dataset: a data set in any conversation layout, or several by name.
        processing_class: a processor with a chat template, or its Hub id or folder; None is the model's own.
        end_of_turn: `auto` inserts the tokenizer's EOS after each response that the chat template does not
            close, so that the model learns to stop; `template` keeps the text as the template writes it.
        peft_config: as in TRL. `target_modules="all-linear"` also adapts the vision tower; a pattern
            such as `r".*language_model.*(q|k|v|o)_proj"` adapts only the language model.
        collator: a subclass of `ResponseCollator` to use instead.
        row_ids: the ids of the training rows, for messages.
        unusable: the training rows that cannot be trained on, if known; the rows are then not checked again.
        **options: every other argument of `trl.SFTTrainer`.

    Attributes:
        unusable: the training rows that are left out, each with the reason.

    Raises:
        AllRefusedError: if no row can be trained on.
        ModelError: if the model or its processor cannot be loaded, a weight is missing, the processor has no
            chat template or a slow tokenizer, or it refuses an image.
        RowError: if a row is longer than `args.max_length`.
        ValueError: if an option is not supported, such as `packing=True`.
    """

    def __init__(
        self,
        model: Any,
        *,
        train_dataset: Dataset,
        args: SFTConfig | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: Any = None,
        end_of_turn: EndOfTurn = "auto",
        peft_config: Any = None,
        quantization_config: Any = None,
        collator: ResponseCollator | None = None,
        row_ids: Sequence[str] | None = None,
        unusable: Mapping[int, RowError] | None = None,
        **options: Any,
    ) -> None:
        args = checked_args(args or SFTConfig(max_length=None), evaluates=eval_dataset is not None)
        if isinstance(model, (str, os.PathLike)):
            refuse_second_adapter(str(model), args, peft_config)
            peft_config = with_revision(peft_config, args)
        processing_class = processor_of(model, args, processing_class)
        if args.eos_token is not None:  # TRL does so too, but too late for the collator
            getattr(processing_class, "tokenizer", processing_class).eos_token = args.eos_token
        if collator is None:
            collator = ResponseCollator(Encoder(processing_class, end_of_turn=end_of_turn))
            collator.encoder.check()
        rows = undecoded_rows(train_dataset, collator.reads)
        self.unusable = find_unusable(rows, collator, args) if unusable is None else dict(unusable)
        rows = _without(rows, self.unusable, args, row_ids)
        if isinstance(eval_dataset, dict):
            eval_dataset = {name: _usable(data, collator, args) for name, data in eval_dataset.items()}
        elif eval_dataset is not None:
            eval_dataset = _usable(eval_dataset, collator, args)
        if isinstance(model, (str, os.PathLike)):
            model = load_model(str(model), args, quantization_config)
            warn_without_layers(model)
            args.model_init_kwargs = quantization_config = None
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=rows,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            peft_config=peft_config,
            quantization_config=quantization_config,
            **options,
        )
        for callback in [each for each in self.callback_handler.callbacks if type(each) is ProgressCallback]:
            self.remove_callback(callback)
            self.add_callback(TrainingBar)

    _push: ExitStack | None = None
    """What to close after the current push; None outside one."""

    @property
    def dropped(self) -> dict[str, int]:
        """The number of rows left out, by status."""
        return counted(self.unusable)

    @property
    def base_model(self) -> Any:
        """The model without an adapter around it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss, or the plain Trainer's for a model without a separate backbone, such as BLIP-2."""
        if self.base_model.base_model is self.base_model:
            return Trainer.compute_loss(self, model, inputs, *args, **kwargs)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: Any = None
    ) -> None:
        """TRL's card without its placeholders and with a quick start for images."""
        if not self.is_world_process_zero():
            return
        path = Path(self.args.output_dir, "README.md")
        super().create_model_card(model_name or path.parent.name, dataset_name, tags)
        card = ModelCard.load(path)
        # TRL's placeholders: a license nobody chose, and a link to a base model that is only a folder.
        card.data.pop("licence", None)
        card.text = card.text.replace("[None](https://huggingface.co/None)", "a model without a Hub address")
        address = self.hub_model_id or self.args.hub_model_id or path.parent.name
        quick_start = model_quick_start(address).rstrip() + "\n\n"
        if end := self.data_collator.encoder.template.inserted:
            quick_start += (
                f"The chat template does not close every answer. Training inserted `{end}` there, and the "
                "model stops with it.\n\n"
            )
        card.text = re.sub(r"## Quick start\n.*?(?=## )", lambda _: quick_start, card.text, flags=re.DOTALL)
        if self.base_model is self.model and (frozen := frozen_modules(self.model)):
            names = ", ".join(f"`{name}`" for name in frozen)
            card.text += f"\n\nThese modules kept their weights: {names}.\n"
        if kept := getattr(self.base_model.config, KEPT, None):
            numbers = ", ".join(map(str, kept))
            card.text += (
                f"\n\nDecoder layers were left out: the model keeps numbers {numbers} of the larger one.\n"
            )
        if self.dropped:
            counts = ", ".join(f"{status}: {count:,}" for status, count in self.dropped.items())
            total = len(self.train_dataset) + len(self.unusable)
            card.text += (
                f"\n\n{len(self.unusable):,} of {total:,} rows could not be trained on and were left out "
                f"({counts}).\n"
            )
        self.complete_card(card, dataset_name)
        card.save(path)
        if self._push is not None:  # TRL writes nothing between here and the upload.
            name = self.base_model.config.name_or_path
            self.args.output_dir = str(self._push.enter_context(without_local_paths(path.parent, name)))

    def push_to_hub(
        self, commit_message: str | None = "End of training", blocking: bool = True, *args: Any, **kwargs: Any
    ) -> Any:
        """TRL's push without this machine's paths. It always waits for the upload."""
        folder = self.args.output_dir
        self._push = ExitStack()
        try:
            with self._push:
                return super().push_to_hub(commit_message, True, *args, **kwargs)
        finally:
            self._push, self.args.output_dir = None, folder

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Do nothing: checkpoints name folders of this machine, and the final model is pushed."""

    def complete_card(self, card: Any, dataset_name: str | None) -> None:
        """Add what a subclass says of its data to the card."""

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
        """Whether the plain Trainer would load a whole model's file by its raw tensor names."""
        # Several architectures are saved under legacy names. Loaded raw, none of them fits, and training
        # resumes from the initial weights with only a warning.
        sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled
        return model is None and not sharded and not hasattr(self.model, "peft_config")

    def _load_weights(self, folder: str | None) -> None:
        dtype = next(self.model.parameters()).dtype
        saved = load_whole(type(self.model), str(folder), dtype=dtype)
        kept, expected = (getattr(model.config, KEPT, None) for model in (saved, self.model))
        if kept != expected:
            raise ModelError(
                f"expected a checkpoint with the same decoder layers, got {folder}; resume it with the "
                "`layers` that it was made with, or start again"
            )
        own = self.model.state_dict()
        with torch.no_grad():
            for name, weights in saved.state_dict().items():
                own[name].copy_(weights)


def _without(
    rows: Dataset, unusable: Mapping[int, RowError], args: SFTConfig, ids: Sequence[str] | None = None
) -> Dataset:
    """Leave out the unusable rows and warn of them."""
    if not unusable:
        return rows
    refuse_long_rows(unusable, args, ids)
    reasons = f"{counted(unusable)}, {shown(unusable, ids)}"
    if len(unusable) == len(rows):
        raise AllRefusedError(f"expected rows that can be trained on, got none among {len(rows)}: {reasons}")
    if args.process_index == 0:
        warnings.warn(f"{len(unusable)} of {len(rows)} rows are left out: {reasons}", stacklevel=3)
    return rows.select([i for i in range(len(rows)) if i not in unusable])


def _usable(data: Dataset, collator: ResponseCollator, args: SFTConfig) -> Dataset:
    rows = undecoded_rows(data, collator.reads)
    return _without(rows, find_unusable(rows, collator, args), args)
