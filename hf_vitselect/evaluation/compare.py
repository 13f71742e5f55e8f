"""Does a selection beat a random subset of the same size? Fine-tunes, evaluations and a verdict."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig

from hf_vitselect.data.row_ids import pool_digest, row_ids
from hf_vitselect.errors import LayoutError
from hf_vitselect.evaluation.checks import (
    find_unusable_rows,
    refuse_names,
    refuse_pool,
    refuse_unable,
    refuse_uncallable,
)
from hf_vitselect.evaluation.comparison import Comparison
from hf_vitselect.evaluation.cost import find_same_cost, refuse_unknown_cost, seconds_of_run
from hf_vitselect.evaluation.held_out import Evaluation
from hf_vitselect.evaluation.looks import finish_in_looks
from hf_vitselect.evaluation.methods import FULL, MATCHED, RANDOM, Chosen, Fixed, length_matched, with_lengths
from hf_vitselect.evaluation.processes import processes_or_gpus, running
from hf_vitselect.evaluation.stopping import Look
from hf_vitselect.evaluation.trials import Setup, Trial, trial_folder
from hf_vitselect.evaluation.verdicts import Key, SameCost, group_trials
from hf_vitselect.models.options import EndOfTurn
from hf_vitselect.rules import Random, Rule
from hf_vitselect.selection.budget import budget_rows
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.selection import Selection


def compare(
    pool: Dataset,
    selections: Mapping[str, Rule | Method | Selection],
    model: str,
    evaluations: Mapping[str, Evaluation],
    output_dir: str | os.PathLike[str],
    *,
    budgets: Sequence[int | float] = (0.15,),
    seeds: int = 3,
    args: SFTConfig | None = None,
    peft_config: Any = None,
    processor: str | None = None,
    end_of_turn: EndOfTurn = "auto",
    by: str = "necessity",
    matched: Collection[str] | None = None,
    full: bool = False,
    columns: Sequence[str] = (),
    processes: int | None = None,
    stop_early: bool = False,
    run: str | os.PathLike[str] | None = None,
    same_cost: bool = False,
    uses: int = 1,
) -> Comparison:
    """Fine-tune a model on every selection and on random rows, evaluate it, and report which is better.

    For each budget and seed, the model is fine-tuned on every selection, on random rows (drawn anew for each
    seed), and on random rows with the response lengths of a selection. If a selection beats random but not
    the latter, the gain comes from the lengths of its answers.
    Each subset, fine-tune and evaluation is a stage in a folder of its own. The same call resumes after a
    crash; a call with more selections, seeds or budgets adds to the finished ones.
    Names, columns, options, held-out rows and picked rows are checked before the first fine-tune.

    Args:
        pool: scored, with the columns that the rules use. If a part was scored, by `score_candidates`, give
            the `Selection` that it was scored for.
        selections: by name: a `Method`; a rule of `hf_vitselect.rules` alone; or a `Selection` of this pool,
            which is compared at its own size.
        model: Hub id or folder of the model to fine-tune.
        evaluations: by name, functions from a model's folder to a score per held-out row, or a single one;
            higher is better. The first is plotted. See `hf_vitselect.evaluation`.
        output_dir: folder of the trials, the table and the plot.
        budgets: as in `select_diverse`.
        seeds: fine-tunes of each subset. Fewer than three hardly ever give a verdict.
        args: of every fine-tune; its seed is the first one's.
        peft_config: as in TRL.
        processor: Hub id or folder of a processor, by default the model's own.
        end_of_turn: of every fine-tune, as in `SelectionSFTTrainer`; an evaluation has its own.
        by: the score column of rules. Random rows are drawn from all rows but those whose score in it failed.
        matched: the selections to compare with length-matched random rows too, by default all.
        full: whether to fine-tune on all those rows too, which gives the share of full performance.
        columns: columns of the pool, such as source or kind, whose composition is reported.
        processes: fine-tunes that run at once, by default one per GPU.
        stop_early: whether to look at the results after each seed from the third on, and to stop a method
            that has its verdict, or has little hope of one within `seeds`. The intervals are a little wider,
            so that they hold for all looks together: decide this, and `seeds`, before the first result.
        run: folder of the run that scored the pool. The cost of its scores is then set against the training
            that fewer rows save.
        same_cost: whether to fine-tune on as many random rows, too, as cost the same as choosing and a
            fine-tune on the picks together, by the seconds of `run` and of the first seed. A method that is
            better than these pays. If all rows cost less, it is compared with these.
        uses: how many fine-tunes will use a subset: each bears its part of the cost of choosing.

    Returns:
        The comparison, also saved in `output_dir` as comparison.md, comparison.json and comparison.png.

    Raises:
        BudgetError, ColumnError: as in `select_diverse`.
        LayoutError: if a selection is of another pool.
        RowError: if a held-out row cannot be evaluated, or a picked row is longer than `args.max_length`.
        StaleRunError: if the folder holds trials with other settings.
        UsageError: if `same_cost` is true, and `run` does not say what choosing took, or `args.max_steps`
            is given.
        ValueError: if a name is reserved or unknown, or there is nothing to compare.

    Examples:
        >>> from hf_vitselect.evaluation import ExactMatch
        >>> from hf_vitselect.selection import CleanBalanced
        >>> selections, evaluations = {"default": CleanBalanced()}, {"exact match": ExactMatch(held_out)}
        >>> comparison = compare(scored, selections, "base", evaluations, "compare")  # doctest: +SKIP
        >>> print(comparison)  # doctest: +SKIP
    """
    refuse_names(selections, evaluations, matched)
    refuse_uncallable(evaluations)
    refuse_pool(pool, columns)
    seconds = seconds_of_run(run, model)
    args = SFTConfig(max_length=None) if args is None else args
    sizes = sorted({budget_rows(budget, len(pool)) for budget in budgets})
    if uses < 1:
        raise ValueError(f"uses: expected 1 or more, got {uses}")
    if seeds < 1 or not sizes:
        raise ValueError(f"expected at least one seed and one budget, got {seeds=} and {budgets=}")
    processes = processes_or_gpus(processes)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(model, args, peft_config, evaluations, processor, end_of_turn)
    refuse_unable(setup)
    ids = row_ids(pool)
    digest = pool_digest(ids)
    methods = {name: _method(name, given, by, digest) for name, given in selections.items()}
    for method in methods.values():
        if isinstance(method, Method):
            refuse_missing_columns(pool.column_names, method)
    if same_cost:
        given = [name for name, method in methods.items() if isinstance(method, Selection)]
        refuse_unknown_cost(seconds, given, args.max_steps)
    pool, lengths = with_lengths(pool, by)
    uniform = Chosen(Method(rule=Random(), by=by), pool, ids)
    some = [name for name in methods if matched is None or name in matched]
    all_seeds = range(args.seed, args.seed + seeds)
    trials = _trials(uniform, methods, sizes, all_seeds, folder, lengths, some, full)
    costing: dict[Key, SameCost] = {}
    if same_cost:
        first = [trial for trial in trials if trial.seed == args.seed and trial.name != FULL]
        with running(setup, find_unusable_rows(trials, setup, pool, processes), processes) as finish:
            finish(first)
        costing = find_same_cost(group_trials(first), seconds, len(pool), uses, uniform.usable)
        trials = _with_random(trials, uniform, [same.rows for same in costing.values()], folder)
    looks: list[Look] = []
    planned = seeds if stop_early else None
    with running(setup, find_unusable_rows(trials, setup, pool, processes), processes) as finish:
        if stop_early:
            trials, looks = finish_in_looks(trials, finish, list(evaluations), costing)
        else:
            finish(trials)
    comparison = Comparison.of(
        trials, list(evaluations), pool, lengths, columns, planned, looks, seconds, uses, costing
    )
    comparison.save(folder)
    return comparison


def _trials(
    uniform: Chosen,
    methods: Mapping[str, Method | Selection],
    sizes: Sequence[int],
    seeds: range,
    folder: Path,
    lengths: str,
    matched: Collection[str],
    full: bool,
) -> list[Trial]:
    """Make the subsets of all trials unless they exist, and return the trials seed by seed.

    What a method needs to pick from the pool is in memory only while its own subsets are made.
    """
    pool, ids, digest, trials = uniform.pool, uniform.ids, pool_digest(uniform.ids), list[Trial]()

    def add(name: str, rows: int, seed: int, method: Chosen | Fixed) -> Trial:
        trials.append(_trial(folder, digest, name, rows, seed, method))
        return trials[-1]

    if full:
        for seed in seeds:
            add(FULL, uniform.usable, seed, uniform)
    sizes_of = {
        name: [len(given)] if isinstance(given, Selection) else sizes for name, given in methods.items()
    }
    for rows in dict.fromkeys(rows for several in sizes_of.values() for rows in several):
        for seed in seeds:
            add(RANDOM, rows, seed, uniform)
        for name in [name for name, several in sizes_of.items() if rows in several]:
            given = methods[name]
            method = Fixed(given) if isinstance(given, Selection) else Chosen(given, pool, ids)
            for seed in seeds:
                picked = add(name, rows, seed, method).subset.indices
                if name in matched:
                    add(MATCHED.format(name), rows, seed, length_matched(uniform, lengths, picked))
    return sorted(trials, key=lambda trial: trial.seed)


def _with_random(
    trials: Sequence[Trial], uniform: Chosen, sizes: Collection[int], folder: Path
) -> list[Trial]:
    """Add random rows of these sizes for each seed, unless they exist, perhaps as full data."""
    drawn = {trial.budget for trial in trials if trial.name in (RANDOM, FULL)}
    digest, seeds = pool_digest(uniform.ids), {trial.seed for trial in trials}
    more = [
        _trial(folder, digest, RANDOM, rows, seed, uniform)
        for rows in sorted({*sizes} - drawn)
        for seed in seeds
    ]
    return sorted([*trials, *more], key=lambda trial: trial.seed)


def _trial(folder: Path, digest: str, name: str, rows: int, seed: int, method: Chosen | Fixed) -> Trial:
    """Return a trial whose subset exists."""
    place = trial_folder(folder, name, rows, seed)
    trial = Trial(name, rows, seed, place, {"pool": digest, "rows": rows, **method.settings})
    trial.select(lambda: method.select(rows, seed))
    return trial


def _method(name: str, given: Rule | Method | Selection, by: str, digest: str) -> Method | Selection:
    """The method or selection that was given; refuses a selection of another pool."""
    if isinstance(given, Selection) and given.recipe.fingerprint != digest:
        raise LayoutError(
            f"expected selections of this pool, but {name!r} is of another one, or of its rows in another"
            " order; give the pool that it was made from, or rebuild it with apply_selection"
        )
    return Method(rule=given, by=by) if isinstance(given, Rule) else given
