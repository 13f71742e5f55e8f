"""`select`: select a subset of a scored pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from hf_vitselect.call_text import write_call
from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import PoolFlags, flag, parse_budget, read_object
from hf_vitselect.cli.pool import load_pool, load_rows
from hf_vitselect.cli.summary import Summary, command_line, dropped, refused_fact, train_line
from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.errors import UsageError
from hf_vitselect.report.statistics import duplicates
from hf_vitselect.rules import RULES, Rule
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import refuse_other_contents


@dataclass(kw_only=True)
class Select(PoolFlags, Command):
    """Select a subset and save the selection."""

    output_dir: str = flag("Where the selection goes.", "selection")
    budget: str = flag("Rows (1200) or a share (0.15) of the pool.", "0.15")
    by: str = flag("The score column.", "necessity")
    over: str = flag("The embedding column.", "embedding")
    rule: str = flag(
        f"The rule with its arguments, such as 'NeighborPenalty(gamma=0.5)': one of {', '.join(RULES)}.",
        "NeighborPenalty",
    )
    seed: int = flag("Seed of the rule's random numbers.", 0)
    include: str | None = flag("Rows to keep: those of a selection, or of a seed model.", None)
    exclude: str | None = flag("Rows to leave out: those of a selection, or of a seed model.", None)
    balance: str | None = flag("A column; the rule selects within the groups of its values.", None)
    balance_quota: Literal["proportional", "uniform"] = flag("The groups' shares.", "proportional")
    example = (
        "--dataset_name demo/score/scored --budget 0.15 --rule 'NeighborPenalty(gamma=0.5)' "
        "--output_dir selection"
    )

    @cached_property
    def chosen_rule(self) -> Rule:
        """The rule that the flags name, read once."""
        rule: Rule = read_object("rule", self.rule, RULES)
        return rule

    def check(self) -> None:
        """Refuse a rule, a budget or an output folder that cannot be used."""
        folder, pool = Path(self.output_dir), Path(self.dataset_name).resolve()
        _ = self.chosen_rule  # refuses a wrong one
        parse_budget(self.budget)
        if self.balance is None and self.balance_quota != Select.balance_quota:
            raise UsageError(f"balance_quota: expected balance with it, got {self.balance_quota!r} alone")
        refuse_other_contents(folder)
        if folder.resolve() in (pool, *pool.parents):
            raise UsageError(
                f"output_dir: expected another folder than the pool's, got {self.output_dir!r}: it would be "
                "replaced"
            )

    def check_inputs(self, columns: Sequence[str] | None) -> None:
        """Refuse a pool without the columns that the rule or the balance reads."""
        if columns is not None:
            refuse_missing_columns(columns, self.chosen_rule, self.by, self.over)
            refuse_missing([self.balance] if self.balance else [], columns, "balance: expected a column")

    def run(self) -> Summary:
        """Select and save."""
        pool = load_pool(self)
        selection = select_diverse(
            pool,
            parse_budget(self.budget),
            by=self.by,
            over=self.over,
            rule=self.chosen_rule,
            seed=self.seed,
            include=load_rows(pool, self.include),
            exclude=load_rows(pool, self.exclude),
            balance=self.balance,
            balance_quota=self.balance_quota,
        )
        selection.save_to_disk(self.output_dir)
        recipe, folder = selection.recipe, self.output_dir
        repeated = duplicates(selection)["subset"]
        return Summary(
            {
                "rows": f"{recipe.rows:,}",
                "picked": f"{len(selection):,} (budget {recipe.budget})",
                "rule": write_call(self.chosen_rule),
                "by": recipe.by,
                "over": recipe.over,
                "refused": refused_fact(dropped(recipe)),
                "included": recipe.included and f"{recipe.included.rows:,} rows",
                "excluded": recipe.excluded and f"{recipe.excluded.rows:,} rows",
                "distinct": f"{len(selection) - repeated:,} of the {len(selection):,} picked rows",
                "saved to": folder,
            },
            [command_line("report", selection=folder, output_dir="report"), train_line(folder)],
        )
