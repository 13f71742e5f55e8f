"""`select`: select a subset of a scored pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from hf_vitselect.call_text import write_call
from hf_vitselect.cli.command import Command, PoolFacts
from hf_vitselect.cli.flags import PoolFlags, flag, parse_budget, read_object, refuse_large_budget
from hf_vitselect.cli.pool import load_rows, read_pool, refuse_pools_folder
from hf_vitselect.cli.summary import Summary, command_line, dropped, dropped_fact, refused_fact, train_line
from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.data.image_files import missing_images
from hf_vitselect.errors import UsageError
from hf_vitselect.report.statistics import duplicates
from hf_vitselect.rules import RULES
from hf_vitselect.selection.candidates import refuse_missing_columns
from hf_vitselect.selection.method import NAMED, Method, method_of, read_method
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import refuse_non_selection


@dataclass(kw_only=True)
class Select(PoolFlags, Command):
    """Select a subset and save the selection."""

    output_dir: str = flag("Where the selection goes.", "selection")
    budget: str = flag("Rows (1200) or a share (0.15) of the pool.", "0.15")
    method: str | None = flag(
        f"How rows are picked, by default 'CleanBalanced()': one of {', '.join(NAMED)}.",
        None,
    )
    rule: str | None = flag(
        "Short for a method of a rule alone, such as 'NeighborPenalty(gamma=0.5)': one of "
        f"{', '.join(RULES)}.",
        None,
    )
    by: str | None = flag("The score column, in place of the method's.", None)
    over: str | None = flag("The embedding column, in place of the method's.", None)
    seed: int = flag("Seed of the rule's random numbers.", 0)
    include: str | None = flag("Rows to keep: those of a selection, or of a seed model.", None)
    exclude: str | None = flag("Rows to leave out: those of a selection, or of a seed model.", None)
    balance: str | None = flag("A column; the rule selects within the groups of its values.", None)
    balance_quota: Literal["proportional", "uniform"] = flag("The groups' shares.", "proportional")
    id_column: str | None = flag("The column of the source's own ids, kept in scores and exports.", None)
    least: ClassVar[Mapping[str, int]] = {"seed": 0}
    example = (
        "--dataset_name demo/score/scored --budget 0.15 --rule 'NeighborPenalty(gamma=0.5)' "
        "--output_dir selection"
    )

    @cached_property
    def chosen_method(self) -> Method:
        """The method that the flags name, read once."""
        if self.method is not None and self.rule is not None:
            raise UsageError("expected --method or --rule, got both; a method has its rule inside")
        rule = None if self.rule is None else read_object("rule", self.rule, RULES)
        method = None if self.method is None else read_method(self.method)
        columns = {"by": self.by, "over": self.over}
        return method_of(method, rule, columns, self.balance, self.balance_quota)

    def check(self) -> None:
        """Refuse a method, a budget or an output folder that cannot be used."""
        _ = self.chosen_method  # refuses a wrong one
        parse_budget(self.budget)
        refuse_non_selection(Path(self.output_dir))
        refuse_pools_folder(self, self.output_dir)

    def check_inputs(self, pool: PoolFacts | None) -> None:
        """Refuse a pool without the columns that the method requires, or with too few rows."""
        if pool is not None:
            refuse_missing_columns(pool.columns, self.chosen_method)
            ids = [] if self.id_column is None else [self.id_column]
            refuse_missing(ids, pool.columns, "id_column: expected an existing column, not")
            refuse_large_budget(self.budget, pool.rows)

    def run(self) -> Summary:
        """Select and save."""
        pool = read_pool(self)
        selection = select_diverse(
            pool,
            parse_budget(self.budget),
            method=self.chosen_method,
            seed=self.seed,
            include=load_rows(pool, self.include),
            exclude=load_rows(pool, self.exclude),
            id_column=self.id_column,
        )
        selection.save_to_disk(self.output_dir)
        recipe, folder = selection.recipe, self.output_dir
        repeated = duplicates(selection)["subset"]
        return Summary(
            {
                "rows": f"{recipe.rows:,}",
                "picked": f"{len(selection):,} (budget {recipe.budget})",
                "method": write_call(self.chosen_method),
                "by": recipe.by,
                "over": recipe.over,
                "dropped": dropped_fact(recipe),
                "refused": refused_fact(dropped(recipe)),
                "missing images": missing_images(pool),
                "included": recipe.included and f"{recipe.included.rows:,} rows",
                "excluded": recipe.excluded and f"{recipe.excluded.rows:,} rows",
                "distinct": f"{len(selection) - repeated:,} of the {len(selection):,} picked rows",
                "saved to": folder,
            },
            [command_line("report", selection=folder, output_dir="report"), train_line(folder)],
        )
