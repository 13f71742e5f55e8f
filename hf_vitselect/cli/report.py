"""`report`: write a selection's card to a folder."""

from dataclasses import dataclass

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import SelectionFlags, flag
from hf_vitselect.cli.pool import load_selection
from hf_vitselect.cli.summary import Summary, command_line, dropped, train_line
from hf_vitselect.report.html_page import write_report


@dataclass(kw_only=True)
class Report(SelectionFlags, Command):
    """Write a selection's card, without the Hub."""

    output_dir: str = flag("Where README.md, index.html, the plots and the examples go.", "report")
    run_dir: str | None = flag("The run that made the selection; the card shows its settings and cost.", None)
    example = "--selection demo/selection --output_dir report"

    def run(self) -> Summary:
        """Write the card."""
        selection = load_selection(self.selection)
        page = write_report(selection, self.output_dir, run=self.run_dir)
        facts = {
            "rows": f"{len(selection):,} picked of {selection.recipe.rows:,}",
            "refused": str(dropped(selection.recipe)) or "none",
            "page": page,
        }
        push_line = command_line("push", selection=self.selection, repo_id="OWNER/NAME")
        return Summary(facts, [push_line, train_line(self.selection)])
