"""CPU seconds that trials will cost, from those that have run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trials.trial import Trial


@dataclass(frozen=True)
class Costs:
    """Expected seconds, on one thread.

    Attributes:
        step: of a row in an epoch of a fine-tune.
        answer: of a held-out row.
        select: of a selection and what surrounds it.
        models: of a bed's CLIP and base model.
        pool: of a pool's seed model and scores.
    """

    step: float = 0.0035
    answer: float = 0.002
    select: float = 3.0
    models: float = 300.0
    pool: float = 60.0

    @classmethod
    def measured(cls, lines: Iterable[dict[str, Any]]) -> "Costs":
        """Medians over finished trials."""
        known = [line for line in lines if line["rows"] and "same_rows_as" not in line]
        if not known:
            return cls()
        step = [line["seconds"]["train"] / line["rows"] / line["epochs"] for line in known]
        answer = [line["seconds"]["evaluate"] / line["held_out"]["rows"] for line in known]
        select = [line["seconds"]["select"] for line in known]
        return cls(*(float(np.median(values)) for values in (step, answer, select)))

    def of(self, trial: Trial) -> float:
        """Expected seconds of a trial."""
        return self.select + trial.steps * self.step + trial.pool.bed.held_out_rows[trial.part] * self.answer
