"""The last lines of a command: what it did, where the result is, what to run next."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_vitselect.call_text import parse_call
from hf_vitselect.data.refusals import Refusals
from hf_vitselect.errors import UNTRIED
from hf_vitselect.selection.recipe import Recipe


@dataclass(frozen=True)
class Summary:
    """Named facts, one a line, then the next commands."""

    facts: Mapping[str, Any]  # empty ones are left out
    next: Sequence[str] = ()  # commands that can be run as they are; what only the user knows is in capitals
    text: str = ""  # printed first, such as the tables of a comparison
    plot: Any = None  # the file of a plot, named last

    def __str__(self) -> str:
        """Aligned lines."""
        lines = [(name, str(fact)) for name, fact in self.facts.items() if fact not in (None, "")]
        lines += [("next" if i == 0 else "or", command) for i, command in enumerate(self.next)]
        lines += [("plot", str(self.plot))] if self.plot else []
        width = max(len(name) for name, _ in lines)
        aligned = "\n".join(f"{name:<{width}}  {fact}" for name, fact in lines)
        return f"{self.text}\n\n{aligned}" if self.text else aligned


def command_line(command: str, **flags: Any) -> str:
    """A command to type; flags that are None are left out."""
    given = [word for name, value in flags.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["hf-vitselect", command, *given])


def train_line(selection: str) -> str:
    """The command that trains on a selection, as it works on this machine."""
    import torch  # takes seconds, which a command's --help need not

    flags = {"selection": selection, "model_name_or_path": "MODEL", "output_dir": "model"}
    return command_line("train", **flags, use_cpu=None if torch.accelerator.is_available() else "true")


def dropped(recipe: Recipe) -> Refusals:
    """The rows that a recipe counts as dropped, without those that the user excluded."""
    others = {"excluded", *UNTRIED}
    counts = {name: count for name, count in recipe.dropped.items() if name not in others}
    return Refusals(recipe.rows, counts, recipe.dropped_reasons)


def dropped_fact(recipe: Recipe) -> str:
    """The number of rows that each filter dropped, or why it was skipped."""
    return "; ".join(
        f"{parse_call(record.filter).name} "
        + (f"skipped ({record.skipped})" if record.skipped else f"{record.dropped:,}")
        for record in recipe.filters
    )


def refused_fact(refusals: Refusals) -> str:
    """Counts of the refused rows, with reasons."""
    return f"{refusals.refused:,}: {refusals}" if refusals.refused else "none"
