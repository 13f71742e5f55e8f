"""Run a comparison's trials seed by seed, and stop a method at the look where its verdict is settled."""

from collections.abc import Callable, Collection, Mapping, Sequence

from hf_vitselect.evaluation.methods import FULL, MATCHED, RANDOM
from hf_vitselect.evaluation.statistics import LEVEL
from hf_vitselect.evaluation.stopping import FIRST_LOOK, Look, decide, look_levels, stops
from hf_vitselect.evaluation.trials import Trial
from hf_vitselect.evaluation.verdicts import (
    NO_ROWS,
    Key,
    Line,
    SameCost,
    baselines_of,
    compare_scores,
    group_trials,
    stack,
)


def finish_in_looks(
    trials: Sequence[Trial],
    finish: Callable[[Sequence[Trial]], None],
    evaluations: Sequence[str],
    same_cost: Mapping[Key, SameCost] = NO_ROWS,
) -> tuple[list[Trial], list[Look]]:
    """Finish the trials of the first seeds, and those of each further seed for the methods that need it.

    A method stops when each of its comparisons, under every evaluation, has its verdict or little hope of
    one. Random rows continue while a method that is compared with them does.

    Args:
        trials: of all methods and seeds.
        finish: finishes trials.
        evaluations: by name.
        same_cost: as in `compare_scores`.

    Returns:
        The finished trials, and the looks.
    """
    seeds = sorted({trial.seed for trial in trials})
    first = min(FIRST_LOOK, len(seeds))
    running = {(trial.name, trial.budget) for trial in trials} - _random_keys(trials)
    done: list[Trial] = []
    looks: list[Look] = []
    for count in range(first, len(seeds) + 1):
        # The first seeds at once, so that processes are busy.
        now = set(seeds[:first] if count == first else [seeds[count - 1]])
        wave = [trial for trial in trials if trial.seed in now and _is_needed(trial, running, same_cost)]
        finish(wave)
        done += wave
        made = _look(done, evaluations, running, len(seeds), same_cost)
        looks += made
        for key in sorted(running):
            if stops([look.decision for look in made if (look.method, look.rows) == key]):
                running.remove(key)
        if not running:
            break
    return done, looks


def _random_keys(trials: Sequence[Trial]) -> set[Key]:
    """The trials that only serve as baselines."""
    names = {RANDOM, FULL, *(MATCHED.format(trial.name) for trial in trials)}
    return {(trial.name, trial.budget) for trial in trials if trial.name in names}


def _is_needed(trial: Trial, running: Collection[Key], same_cost: Mapping[Key, SameCost]) -> bool:
    if trial.name == FULL:
        return bool(running)
    if trial.name == RANDOM:
        return any(
            trial.budget == key[1] or (key in same_cost and trial.budget == same_cost[key].rows)
            for key in running
        )
    own = {(trial.name, trial.budget)} | {
        (name, rows) for name, rows in running if MATCHED.format(name) == trial.name and rows == trial.budget
    }
    return not own.isdisjoint(running)


def _look(
    done: Sequence[Trial],
    evaluations: Sequence[str],
    running: Collection[Key],
    planned: int,
    same_cost: Mapping[Key, SameCost],
) -> list[Look]:
    groups = group_trials(done)
    looks = []
    for evaluation in evaluations:
        scores = {key: stack(evaluation, group) for key, group in groups.items()}
        lines = compare_scores(groups, scores, planned, same_cost)
        comparisons = sum(len(baselines_of(key, scores, same_cost)) for key in scores)
        levels = look_levels(planned, (1 - LEVEL) / max(1, comparisons))
        for line in lines:
            if (line.method, line.rows) in running:
                looks += _looks_of(line, evaluation, levels)
    return looks


def _looks_of(line: Line, evaluation: str, levels: dict[int, float]) -> list[Look]:
    pairs = (
        (RANDOM, line.random),
        (MATCHED.format(line.method), line.matched),
        (f"{RANDOM}, same cost", line.same_cost),
    )
    seeds = len(line.means)
    return [
        Look(evaluation, line.method, line.rows, name, seeds, value, decide(value, seeds, levels))
        for name, value in pairs
        if value is not None
    ]
