"""What a command says at its end: what it did, where the result is, what to type next."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, Value

from hf_vitselect.data.columns import read_column
from hf_vitselect.data.refusals import Refusals
from hf_vitselect.report.statistics import duplicates
from hf_vitselect.selection.recipe import Recipe, RowSet
from hf_vitselect.selection.selection import Selection

_BUDGET = 0.15


@dataclass(frozen=True)
class Summary:
    """Named facts, one a line, then the next commands.

    Attributes:
        facts: by name, in order; what is empty is left out.
        next: commands as they can be typed; what only the user knows is in capitals.
        text: stands before all else, such as the tables of a comparison.
    """

    facts: Mapping[str, Any]
    next: Sequence[str] = ()
    text: str = ""

    def __str__(self) -> str:
        """Aligned lines."""
        lines = [(name, str(said)) for name, said in self.facts.items() if said not in (None, "")]
        lines += [("next" if i == 0 else "or", command) for i, command in enumerate(self.next)]
        width = max(len(name) for name, _ in lines)
        shown = "\n".join(f"{name:<{width}}  {said}" for name, said in lines)
        return f"{self.text}\n\n{shown}" if self.text else shown


def command_line(command: str, **flags: Any) -> str:
    """A command as it is typed; flags that are None are left out."""
    given = [word for name, value in flags.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["hf-vitselect", command, *given])


def train_line(selection: str) -> str:
    """The command that trains on a selection, as it works on this machine."""
    on_cpu = None if torch.accelerator.is_available() else "true"
    return command_line(
        "train", selection=selection, model_name_or_path="MODEL", output_dir="model", use_cpu=on_cpu
    )


def of_scored(scored: Dataset, columns: Sequence[str], folder: Path) -> Summary:
    """Of a scored pool.

    Args:
        scored: with the new columns.
        columns: the main ones of the scorers.
        folder: where it was saved.
    """
    found = {column: Refusals.read(scored, column) for column in columns}
    return Summary(
        {
            "rows": f"{len(scored):,}",
            **{column: _scored(refusals) for column, refusals in found.items()},
            "saved to": folder,
        },
        [_next_select(scored, found, folder)],
    )


def of_selection(selection: Selection, folder: str) -> Summary:
    """Of a selection that was saved to a folder."""
    recipe, repeated = selection.recipe, duplicates(selection)["subset"]
    name, parameters = (recipe.rule.name, recipe.rule.arguments) if recipe.rule else ("an unknown rule", {})
    arguments = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
    return Summary(
        {
            "rows": f"{recipe.rows:,}",
            "picked": f"{len(selection):,} (budget {recipe.budget})",
            "rule": f"{name}({arguments})",
            "by": recipe.by,
            "over": recipe.over,
            "refused": _refused(dropped(recipe)),
            "included": _rows(recipe.included),
            "excluded": _rows(recipe.excluded),
            "distinct": f"{len(selection) - repeated:,} of the {len(selection):,} picked rows",
            "saved to": folder,
        },
        [
            command_line("report", selection=folder, output_dir="report"),
            train_line(folder),
        ],
    )


def dropped(recipe: Recipe) -> Refusals:
    """The rows that a recipe says were dropped, but for those that the user left out."""
    counts = {name: count for name, count in recipe.dropped.items() if name != "excluded"}
    return Refusals(recipe.rows, counts, recipe.dropped_reasons)


def of_seed(selection: Selection, pool: Mapping[str, Any], folder: str) -> Summary:
    """Of a seed model.

    Args:
        selection: the rows that it was trained on.
        pool: the flags that name the pool.
        folder: of the model.
    """
    return Summary(
        {
            "rows": f"{selection.recipe.rows:,}",
            "trained on": f"{len(selection):,}, drawn at random",
            "refused": _refused(dropped(selection.recipe)),
            "saved to": folder,
        },
        [command_line("score", **pool, model_name_or_path=folder, output_dir="scored")],
    )


def _scored(refusals: Refusals) -> str:
    left = f"{refusals.rows - refusals.refused:,} scored"
    return f"{left}, {refusals.refused:,} refused: {refusals}" if refusals.refused else left


def _refused(refusals: Refusals) -> str:
    return f"{refusals.refused:,}: {refusals}" if refusals.refused else "none"


def _rows(rows: RowSet | None) -> str:
    return f"{rows.rows:,} rows" if rows else ""


def _next_select(scored: Dataset, found: Mapping[str, Refusals], folder: Path) -> str:
    """A selection that this pool allows: by its first score, spread out where there are vectors."""
    kinds = scored.features
    numbers = [c for c in found if isinstance(kinds[c], Value) and kinds[c].dtype != "string"]
    vectors = [c for c in found if not isinstance(kinds[c], Value)]
    vectors += ["embedding"] * (not vectors and "embedding" in kinds)
    by, over = (names[0] if names else None for names in (numbers, vectors))
    rule = "KCenter" if by is None else "TopScore" if over is None else None
    usable = min(refusals.rows - refusals.refused for name, refusals in found.items() if name in (by, over))
    negative = by is not None and any((value or 0) < 0 for value in read_column(scored, by).to_pylist())
    return command_line(
        "select",
        dataset_name=folder,
        budget=_BUDGET if usable > _BUDGET * len(scored) else max(1, usable // 2),
        by=by if by != "necessity" else None,
        over=over if over != "embedding" else None,
        rule=rule,
        rescale="minmax" if rule is None and negative else None,
        output_dir="selection",
    )
