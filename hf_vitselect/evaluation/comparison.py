"""The result of a comparison: a table and verdicts per evaluation, what was picked, and the saved record."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.evaluation.cost import NET, SAME, cost_rows
from hf_vitselect.evaluation.methods import FULL, RANDOM
from hf_vitselect.evaluation.plot import draw
from hf_vitselect.evaluation.statistics import LEVEL
from hf_vitselect.evaluation.stopping import Look
from hf_vitselect.evaluation.subset_overlap import composition_rows, overlap
from hf_vitselect.evaluation.trials import Trial
from hf_vitselect.evaluation.verdicts import Key, Line, SameCost, compare_scores, group_trials, stack
from hf_vitselect.notebook import html_summary
from hf_vitselect.report.tables import table
from hf_vitselect.report.verdict import Verdict
from hf_vitselect.resume import write_atomically


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`. Printed, it is Markdown that is readable as plain text.

    Attributes:
        lines: for each evaluation, by name, one line per method and budget.
        by_rows: the evaluations that return a score per held-out row.
        overlap: for each budget in rows, the overlap of the methods' subsets, as rows of a table.
        composition: for each budget in rows, what each method picked, as rows of a table.
        planned: seeds at most, of a comparison that may stop early; None of one without looks.
        looks: of a comparison that may stop early, in order.
        subsets: for each method and budget, the digest of each seed's row ids in pick order.
        costs: seconds of choosing and of the training that fewer rows save, as rows of a table.
        uses: fine-tunes that will use a subset, among which the cost of choosing is divided.
    """

    lines: dict[str, list[Line]]
    by_rows: list[str]
    overlap: dict[int, list[dict[str, Any]]]
    composition: dict[int, list[dict[str, Any]]]
    planned: int | None = None
    looks: Sequence[Look] = ()
    subsets: Mapping[Key, Sequence[str]] = field(default_factory=dict)
    costs: Sequence[Mapping[str, Any]] = ()
    uses: int = 1

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        evaluations: Sequence[str],
        pool: Dataset,
        lengths: str,
        columns: Sequence[str],
        planned: int | None,
        looks: Sequence[Look],
        run: Mapping[str, float],
        uses: int,
        same_cost: Mapping[Key, SameCost],
    ) -> "Comparison":
        """Compare finished trials.

        Args:
            trials: in the order of their seeds.
            evaluations: by name.
            pool: of all methods.
            lengths: its column of response lengths.
            columns: of the pool, whose composition is reported.
            planned: as the attribute.
            looks: as the attribute.
            run: seconds of the run that scored the pool, as of `seconds_of_run`.
            uses: fine-tunes that will use a subset.
            same_cost: for each method and budget, the random rows of the same cost that were compared.
        """
        groups = group_trials(trials)
        lines, by_rows = {}, []
        for name in evaluations:
            scores = {key: stack(name, group) for key, group in groups.items()}
            lines[name] = compare_scores(groups, scores, planned, same_cost)
            if next(iter(scores.values())).ndim == 2:
                by_rows.append(name)
        indices: dict[int, dict[str, list[Any]]] = {}
        digests: dict[Key, list[str]] = {}
        budgets = {rows for name, rows in groups if name not in (FULL, RANDOM)}
        for (name, rows), group in groups.items():
            if name != FULL and rows in budgets:
                subsets = [trial.subset for trial in group]
                indices.setdefault(rows, {})[name] = [subset.indices for subset in subsets]
                digests[name, rows] = [pool_digest(subset.row_ids) for subset in subsets]
        return cls(
            lines,
            by_rows,
            {rows: overlap(drawn) for rows, drawn in indices.items()},
            {rows: composition_rows(pool, lengths, columns, drawn) for rows, drawn in indices.items()},
            planned,
            looks,
            digests,
            [row | _compared_rows(row, same_cost, lines) for row in cost_rows(groups, run, len(pool), uses)],
            uses,
        )

    @property
    def results(self) -> str:
        """A table and the verdicts for each evaluation, as Markdown."""
        parts = []
        for name, lines in self.lines.items():
            parts += [f"## {name}", table([line.table_row() for line in lines]), self._footnote(name)]
            parts.append("\n".join(f"- {line.verdict}" for line in lines if line.verdict))
        return "\n\n".join(parts)

    def __str__(self) -> str:
        """All of it as Markdown."""
        parts = [self.results]
        if self.costs:
            parts += ["## Cost, in seconds", table(self._cost_cells), self._cost_note]
        if self.looks:
            parts += [
                f"## Looks, {self.planned} seeds planned",
                table([look.table_row() for look in self.looks]),
            ]
        for rows, drawn in self.composition.items():
            parts += [f"## What was picked, {rows:,} rows", table(drawn)]
            parts += ["Overlap (Jaccard), the mean over seeds:", table(self.overlap[rows])]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        """The verdicts and the table of each evaluation, for a notebook."""
        notes = [
            f"{name}: {line.verdict}" for name, lines in self.lines.items() for line in lines if line.verdict
        ]
        tables = {
            f"{name}. {self._footnote(name)}": [line.table_row() for line in lines]
            for name, lines in self.lines.items()
        }
        return html_summary(
            "Comparison",
            {},
            notes=notes,
            tables={**tables, f"Cost, in seconds. {self._cost_note}": self._cost_cells},
        )

    def _verdicts(self) -> list[Verdict]:
        """One for each evaluation, method and budget."""
        return [
            Verdict(
                evaluation=name,
                method=line.method,
                rows=line.rows,
                seeds=len(line.means),
                verdict=line.random.verdict,
                difference=line.random.mean,
                low=line.random.low if np.isfinite(line.random.low) else None,
                high=line.random.high if np.isfinite(line.random.high) else None,
                sentence=line.verdict,
                subsets=list(self.subsets.get((line.method, line.rows), ())),
            )
            for name, lines in self.lines.items()
            for line in lines
            if line.random is not None
        ]

    @property
    def _cost_cells(self) -> list[dict[str, Any]]:
        return [
            {name: f"{cell:,.1f}" if isinstance(cell, float) else cell for name, cell in row.items()}
            for row in self.costs
        ]

    @property
    def _cost_note(self) -> str:
        note = "On all rows: in proportion to the rows, or measured if all were trained on. "
        if any(NET in row for row in self.costs):
            divided = f", divided by {self.uses} uses," if self.uses > 1 else ""
            return (
                f"{note}Net gain: what one fine-tune on fewer rows saves, less picking and all that the run "
                "took for scores, whichever of them a method needs. Same cost: the random rows of which one "
                f"fine-tune takes as long as all that{divided} and one on the picks, by the first seed if "
                "they were compared; a method that is better than as many rows as it picks may not be better "
                "than these."
            )
        return f"{note}The seconds of scores are unknown; name the run that made them to see the net gain."

    def _footnote(self, evaluation: str) -> str:
        lines = self.lines[evaluation]
        count = sum(
            difference is not None
            for line in lines
            for difference in (line.random, line.matched, line.same_cost)
        )
        sets = ["comparisons"] * (count > 1) + ["looks"] * bool(self.looks)
        together = f" for all {f'{count} ' * (count > 1)}{' and '.join(sets)} together" if sets else ""
        words = f"Intervals: {LEVEL:.0%}{together}, over seeds"
        if evaluation in self.by_rows:
            return f"{words} and held-out rows. p: paired over held-out rows, for these very models."
        return f"{words} only: a single score per model does not show how much it depends on the questions."

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write comparison.md, comparison.json and comparison.png, the plot of the first evaluation.

        The JSON holds the numbers and, under `card` and `verdicts`, what cards and reports show.
        """
        out = Path(folder)
        (out / "comparison.md").write_text(f"{self}\n")
        record = {
            "lines": {name: [asdict(line) for line in lines] for name, lines in self.lines.items()},
            "overlap": self.overlap,
            "composition": self.composition,
            "costs": self.costs,
            "uses": self.uses,
            "planned_seeds": self.planned,
            "looks": [asdict(look) for look in self.looks],
            "card": [
                {"evaluation": name, **line.card_row()}
                for name, lines in self.lines.items()
                for line in lines
            ],
            "verdicts": [asdict(verdict) for verdict in self._verdicts()],
        }
        # JSON has no infinity: an unbounded end of an interval becomes null.
        plain = json.loads(json.dumps(record), parse_constant=lambda _: None)
        write_atomically(out / "comparison.json", json.dumps(plain, indent=2).encode())
        name, lines = next(iter(self.lines.items()))
        (out / "comparison.png").write_bytes(draw(name, lines))


def _compared_rows(
    row: Mapping[str, Any], same_cost: Mapping[Key, SameCost], lines: Mapping[str, Sequence[Line]]
) -> dict[str, Any]:
    """Cells of a row of costs: the random rows of the same cost that were compared, and what they took."""
    key = row["method"], row["rows"]
    if key not in same_cost:
        return {}
    rows = same_cost[key].rows
    of_some = next(iter(lines.values()))
    took = next(line.seconds for line in of_some if line.method in (RANDOM, FULL) and line.rows == rows)
    return {SAME: rows, "their fine-tune": took}
