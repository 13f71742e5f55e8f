"""Flags of the commands that fine-tune: TRL's own."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import PromptFlags, flag
from hf_vitselect.errors import UsageError
from hf_vitselect.training.checks import checked_args


@dataclass
class TrainingFlags(SFTConfig):  # type: ignore[misc]
    """TRL's SFTConfig without its limit of 1,024 tokens: nothing is truncated here."""

    max_length: int | None = flag("Rows with more tokens are refused before the first step.", None)


class TrainingCommand(Command):
    """A command that fine-tunes a model with TRL's flags."""

    model: ModelConfig
    training: TrainingFlags
    prompt: Any
    part_types: ClassVar[Mapping[str, type]] = {
        "model": ModelConfig,
        "training": TrainingFlags,
        "prompt": PromptFlags,
    }
    checked_by_trl = frozenset({"model", "training"})
    usual_flags = (
        *("model_name_or_path", "output_dir", "num_train_epochs", "per_device_train_batch_size"),
        *("gradient_accumulation_steps", "learning_rate", "max_length", "seed", "bf16", "use_cpu"),
        *("use_peft", "lora_r", "report_to", "resume_from_checkpoint", "push_to_hub", "hub_model_id"),
    )
    needed = frozenset({"model_name_or_path"})  # TRL's scripts need no model; a command that trains does

    def check(self) -> None:
        """Refuse options of the training that cannot be followed."""
        _refuse_adapter_flags(self.model)
        checked_args(self.training, evaluates=False)

    @property
    def training_arguments(self) -> SFTConfig:
        """The training arguments with TRL's model flags: revision, attention kernel, dtype."""
        training, model = self.training, self.model
        if training.assistant_only_loss:
            warnings.warn(
                "assistant_only_loss need not be given: the loss is always that of the response tokens "
                "alone, with every template",
                stacklevel=2,
            )
            training.assistant_only_loss = False
        training.model_init_kwargs = {
            "revision": model.model_revision,
            "attn_implementation": model.attn_implementation,
            "dtype": model.dtype,
        }
        return training

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """The arguments that our trainers share."""
        return {
            "args": self.training_arguments,
            "peft_config": get_peft_config(self.model),
            "quantization_config": get_quantization_config(self.model),
            "processing_class": self.prompt.processor_name_or_path,
            "end_of_turn": self.prompt.end_of_turn,
        }


def _refuse_adapter_flags(model: ModelConfig) -> None:
    """Refuse an adapter's flags where no adapter is trained."""
    for item in fields(model):
        value = getattr(model, item.name)
        of_adapter = item.name.startswith(("lora_", "use_rslora", "use_dora"))
        if of_adapter and not model.use_peft and value != item.default:
            raise UsageError(f"{item.name}: expected use_peft with it, got {value!r} alone")
