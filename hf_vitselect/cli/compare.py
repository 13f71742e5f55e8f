"""`compare`: fine-tune on selections and on random rows, evaluate, and report which is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from datasets import Dataset
from trl import get_peft_config

from hf_vitselect.call_text import write_call
from hf_vitselect.cli.command import PoolFacts
from hf_vitselect.cli.flags import PoolFlags, flag, given_flags, parse_budget, refuse_large_budget
from hf_vitselect.cli.pool import reach_options, read_pool
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.cli.training_flags import TrainingCommand
from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.data.pools import SplitError, load_pool
from hf_vitselect.errors import UsageError
from hf_vitselect.evaluation.by_name import find_evaluation
from hf_vitselect.evaluation.checks import refuse_names, refuse_unable
from hf_vitselect.evaluation.compare import compare
from hf_vitselect.evaluation.held_out import Evaluation
from hf_vitselect.evaluation.methods import method_name, names_folder, parse_method
from hf_vitselect.evaluation.trials import Setup
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.selection import Selection


@dataclass(kw_only=True)
class Compare(PoolFlags, TrainingCommand):
    """Compare selections with random rows."""

    selections: list[str] = flag(
        "Methods, such as CleanBalanced or 'more=CleanBalanced(need=1.0)'; rules alone, such as "
        "'net=TopScore(by=\"score_net\")'; or folders that `select` wrote.",
        ["CleanBalanced"],
    )
    eval_dataset_name: str = flag("The held-out rows, as dataset_name.")
    eval_dataset_config: str | None = flag("Their configuration.", None)
    eval_split: str | None = flag("Their split; test if not set, or all rows if they have no splits.", None)
    evaluations: list[str] = flag(
        "exact_match, log_likelihood, multiple_choice, token_f1, or 'package.module:function', your own "
        "function of a model's folder.",
        ["exact_match"],
    )
    budgets: list[str] = flag("Rows (1200) or shares (0.15) of the pool.", ["0.15"])
    seeds: int = flag("Fine-tunes of each; the first has the seed --seed.", 3)
    by: str = flag("The score column of rules that name none.", "necessity")
    matched: list[str] | None = flag(
        "Selections to compare with random rows of the same response lengths too; all if not set.", None
    )
    full: bool = flag("Whether to fine-tune on all usable rows too.", False)
    columns: list[str] = flag("Columns, such as source, whose composition is reported.", [])
    stop_early: bool = flag("Whether a method stops at the look, from 3 seeds on, that settles it.", False)
    processes: int | None = flag("Fine-tunes at a time; one per GPU if not set.", None)
    run_dir: str | None = flag(
        "The run that scored the pool; the table of costs shows what its scores took.", None
    )
    same_cost: bool = flag(
        "Whether to compare with as many random rows, too, as cost what choosing and a fine-tune cost.", False
    )
    uses: int = flag("Fine-tunes that will use a subset; each bears its part of the cost of choosing.", 1)
    least: ClassVar[Mapping[str, int]] = {"seeds": 1, "processes": 1, "uses": 1}
    example = (
        "--dataset_name demo/score/scored --eval_dataset_name demo/data/held_out "
        "--selections 'TopScore(lowest=True)' demo/selection --model_name_or_path demo/base "
        "--output_dir compare --use_cpu true"
    )

    def check(self) -> None:
        """Refuse rules, budgets and options of the training that cannot be followed."""
        super().check()
        _ = self.planned  # refuses wrong ones
        names = [method_name(text) for text in self.selections]
        if len(set(names)) < len(names):
            raise UsageError(f"selections: expected different names, got {names}")
        refuse_names(names, self.evaluations, self.matched)
        if not self.budgets:
            raise UsageError("budgets: expected at least one, got none")
        for budget in self.budgets:
            parse_budget(budget)
        if self.same_cost and self.run_dir is None:
            raise UsageError(
                "same_cost: expected run_dir, the folder of the run that scored the pool, got none"
            )

    def check_inputs(self, pool: PoolFacts | None) -> None:
        """Refuse held-out rows that cannot be evaluated, and a pool without what is read of it."""
        setup = Setup(
            str(self.model.model_name_or_path),
            self.training_arguments,
            get_peft_config(self.model),
            self._evaluations(self._load_held_out()),
            self.prompt.processor_name_or_path,
            self.prompt.end_of_turn,
        )
        refuse_unable(setup)
        if pool is not None:
            for budget in self.budgets:
                refuse_large_budget(budget, pool.rows)
            refuse_missing(self.columns, pool.columns, "columns: expected a column")
            for method in self.planned.values():
                if isinstance(method, Method):
                    refuse_missing_columns(pool.columns, method)

    def run(self) -> Summary:
        """Fine-tune, evaluate and compare."""
        folder = Path(self.training.output_dir)
        methods, pool, held_out = _methods(self.selections, self.by), read_pool(self), self._load_held_out()
        comparison = compare(
            pool,
            methods,
            self.model.model_name_or_path,
            self._evaluations(held_out),
            folder,
            budgets=[parse_budget(budget) for budget in self.budgets],
            seeds=self.seeds,
            args=self.training_arguments,
            peft_config=get_peft_config(self.model),
            processor=self.prompt.processor_name_or_path,
            end_of_turn=self.prompt.end_of_turn,
            by=self.by,
            matched=self.matched,
            full=self.full,
            columns=self.columns,
            processes=self.processes,
            stop_early=self.stop_early,
            run=self.run_dir,
            same_cost=self.same_cost,
            uses=self.uses,
        )
        files = ", ".join(str(folder / f"comparison.{kind}") for kind in ("md", "json", "png"))
        rows = f"{len(pool):,} in the pool, {len(held_out):,} held out"
        return Summary({"rows": rows, "saved to": files}, [self._next_line(methods, folder)], str(comparison))

    @cached_property
    def planned(self) -> dict[str, Method | Selection]:
        """The methods without folders, which may be those of selections that a run has yet to make."""
        return _methods([text for text in self.selections if not names_folder(text)], self.by)

    def _evaluations(self, held_out: Dataset) -> dict[str, Evaluation]:
        batch_size, end = self.training.per_device_eval_batch_size, self.prompt.end_of_turn
        return {name: find_evaluation(name, held_out, batch_size, end) for name in self.evaluations}

    def _load_held_out(self) -> Dataset:
        name = self.eval_dataset_name
        options = {"config": self.eval_dataset_config, **reach_options(self)}
        try:
            return load_pool(name, split=self.eval_split or "test", **options)
        except SplitError:
            # A single file or saved data set has no splits to choose from.
            if self.eval_split is not None or not Path(name).exists():
                raise
            return load_pool(name, **options)

    def _next_line(self, methods: Mapping[str, Method | Selection], folder: Path) -> str:
        """Report a saved selection with the comparison, or select as the first method does."""
        folders = [name for text in self.selections for name in (text, text.partition("=")[2])]
        saved = next((name for name in folders if name and Path(name, "recipe.json").exists()), None)
        first = next(iter(methods.values()))
        if saved is not None or isinstance(first, Selection):
            run_dir = self.run_dir or (folder.parent if folder.name == "compare" else None)
            return command_line("report", selection=saved, run_dir=run_dir, output_dir="report")
        return command_line(
            "select",
            **given_flags(self, PoolFlags),
            budget=self.budgets[0],
            method=write_call(first),
            output_dir="selection",
        )


def _methods(texts: Sequence[str], by: str) -> dict[str, Method | Selection]:
    return dict(parse_method(text, by) for text in texts)
