"""The cost of choosing in a comparison, next to the training that fewer rows save."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_vitselect.evaluation.methods import FULL, MATCHED, RANDOM
from hf_vitselect.evaluation.trials import Trial
from hf_vitselect.evaluation.verdicts import Key
from hf_vitselect.report.cost import stages_that_choose
from hf_vitselect.report.run_record import RunRecord

NET = "net gain"


def seconds_of_run(folder: str | os.PathLike[str] | None) -> dict[str, float]:
    """The seconds of a run's finished stages that choose rows, by name; none without a folder."""
    if folder is None:
        return {}
    return stages_that_choose({row["stage"]: row["seconds"] for row in RunRecord.read(folder).cost})


def cost_rows(
    groups: Mapping[Key, Sequence[Trial]], run: Mapping[str, float], pool_rows: int
) -> list[dict[str, Any]]:
    """Rows of a table with seconds, one for each method and budget that is no baseline.

    A method picks in the comparison; a finished selection was picked in the run. Without the seconds of a run
    there is no net gain, as nobody knows what the scores cost.

    Args:
        groups: the finished trials of each method and budget.
        run: seconds of the stages that made the scores and the selections, as of `seconds_of_run`.
        pool_rows: rows of the pool. A fine-tune on all of them, unless it was measured, is taken to last in
            proportion to its rows.
    """
    selecting = {name: took for name, took in run.items() if name.startswith("select")}
    scoring = {name: took for name, took in run.items() if name not in selecting}
    baselines = {RANDOM, FULL, *(MATCHED.format(name) for name, _ in groups)}
    whole = next((_fine_tune(trials) for (name, _), trials in groups.items() if name == FULL), None)
    rows = []
    for (name, budget), trials in groups.items():
        if name in baselines:
            continue
        picking: float | None = max(
            trial.picking for trial in trials
        )  # the first one judges the pool for all
        if trials[0].is_given:
            picking = sum(selecting.values()) if selecting else None
        fine_tune = _fine_tune(trials)
        on_all = fine_tune * pool_rows / budget if whole is None else whole
        saved = on_all - fine_tune
        row = {"method": name, "rows": budget, **scoring, "picking": picking, "fine-tune": fine_tune}
        row |= {"on all rows": on_all, "saved": saved}
        if scoring:
            row[NET] = saved - sum(scoring.values()) - (picking or 0.0)
        rows.append(row)
    return rows


def _fine_tune(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.seconds for trial in trials]))
