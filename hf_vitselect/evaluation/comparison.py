"""The result of a comparison: one table, one plot, and a verdict a line in plain words."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_vitselect.evaluation.methods import FULL, MATCHED, RANDOM
from hf_vitselect.evaluation.plot import draw
from hf_vitselect.evaluation.statistics import Difference, difference
from hf_vitselect.evaluation.subset_overlap import make_up, overlap
from hf_vitselect.evaluation.trials import Trial
from hf_vitselect.report.tables import table

LEVEL = 0.95


@dataclass(frozen=True)
class Line:
    """One method at one budget, under one evaluation.

    Attributes:
        method: its name.
        rows: the budget.
        means: each seed's score.
        random: the difference to random rows; None for random and full data.
        matched: the difference to random rows of the same lengths, where they are there.
        of_full: mean score as a share of full data's, if that is there.
        tokens: trained on, the mean over seeds.
        seconds: of a fine-tune, the mean over seeds.
    """

    method: str
    rows: int
    means: list[float]
    random: Difference | None
    matched: Difference | None
    of_full: float | None
    tokens: float
    seconds: float

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.means))

    @property
    def verdict(self) -> str:
        """In plain words."""
        if self.random is None:
            return ""
        seeds = f"{len(self.means)} seeds" if len(self.means) > 1 else "1 seed"
        words = f"{self.method}, {self.rows:,} rows: {_against(self.random, 'random', seeds)}"
        if self.matched is not None:
            words += f"; {_against(self.matched, 'random rows of the same lengths', seeds)}"
        return words + "."


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        lines: for each evaluation, by name, a line for each method and budget.
        by_rows: the evaluations that gave a score for each held-out row.
        overlap: for each budget in rows, the overlap of the methods' subsets; see `picked.overlap`.
        make_up: for each budget in rows, what was picked; see `picked.make_up`.
    """

    lines: dict[str, list[Line]]
    by_rows: list[str]
    overlap: dict[int, list[dict[str, Any]]]
    make_up: dict[int, list[dict[str, Any]]]

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        evaluations: Sequence[str],
        pool: Dataset,
        lengths: str,
        columns: Sequence[str],
    ) -> "Comparison":
        """Reads finished trials.

        Args:
            trials: of any methods, budgets and seeds.
            evaluations: their names.
            pool: what the subsets are of.
            lengths: its column of response lengths.
            columns: whose make-up is reported.

        Raises:
            ValueError: if an evaluation gave other numbers of scores for two models.
        """
        groups: dict[tuple[str, int], list[Trial]] = {}
        for trial in trials:
            groups.setdefault((trial.name, trial.budget), []).append(trial)
        lines, by_rows = {}, []
        for name in evaluations:
            scores = {key: _stack(name, group) for key, group in groups.items()}
            lines[name] = _lines(groups, scores)
            if next(iter(scores.values())).ndim == 2:
                by_rows.append(name)
        subsets: dict[int, dict[str, list[Any]]] = {}
        for (name, rows), group in groups.items():
            if name != FULL:
                subsets.setdefault(rows, {})[name] = [trial.subset.indices for trial in group]
        return cls(
            lines,
            by_rows,
            {rows: overlap(drawn) for rows, drawn in subsets.items()},
            {rows: make_up(pool, lengths, columns, drawn) for rows, drawn in subsets.items()},
        )

    def __str__(self) -> str:
        """All of it as Markdown that is readable as plain text."""
        parts = []
        for name, lines in self.lines.items():
            parts += [f"## {name}", table([_cells(line) for line in lines]), self._small_print(name)]
            parts.append("\n".join(f"- {line.verdict}" for line in lines if line.verdict))
        for rows, drawn in self.make_up.items():
            parts += [f"## What was picked, {rows:,} rows", table(drawn)]
            parts += ["Overlap (Jaccard), the mean over seeds:", table(self.overlap[rows])]
        return "\n\n".join(parts)

    def _small_print(self, evaluation: str) -> str:
        lines = self.lines[evaluation]
        count = _comparisons(lines)
        words = f"Intervals: {LEVEL:.0%} for all {count} comparisons together, over seeds"
        if evaluation in self.by_rows:
            return f"{words} and held-out rows. p: paired over held-out rows, for these very models."
        return f"{words} alone: one score a model does not tell how much chance the questions had."

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes comparison.md, comparison.json and comparison.png, which draws the first evaluation."""
        out = Path(folder)
        (out / "comparison.md").write_text(f"{self}\n")
        found = {name: [asdict(line) for line in lines] for name, lines in self.lines.items()}
        record = {"lines": found, "overlap": self.overlap, "make_up": self.make_up}
        # An end of an interval that is infinite is null in JSON.
        plain = json.loads(json.dumps(record), parse_constant=lambda _: None)
        (out / "comparison.json").write_text(json.dumps(plain, indent=2))
        name, lines = next(iter(self.lines.items()))
        (out / "comparison.png").write_bytes(draw(name, lines))


def _stack(evaluation: str, group: Sequence[Trial]) -> Any:
    scores = [trial.scores(evaluation) for trial in group]
    if len({array.shape for array in scores}) > 1:
        shapes = [array.shape for array in scores]
        raise ValueError(f"expected as many scores of {evaluation!r} for each model, got shapes {shapes}")
    return np.stack(scores)


def _lines(groups: dict[tuple[str, int], list[Trial]], scores: dict[tuple[str, int], Any]) -> list[Line]:
    others = {
        key: [(name, key[1]) for name in (RANDOM, MATCHED.format(key[0])) if (name, key[1]) in groups]
        for key in groups
        if key[0] not in (RANDOM, FULL)
    }
    count = sum(map(len, others.values()))
    full = next((float(array.mean()) for (name, _), array in scores.items() if name == FULL), None)
    lines = []
    for key, group in groups.items():
        found = [
            difference(scores[key], scores[other], comparisons=count, level=LEVEL)
            for other in others.get(key, [])
        ]
        lines.append(
            Line(
                method=key[0],
                rows=key[1],
                means=[float(array.mean()) for array in scores[key]],
                random=found[0] if found else None,
                matched=found[1] if len(found) > 1 else None,
                of_full=float(scores[key].mean()) / full if full else None,
                tokens=float(np.mean([trial.tokens for trial in group])),
                seconds=float(np.mean([trial.seconds for trial in group])),
            )
        )
    return lines


def _comparisons(lines: Sequence[Line]) -> int:
    return sum((line.random is not None) + (line.matched is not None) for line in lines)


def _cells(line: Line) -> dict[str, Any]:
    cells = {
        "method": line.method,
        "rows": line.rows,
        "mean": f"{line.mean:.3f}",
        "sd": f"{np.std(line.means, ddof=1):.3f}" if len(line.means) > 1 else "-",
        "seeds": len(line.means),
        "less random": "",
        "p": "",
    }
    if line.random is not None:
        cells["less random"] = _interval(line.random)
        if line.random.rows_p is not None:
            cells["p"] = f"{line.random.rows_p:.2g}"
    if line.of_full is not None:
        cells["of full"] = f"{line.of_full:.1%}"
    return cells | {"tokens": f"{line.tokens:,.0f}", "seconds": f"{line.seconds:.0f}"}


def _interval(found: Difference) -> str:
    if math.isinf(found.low):
        return f"{found.mean:+.3f} (no interval)"
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _against(found: Difference, whom: str, seeds: str) -> str:
    if found.verdict == "not distinguishable":
        return f"not distinguishable from {whom} with {seeds}, {_interval(found)}"
    return f"{found.verdict} than {whom}, {_interval(found)}"
