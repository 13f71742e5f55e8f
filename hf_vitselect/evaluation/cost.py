"""The cost of choosing in a comparison, next to the training that fewer rows save."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_vitselect.errors import UsageError, nearest_path
from hf_vitselect.evaluation.methods import FULL, MATCHED, RANDOM
from hf_vitselect.evaluation.trials import Trial
from hf_vitselect.evaluation.verdicts import Key, SameCost
from hf_vitselect.report.cost import same_cost_rows, stages_that_choose
from hf_vitselect.report.run_record import stage_costs
from hf_vitselect.training.seed_rows import ROWS_FILE

NET, SAME = "net gain", "same cost, rows"


def seconds_of_run(folder: str | os.PathLike[str] | None, model: str) -> dict[str, float]:
    """The seconds of a run's finished stages that choose rows, by name; none without a folder.

    Those of seed models do not count where the model to fine-tune is one: random rows start from it, too.
    """
    if folder is None:
        return {}
    stages = stages_that_choose({row["stage"]: row["seconds"] for row in stage_costs(Path(folder))})
    if not any(name.startswith("score") for name in stages):
        raise UsageError(
            f"expected the folder of a run that scored rows, got {os.fspath(folder)!r}{nearest_path(folder)}"
        )
    if Path(model, ROWS_FILE).exists():
        return {name: took for name, took in stages.items() if not name.startswith("seed")}
    return stages


def cost_rows(
    groups: Mapping[Key, Sequence[Trial]], run: Mapping[str, float], pool_rows: int, uses: int
) -> list[dict[str, Any]]:
    """Rows of a table with seconds, one for each method and budget that is no baseline.

    A method picks in the comparison; a finished selection was picked in the run. All scores of the run count
    for every method. Without their seconds, or those of picking, there is no net gain, nor a number of random
    rows of which a fine-tune takes as long as all of it.

    Args:
        groups: the finished trials of each method and budget.
        run: seconds of the stages that made the scores and the selections, as of `seconds_of_run`.
        pool_rows: rows of the pool. A fine-tune on all of them, unless it was measured, is taken to last in
            proportion to its rows.
        uses: fine-tunes that use a subset, among which the cost of choosing is divided for the random rows
            of the same cost.
    """
    selecting = {name: took for name, took in run.items() if name.startswith("select")}
    scoring = {name: took for name, took in run.items() if name not in selecting}
    baselines = {RANDOM, FULL, *(MATCHED.format(name) for name, _ in groups)}
    whole = next((_fine_tune(trials) for (name, _), trials in groups.items() if name == FULL), None)
    rows = []
    for (name, budget), trials in groups.items():
        if name in baselines:
            continue
        # The first trial judges the pool for all.
        picking: float | None = max(trial.picking for trial in trials)
        if trials[0].is_given:
            picking = sum(selecting.values()) if selecting else None
        fine_tune = _fine_tune(trials)
        on_all = fine_tune * pool_rows / budget if whole is None else whole
        saved = on_all - fine_tune
        row = {"method": name, "rows": budget, **scoring, "picking": picking, "fine-tune": fine_tune}
        row |= {"on all rows": on_all, "saved": saved}
        if scoring and picking is not None:
            choosing = sum(scoring.values()) + picking
            row[NET] = saved - choosing
            at_random = _training(groups.get((RANDOM, budget), trials))
            row[SAME] = same_cost_rows(choosing / uses + _training(trials), at_random, budget, pool_rows)
        rows.append(row)
    return rows


def find_same_cost(
    groups: Mapping[Key, Sequence[Trial]], run: Mapping[str, float], pool_rows: int, uses: int, usable: int
) -> dict[Key, SameCost]:
    """Find the random rows of the same cost for each method and budget that is no baseline.

    A method whose choosing costs less than one row has none.

    Args:
        groups: as in `cost_rows`.
        run: likewise.
        pool_rows: likewise.
        uses: likewise.
        usable: rows that random ones are drawn from; the result is at most these.
    """
    rows = cost_rows(groups, run, pool_rows, uses)
    numbers = {(row["method"], row["rows"]): min(row[SAME], usable) for row in rows}
    return {key: SameCost(number, uses) for key, number in numbers.items() if number > key[1]}


def refuse_unknown_cost(run: Mapping[str, float], given: Sequence[str], max_steps: int) -> None:
    """Refuse to look for random rows of the same cost where the cost of choosing or of a row is unknown.

    Args:
        run: as in `cost_rows`.
        given: names of finished selections, which the run has picked.
        max_steps: of every fine-tune; 0 or less if it follows from the rows.
    """
    if max_steps > 0:
        raise UsageError(
            f"same_cost: expected fine-tunes of whole epochs, got max_steps={max_steps}, with which any "
            "number of rows takes equally long"
        )
    if not run:
        raise UsageError("same_cost: expected run=, the folder of the run that scored the pool, got none")
    if given and not any(name.startswith("select") for name in run):
        raise UsageError(
            f"same_cost: expected a run that picked rows, as {given[0]!r} is a finished selection, got one "
            f"with the stages {list(run)}; give its method instead, which is then picked here"
        )


def _training(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.training for trial in trials]))


def _fine_tune(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.seconds for trial in trials]))
