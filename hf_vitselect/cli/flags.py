"""Flags that several commands share, and what they mean."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from typing import Any, Literal

from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from hf_vitselect.call_text import read_call
from hf_vitselect.cli.command import Command
from hf_vitselect.errors import UsageError
from hf_vitselect.models.options import ModelOptions
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.training.checks import checked_args


def flag(help: str, default: Any = MISSING) -> Any:
    """A dataclass field for a flag; without a default it is required."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(kw_only=True)
class PoolFlags:
    """Which pool: the flags of TRL's scripts."""

    dataset_name: str = flag("The pool: a data set on the Hub, or a local file or folder.")
    dataset_config: str | None = flag("The pool's configuration.", None)
    dataset_train_split: str = flag("The pool's split.", "train")


@dataclass(kw_only=True)
class SelectionFlags:
    """Which selection."""

    selection: str = flag("The selection: a folder that `select` wrote.")


@dataclass(kw_only=True)
class PromptFlags:
    """How rows become prompts."""

    processor_name_or_path: str | None = flag(
        "A processor in place of the model's own, on the Hub or in a folder.", None
    )
    end_of_turn: Literal["auto", "template"] = flag(
        "'auto' inserts the tokenizer's EOS after responses that the chat template does not close; "
        "'template' leaves the prompt as the template writes it.",
        "auto",
    )


@dataclass
class TrainingFlags(SFTConfig):  # type: ignore[misc]
    """TRL's SFTConfig without its limit of 1,024 tokens: nothing is truncated here."""

    max_length: int | None = flag("Rows with more tokens are refused before the first step.", None)


@dataclass
class TrainingCommand(Command):
    """A command that fine-tunes a model with TRL's flags."""

    model: ModelConfig
    training: TrainingFlags
    prompt: PromptFlags

    def check(self) -> None:
        """Refuses options of the training that cannot be followed."""
        checked_args(self.training, evaluates=False)

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """The arguments that our trainers share."""
        return {
            "args": with_model_options(self.model, self.training),
            "peft_config": get_peft_config(self.model),
            "quantization_config": get_quantization_config(self.model),
            "processing_class": self.prompt.processor_name_or_path,
            "end_of_turn": self.prompt.end_of_turn,
        }


_RENAMED = {"revision": "model_revision", "processor": "processor_name_or_path"}
"""Options of a model whose flags have TRL's names."""

ModelFlags: type[Any] = make_dataclass(
    "ModelFlags",
    [
        (
            _RENAMED.get(it.name, it.name),
            str | None if it.name == "processor" else it.type,
            field(default=it.default, metadata=it.metadata),
        )
        for it in fields(ModelOptions)
    ],
    kw_only=True,
    namespace={"__module__": __name__, "__doc__": "How a model that scores is loaded and run."},
)


def model_options(flags: Any) -> dict[str, Any]:
    """The arguments of `ModelOptions` that `ModelFlags` give."""
    return {it.name: getattr(flags, _RENAMED.get(it.name, it.name)) for it in fields(ModelOptions)}


def given_flags(flags: Any, kind: Any = None) -> dict[str, Any]:
    """The flags that are not at their defaults.

    Args:
        flags: an object of a flags dataclass.
        kind: one of its base classes, if only that one's flags are asked for.
    """
    plain = {
        it.name: it.default if it.default_factory is MISSING else it.default_factory()
        for it in fields(kind or flags)
    }
    return {name: getattr(flags, name) for name in plain if getattr(flags, name) != plain[name]}


def with_model_options(model: ModelConfig, training: SFTConfig) -> SFTConfig:
    """The training arguments with TRL's model flags: revision, attention kernel, dtype."""
    if training.assistant_only_loss:
        warnings.warn(
            "assistant_only_loss need not be given: the loss is always that of the response tokens alone, "
            "with every template",
            stacklevel=2,
        )
        training.assistant_only_loss = False
    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    return training


def parse_budget(text: Any) -> int | float:
    """A budget from a flag: '1200' is rows; '0.15', '1.0' and '15%' are shares.

    Raises:
        BudgetError: for fewer than one row, or a share that is not in (0, 1].
        UsageError: if it is not a number.
    """
    text = str(text).strip()
    try:
        if text.endswith("%"):
            budget: int | float = float(text[:-1]) / 100
        else:
            budget = int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise UsageError(f"budget: expected rows (1200) or a share (0.15, 15%), got {text!r}") from None
    budget_rows(budget, sys.maxsize)
    return budget


def read_object(flag: str, text: str, names: Mapping[str, type[Any]]) -> Any:
    """The object that a flag gives as text, such as `NeighborPenalty(gamma=0.5)`.

    Raises:
        UsageError: as `read_call` does, naming the flag.
    """
    try:
        return read_call(text, names)
    except UsageError as error:
        raise UsageError(f"{flag}: {error}") from error
