"""`report`: write a selection's page and card to a folder."""

from dataclasses import dataclass

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import SelectionFlags, flag
from hf_vitselect.cli.pool import load_selection, pool_of
from hf_vitselect.cli.summary import Summary, command_line, dropped, train_line
from hf_vitselect.report.html_page import write_report


@dataclass(kw_only=True)
class Report(SelectionFlags, Command):
    """Write a page that shows a selection, and its card, without the Hub."""

    output_dir: str = flag("Where index.html, README.md, the plots and the examples go.", "report")
    run_dir: str | None = flag(
        "The run that made the selection: its verdict, scored pool, settings and cost are shown.", None
    )
    pool: str | None = flag(
        "The pool of the selection, to show the rows that were left out; by default the run's.", None
    )
    example = "--selection demo/selection --run_dir demo --output_dir report"

    def run(self) -> Summary:
        """Write page and card."""
        selection = load_selection(self.selection)
        pool = pool_of(selection, self.pool, self.run_dir)
        page = write_report(selection, self.output_dir, run=self.run_dir, pool=pool)
        facts = {
            "rows": f"{len(selection):,} picked of {selection.recipe.rows:,}",
            "refused": str(dropped(selection.recipe)) or "none",
            "left out rows": "" if pool is not None else "not shown; name the pool with --pool",
            "page": page,
        }
        push_line = command_line("push", selection=self.selection, repo_id="OWNER/NAME")
        return Summary(facts, [push_line, train_line(self.selection)])
