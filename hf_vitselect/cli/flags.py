"""Flags that several commands share, and what they mean."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from typing import Any, ClassVar

from hf_vitselect.call_text import read_call
from hf_vitselect.cli.command import Command
from hf_vitselect.errors import UsageError
from hf_vitselect.models.options import ModelOptions
from hf_vitselect.selection.budget import budget_rows


def flag(help: str, default: Any = MISSING) -> Any:
    """A dataclass field for a flag; without a default it is required."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(kw_only=True)
class PoolFlags:
    """Flags that name the pool, as in TRL's scripts."""

    dataset_name: str = flag("The pool: a data set on the Hub, or a local file or folder.")
    dataset_config: str | None = flag("The pool's configuration.", None)
    dataset_train_split: str = flag("The pool's split.", "train")
    image_root: str | None = flag(
        "The folder where the relative paths of images start; by default that of a local pool.", None
    )
    allow_paths: list[str] = flag("Other folders whose files the rows may name.", [])
    fetch_urls: bool = flag("Whether images behind URLs (http, https, s3, hf) are fetched.", False)
    allow_addresses: list[str] = flag("Private networks to fetch images from, such as 10.0.0.0/8.", [])
    dataset_columns: list[str] = flag("Columns to rename: messages=dialog reads dialog as messages.", [])


@dataclass(kw_only=True)
class SelectionFlags:
    """The flag that names a selection."""

    selection: str = flag("The selection: a folder that `select` wrote.")


_RENAMED = {"revision": "model_revision", "processor": "processor_name_or_path"}
"""Options of a model whose flags have TRL's names."""


def _model_flags(name: str, options: Sequence[str]) -> Any:
    """A dataclass of flags for some options of a model."""
    known = {item.name: item for item in fields(ModelOptions)}
    return make_dataclass(
        name,
        [
            (
                _RENAMED.get(option, option),
                str | None if option == "processor" else known[option].type,
                field(default=known[option].default, metadata=known[option].metadata),
            )
            for option in options
        ],
        namespace={"__doc__": "How rows become prompts, and how a model is loaded and run."},
    )


ModelFlags = _model_flags("ModelFlags", [option.name for option in fields(ModelOptions)])
PromptFlags = _model_flags("PromptFlags", ["processor", "end_of_turn"])


class ModelCommand(Command):
    """A command that runs a model with the flags of `ModelOptions`."""

    model_flags: Any
    part_types: ClassVar[Mapping[str, type]] = {"model_flags": ModelFlags}

    @property
    def model_options(self) -> dict[str, Any]:
        """The arguments of `ModelOptions`."""
        names = [option.name for option in fields(ModelOptions)]
        return {name: getattr(self.model_flags, _RENAMED.get(name, name)) for name in names}


def given_flags(flags: Any, kind: Any = None) -> dict[str, Any]:
    """The flags that are not at their defaults: all, or those of one base class."""
    plain = {
        item.name: item.default if item.default_factory is MISSING else item.default_factory()
        for item in fields(kind or flags)
    }
    return {name: getattr(flags, name) for name in plain if getattr(flags, name) != plain[name]}


def parse_budget(text: Any) -> int | float:
    """A budget from a flag: '1200' is rows; '0.15', '1.0' and '15%' are shares."""
    text = str(text).strip()
    try:
        percent, whole = text.endswith("%"), text.lstrip("+-").isdigit()
        budget = float(text[:-1]) / 100 if percent else int(text) if whole else float(text)
    except ValueError:
        raise UsageError(f"budget: expected rows (1200) or a share (0.15, 15%), got {text!r}") from None
    budget_rows(budget, sys.maxsize)
    return budget


def refuse_large_budget(budget: str, rows: int) -> None:
    """Refuse a budget of more rows than a pool has."""
    if (asked := budget_rows(parse_budget(budget), rows)) > rows:
        raise UsageError(f"budget: expected at most the pool's {rows:,} rows, got {asked:,}; give fewer")


def read_object(flag: str, text: str, names: Mapping[str, type[Any]]) -> Any:
    """The object that a flag gives as text, such as `NeighborPenalty(gamma=0.5)`; errors name the flag."""
    try:
        return read_call(text, names)
    except UsageError as error:
        raise UsageError(f"{flag}: {error}") from error
